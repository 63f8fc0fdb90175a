"""Tries what most often fails in a first training on a GPU, in two minutes, one line each.

    python -m models.doctor --device cuda

Each line says ok, or what is wrong and what to do. The models are tiny, so that what fails is the installation, the
driver or the code, and not the size. What only a GPU has (graphs, compiled kernels, waiting) is left out on a CPU.
Exit codes: 0 all is well, 1 something failed, 2 there is no such device.
"""

import argparse
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from models.config import Config
from models.drawing import pictures
from models.train import Start, prepare

SMALL: dict[str, Any] = {
    "data.source": "shapes", "size": 16, "convnet.depth": 16, "convnet.profundity": 4, "batch_size": 8,
    "valid_images": 16, "loss_pixels": 64, "speed.compile": "off",
}  # fmt: skip
STEPS = 6  # three eager ones, a capture, two replays
FORK = """
import os, torch, models.train
assert not torch.cuda.is_initialized(), "importing models.train starts CUDA"
child = os.fork()
if child == 0:
    try: torch.zeros(1, device={device!r}).sum().item()
    except BaseException as e: print(e, flush=True); os._exit(1)
    os._exit(0)
raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


class Wrong(Exception):
    """A check's answer was not as it should be; the message says how."""


def start(device: str, **hypers: Any) -> Start:
    """A tiny training before its first step."""
    return prepare(Config.of({**SMALL, **hypers}), 0, device, lambda _: None)


def losses(of: Start, batches: tuple[int, ...] = (8,) * STEPS) -> list[float]:
    """The loss of one step for each batch size. Raises Wrong when one is not finite."""
    found = []
    for batch in batches:
        of.learner.learn(batch, 1e-3, 0.9)
        found.append(of.learner.mean_loss())
    if not all(map(math.isfinite, found)):
        raise Wrong(f"losses are not finite: {found}")
    return found


def same(one: list[float], two: list[float], what: str) -> None:
    """Raises Wrong unless both are the same to the bit."""
    if one != two:
        at = next(i for i, (a, b) in enumerate(zip(one, two, strict=True)) if a != b)
        raise Wrong(f"{what} differ from step {at + 1} on: {one[at]} and {two[at]}")


def mixed_devices(device: str) -> str:
    """Training, the exam and its shuffled captions; a tensor left on the CPU raises."""
    begun = start(device)
    losses(begun)
    begun.measured_more(begun.true_answers())
    return "training and exam"


def memory(device: str) -> str:
    """What training and exam hold, beside what the pre-flight held; Wrong when it is far more."""
    begun = start(device)
    begun.learner.try_out(8)
    if device == "cpu":
        losses(begun)
        return "the pre-flight passes; a CPU's peak is not looked at"
    tried = torch.cuda.max_memory_reserved(device)
    losses(begun)
    begun.true_answers()
    held = torch.cuda.max_memory_reserved(device)
    free = torch.cuda.mem_get_info(device)[0]
    if held > 4 * tried:
        raise Wrong(
            f"pre-flight {tried >> 20} MB, with graph and exam {held >> 20} MB: near the limit it would fail"
        )
    return f"pre-flight {tried >> 20} MB, with graph and exam {held >> 20} MB; {free >> 20} MB are free"


def pools(device: str) -> str:
    """Three captures at growing batches; Wrong when a graph's memory is kept after the next."""
    begun = start(device)
    held = []
    for batch in (8, 12, 16, 20):
        losses(begun, (batch,) * STEPS)
        held.append(torch.cuda.memory_allocated(device))
    if held[-1] > 4 * held[0]:
        raise Wrong(f"memory grows from capture to capture: {[h >> 20 for h in held]} MB")
    return f"four captures, {held[0] >> 20} to {held[-1] >> 20} MB held"


def compiled(device: str) -> str:
    """torch.compile at two batch sizes with dropout, beside eager."""
    hypers = {"speed.precision": "fp32", "convnet.dropout": 0.1}
    batches = (8,) * STEPS + (16,) * STEPS
    eager = losses(start(device, **hypers), batches)
    fast = losses(start(device, **hypers, **{"speed.compile": "on"}), batches)
    if any(abs(a - b) > 0.02 * abs(a) for a, b in zip(eager, fast, strict=True)):
        raise Wrong(f"compiled it learns something else: {eager[-1]} and {fast[-1]}")
    return "two batch sizes, with dropout, within 2 % of eager"


def fork_server(device: str) -> str:
    """A process that imported the target forks, and the child uses the device."""
    env = {**os.environ, "PYTORCH_NVML_BASED_CUDA_CHECK": "1"}
    child = subprocess.run(
        [sys.executable, "-c", FORK.format(device=device)],
        env=env,
        capture_output=True,
        text=True,
        timeout=90,
    )
    if child.returncode:
        said = (child.stdout + child.stderr).strip().splitlines() or ["no message"]
        raise Wrong(said[-1])
    return "a child forked after the import uses the device"


def graph(device: str, **hypers: Any) -> str:
    """A CUDA graph's losses are those of eager steps, bit for bit."""
    on, off = (losses(start(device, **hypers, **{"speed.graph": g})) for g in ("on", "off"))
    same(on, off, "graph and eager step")
    return "bit for bit"


def onehot(device: str) -> str:
    """The same with 256 channels a colour and a recurrent reader."""
    return graph(device, **{"convnet.input": "onehot", "merger.kind": "attention", "reader.kind": "lstm"})


def dilated(device: str) -> str:
    """Deterministic convolutions with dilation and even kernels: two runs."""
    hypers = {"convnet.kind": "straight_dilated", "convnet.radius": 4, "convnet.profundity": 6}
    one, two = (losses(start(device, **hypers)) for _ in range(2))
    same(one, two, "two runs")
    return "dilation and even kernels, two runs bit for bit"


def drawn(device: str) -> str:
    """The sheet of pictures, which is drawn in float32, whatever the training's precision."""
    begun = start(device)
    asked, captions = begun.exam.curve, begun.data.valid.one_each()[1]
    with tempfile.TemporaryDirectory() as folder:
        pictures.draw_exam(
            begun.learner.model, asked.images, asked.given, begun.exam.tokens, captions, Path(folder)
        )
    return "drawn outside autocast"


def waits(device: str) -> str:
    """No step waits for the GPU."""
    begun = start(device)
    losses(begun)
    torch.cuda.set_sync_debug_mode("error")
    try:
        begun.learner.learn(8, 1e-3, 0.9)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return "none"


Check = Callable[[str], str]
CHECKS: tuple[tuple[str, Check, bool, str], ...] = (  # name, check, needs a GPU, remedy
    ("mixed devices", mixed_devices, False, "a tensor stays on the CPU: report it with this line"),
    ("memory after the pre-flight", memory, False, "leave memory free: lower batch_size or convnet.depth"),
    ("graph pools", pools, True, 'give speed.graph = "off"'),
    ("compile, growing batches", compiled, True, 'give speed.compile = "off", or update torch and triton'),
    (
        "CUDA in the fork server",
        fork_server,
        False,
        "a module that the target imports wakes CUDA: import it later",
    ),
    ("graph = eager", graph, True, 'give speed.graph = "off"'),
    ("one-hot input in a capture", onehot, True, 'give speed.graph = "off" with convnet.input = "onehot"'),
    ("dilated convolutions repeat", dilated, False, "update cuDNN, or give speed.deterministic = false"),
    ("pictures", drawn, False, "report it with this line"),
    ("waiting in a step", waits, True, "training works, but slower: report it with this line"),
)


def main() -> int:
    """Runs every check and prints its line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m models.doctor",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--device", default="cuda", help="cuda, cuda:1 or cpu (default: cuda)")
    device = parser.parse_args().device
    if device.startswith("cuda") and not torch.cuda.is_available():
        print(
            "PyTorch finds no CUDA device here; give --device cpu, or install a CUDA build of torch",
            file=sys.stderr,
        )
        return 2
    failed = 0
    for name, check, needs_gpu, remedy in CHECKS:
        if needs_gpu and device == "cpu":
            print(f"  -      {name}: only a GPU has it", flush=True)
            continue
        began = time.monotonic()
        try:
            line = f"  ok     {name}: {check(device)}"
        except Exception as error:
            failed += 1
            said = (str(error).strip().splitlines() or [""])[0]
            line = f"  WRONG  {name}: {type(error).__name__}: {said}. What to do: {remedy}"
        print(f"{line}  ({time.monotonic() - began:.0f} s)", flush=True)
    print(f"{failed} of {len(CHECKS)} checks failed" if failed else "nothing is wrong")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
