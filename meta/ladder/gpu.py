"""Rung 10: on a GPU the way back is the way forth too, to the bit, while its kernels repeat themselves."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from meta.ladder.check import Check, skipped
from meta.ladder.reversal import reversible

STEPS = 300


@contextmanager
def repeatable(device: torch.device) -> Iterator[None]:
    """Deterministic algorithms where there are any. It only warns where there are none: sums that run along the
    steps (`cumsum`), which take part in no step and so not in the way back."""
    if device.type != "cuda":
        yield
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when cuBLAS starts
    before = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])


def rung(device: torch.device, quick: bool = False) -> Iterator[Check]:
    """Rung 10. Repeats rung 2 with more steps on a CUDA device; yields one skipped check elsewhere."""
    if device.type == "cuda":
        with repeatable(device):
            yield from reversible(10, device, STEPS)
    elif torch.cuda.is_available():
        yield skipped(
            10, "bitwise reversal on a GPU", "climbed on the CPU; there is a GPU, give --device cuda"
        )
    else:
        yield skipped(10, "bitwise reversal on a GPU", "there is no CUDA device here")
