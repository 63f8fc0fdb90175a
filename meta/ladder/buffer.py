"""Rung 1: integers survive thousands of multiplications by n/d and back, with minimal storage.

A product by n/d loses log2(d/n) bits per number and step; no reversible scheme can store less.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from meta.inner.fixedpoint import SPILL, InfoBuffer
from meta.ladder.check import Check, at_most

STEPS, QUICK_STEPS = 20_000, 2_000
BASE = 2**16
NUMBERS = 6
WORD_BITS = 64  # allowed beyond the floor


@dataclass(frozen=True)
class Trip:
    """What remains of a sequence of multiplications that was undone."""

    wrong: int  # numbers that came back as others, and words that were left over
    floor: float  # Σ log2(d/n), bits per number
    kept: int  # bits put aside for each


def rung(device: torch.device, quick: bool = False) -> Iterator[Check]:
    """Rung 1. Yields three kinds of checks: integers restored, bits kept, and rounding of a single product."""
    steps = QUICK_STEPS if quick else STEPS
    for what, n, d in _ratios(steps):
        trip = there_and_back(device, n, d)
        yield at_most(1, f"{what}: {len(n):,} steps, numbers lost", trip.wrong, 0)
        yield at_most(1, f"{what}: bits kept beyond the floor", trip.kept - trip.floor, WORD_BITS)
    yield at_most(1, "a product's distance from c·n/d, in units", rounding(device), BASE)


def _ratios(steps: int) -> Iterator[tuple[str, Tensor, int]]:  # n: [steps]
    generator = torch.Generator().manual_seed(0)
    d, few = BASE, min(steps, QUICK_STEPS)
    yield "n = 1", torch.ones(few, dtype=torch.long), d
    yield "n = d", torch.full((few,), d), d
    yield "n/d = 9/10", torch.full((steps,), 9), 10
    yield "n/d = 999/1000", torch.full((steps,), 999), 1000
    yield "random n", torch.randint(1, d + 1, (steps,), generator=generator), d
    yield "random n, d prime", torch.randint(1, 65_521 + 1, (few,), generator=generator), 65_521


def there_and_back(device: torch.device, n: Tensor, d: int) -> Trip:
    """Numbers of both signs; something is added at each step, as in a training, or they would all end at 0."""
    generator = torch.Generator().manual_seed(1)
    c = torch.randint(-(2**52), 2**52, (NUMBERS,), generator=generator)
    c[:2] = torch.tensor([0, -1])
    c = c.to(device)
    pushes = torch.randint(-(2**48), 2**48, (len(n), NUMBERS), generator=generator).to(device)
    start, buffer, each = c.clone(), InfoBuffer(c, d), n[:, None].int().to(device)
    for t, least in enumerate(n.tolist()):
        buffer.mul_(c, each[t], least)
        c += pushes[t]
    kept = SPILL * buffer.spills
    for t in reversed(range(len(n))):
        c -= pushes[t]
        buffer.unmul_(c, each[t])
    floor = (d / n.double()).log2().sum().item()
    wrong = int((c != start).sum()) + int((buffer.i != 0).sum())
    return Trip(wrong, floor, kept)


def rounding(device: torch.device) -> float:
    """The largest error of one product c·n/d, for c small enough to be exact in float64."""
    generator = torch.Generator().manual_seed(2)
    c = torch.randint(-(2**30), 2**30, (1000,), generator=generator).to(device)
    n, d = torch.randint(1, BASE + 1, (1000,), generator=generator).int().to(device), BASE
    exact = c.double() * n / d
    InfoBuffer(c, d).mul_(c, n, 1)
    return (c - exact).abs().max().item()
