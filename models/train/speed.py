"""Precision, compilation and CUDA graphs: which of them to use, decided before the first step.

The decision depends on the hyperparameters and the device alone, never on a clock: a resumed run must
decide as the first one did, or its numbers would differ.
"""

import importlib.util
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch

from models.config import Config
from models.train import schedules

# Of eager training on a GPU. Measured on an H100 (benchmarks/README.md): compiling took 14 s and saved 6 % of each
# step, so it paid after 250 s. Other hosts compile several times more slowly.
COMPILE_PAYS_S = 600
MOST_SIZES = 8  # of batches: torch.compile gives up on a function after so many shapes
EAGER_SHARE = 0.43  # of a GPU's peak that the eager model reaches: measured there
PEAK = 100e12  # FLOP/s assumed of a GPU we have no figure for


@dataclass(frozen=True)
class Plan:
    """The decisions for one training: autocast to bfloat16, torch.compile, CUDA graph."""

    bf16: bool
    compile: bool
    graph: bool

    def autocast(self, device: torch.device) -> torch.autocast:
        """bf16 for convolutions and products; norms, softmaxes and losses stay in float32."""
        # Inside a CUDA graph a cached cast would be replayed from memory that is long reused. Without a graph a GPU
        # has no cache either: the one cast of a recurrent weight would sum its gradient over the words in bfloat16,
        # where a cast for each word sums in float32, and a graph would not be the eager step.
        return torch.autocast(
            device.type, torch.bfloat16, enabled=self.bf16, cache_enabled=device.type == "cpu"
        )


def plan(config: Config, device: torch.device, vocabulary: int) -> Plan:
    """Resolves `auto`. On a CPU it means float32 and eager: compiling took 57 s there and saved 26 of 88 ms per step,
    which pays off after 2,200 steps; trials on a CPU have hundreds (benchmarks/README.md).

    Raises ValueError when a graph or a compiled model is requested where it is impossible.
    """
    speed, cuda = config.speed, device.type == "cuda"
    moving = config.schedule.kind == "one_cycle"
    if speed.graph == "on" and (not cuda or moving):
        why = "schedule.kind = 'one_cycle' moves the momentum" if cuda else f"{device} is not a CUDA device"
        raise ValueError(
            f"speed.graph = 'on' needs a GPU and constants in the optimiser, but {why}; give auto"
        )
    if speed.compile == "on" and (missing := _missing_compiler(device)):
        raise ValueError(f"speed.compile = 'on' needs {missing}; give auto")
    return Plan(
        bf16=speed.precision == "bf16" or (speed.precision == "auto" and cuda and _has_bf16(device)),
        compile=speed.compile == "on"
        or (speed.compile == "auto" and cuda and _compiling_pays(config, device, vocabulary)),
        graph=speed.graph == "on" or (speed.graph == "auto" and cuda and not moving),
    )


def compiled(paint: Callable, exactly: bool) -> Callable:
    """`paint`, compiled for each batch size. `exactly`: kernels are not chosen by timing them, because another run
    could choose others and round its sums differently (the option is missing in PyTorch 2.9)."""
    from torch import _inductor  # takes seconds

    there = exactly and "deterministic" in _inductor.list_options()
    options: dict[str, Any] = {"deterministic": True} if there else {}
    return torch.compile(paint, dynamic=False, options=options)


def repeat(exactly: bool) -> None:
    """`exactly`: makes cuDNN use deterministic kernels, chosen without benchmarking; otherwise the reverse.

    The other operations of a step sum in a fixed order already: scatters never write to one place twice, and
    embeddings are deterministic unless compiled. TF32 keeps PyTorch's defaults: on in convolutions, off in matmuls.
    """
    torch.backends.cudnn.deterministic = exactly
    torch.backends.cudnn.benchmark = not exactly


def _has_bf16(device: torch.device) -> bool:
    """Whether bfloat16 is supported in hardware; older GPUs emulate it, slower than float32."""
    return torch.cuda.get_device_capability(device) >= (8, 0)


def _missing_compiler(device: torch.device) -> str | None:
    """The first requirement of torch.compile that is missing, or None."""
    if device.type == "cuda":
        if importlib.util.find_spec("triton") is None:
            return "triton, which is not installed"
        # Triton knows no GPU before Volta.
        return None if torch.cuda.get_device_capability(device) >= (7, 0) else "a GPU of 2017 or later"
    if shutil.which(os.environ.get("CXX", "g++")) or shutil.which("clang++"):
        return None
    return "a C++ compiler, and there is no g++ here"


def _compiling_pays(config: Config, device: torch.device, vocabulary: int) -> bool:
    sizes = len(set(_batch_sizes(config)))  # it is compiled for each batch size
    if sizes > MOST_SIZES or _missing_compiler(device):
        return False
    from models.train import flops  # counting needs parts of PyTorch that training does not

    peak = flops.peak(torch.cuda.get_device_name(device), "bf16") or PEAK
    return (
        flops.training_step(config, vocabulary) * config.steps / (EAGER_SHARE * peak) > COMPILE_PAYS_S * sizes
    )


def _batch_sizes(config: Config) -> Iterator[int]:
    """The batch size of each step at which it may grow."""
    for step in range(1, config.steps + 1, config.adabatch.every or config.steps):
        yield schedules.batch_size(config, step)
        if schedules.batch_size(config, step) >= config.adabatch.most:
            return
