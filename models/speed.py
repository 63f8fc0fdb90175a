"""What pays where: precision, memory format, compiling and CUDA graphs, decided before the first step.

The decision depends on the hyperparameters and the device alone, never on a clock: a resumed run must
decide as the first one did, or its numbers would differ.
"""

from dataclasses import dataclass

import torch

from models.config import Config

COMPILE_PAYS_S = 300  # of training: torch.compile takes 30 to 60 s for such nets, and a third off each step
EAGER_SHARE = 0.2  # of a GPU's peak that the eager model is assumed to reach when guessing how long it takes
PEAK = 100e12  # FLOP/s assumed of a GPU we have no figure for


@dataclass(frozen=True)
class Plan:
    bf16: bool
    compile: bool
    graph: bool

    def autocast(self, device: torch.device) -> torch.autocast:
        """bf16 for convolutions and products; norms, softmaxes and losses stay in float32."""
        # Inside a CUDA graph a cached cast would be replayed from memory that is long reused.
        return torch.autocast(device.type, torch.bfloat16, enabled=self.bf16, cache_enabled=not self.graph)


def plan(config: Config, device: torch.device, vocabulary: int) -> Plan:
    """`auto` resolved. Raises ValueError when a graph is asked for and can't be."""
    speed, cuda = config.speed, device.type == "cuda"
    moving = config.schedule.kind == "one_cycle"
    if speed.graph == "on" and (not cuda or moving):
        why = "schedule.kind = 'one_cycle' moves the momentum" if cuda else f"{device} is no CUDA device"
        raise ValueError(
            f"speed.graph = 'on' needs a GPU and constants in the optimiser, but {why}; give auto"
        )
    return Plan(
        bf16=speed.precision == "bf16"
        or (speed.precision == "auto" and cuda and torch.cuda.is_bf16_supported()),
        compile=speed.compile == "on"
        or (speed.compile == "auto" and cuda and _long(config, device, vocabulary)),
        graph=speed.graph == "on" or (speed.graph == "auto" and cuda and not moving),
    )


def _long(config: Config, device: torch.device, vocabulary: int) -> bool:
    from models import flops  # counting needs parts of PyTorch that training does not

    peak = flops.peak(torch.cuda.get_device_name(device), "bf16") or PEAK
    return flops.training_step(config, vocabulary) * config.steps / (EAGER_SHARE * peak) > COMPILE_PAYS_S
