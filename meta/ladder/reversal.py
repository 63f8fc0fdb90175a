"""Rung 2: reversal passes through the same weights as training, bit for bit; naive reversal does not.

The method is not inspected: the loss itself records all weights at which it is evaluated.
"""

import dataclasses
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from meta.dynamics import Dynamics, HeavyBall
from meta.hypers import Hypers
from meta.ladder.cases import DYNAMICS, HEAVY_BALL, Case, everything, tanh_network
from meta.ladder.check import Check, above, at_most
from meta.methods.method import Slope
from meta.methods.reversible import Reversible

STEPS = 150
NAIVE_STEPS = 350  # by which even float64 has lost all: 0.875³⁵⁰ = 5e-21
F32, F64 = torch.float32, torch.float64
INTS = {F32: torch.int32, F64: torch.int64}  # whose bits are compared: 0.0 and −0.0 are not the same


def rung(device: torch.device, quick: bool = False) -> Iterator[Check]:
    """Rung 2. Checks reversal to the bit, and that reversal in floating point fails."""
    yield from reversible(2, device, STEPS)
    for dtype, bits in ((F32, "f32"), (F64, "f64")):
        figure = naive_error(device, HEAVY_BALL, dtype)
        yield above(2, f"control: naive reversal's error, {bits}", figure, 0.1)


def reversible(rung: int, device: torch.device, steps: int) -> Iterator[Check]:
    """For both optimisers and precisions: all weights are met again on the way back, and the buffers end empty."""
    for name, dynamics in DYNAMICS.items():
        for dtype, bits in ((F32, "f32"), (F64, "f64")):
            trail, slope = walked(device, dynamics, dtype, steps)
            what = f"{name}, {bits}, T={steps}"
            yield at_most(rung, f"{what}: weights not met again", strangers(trail), 0)
            ended = slope.exact is not None and bool(slope.exact.all())
            yield at_most(rung, f"{what}: not ended empty", int(not ended), 0)


def walked(
    device: torch.device, dynamics: Dynamics, dtype: torch.dtype, steps: int
) -> tuple[list[Tensor], Slope]:
    """All weights at which the inner loss was evaluated, in order, and the resulting slope."""
    plain = tanh_network(device, dynamics, steps)
    trail: list[Tensor] = []

    def inner_loss(x: Tensor, h: Hypers, batch: Any) -> Tensor:
        trail.append(x.detach().clone())
        return plain.inner_loss(x, h, batch)

    problem = dataclasses.replace(plain, inner_loss=inner_loss)
    return trail, Case(problem, everything(problem, device), device).slope(Reversible(), dtype)


def strangers(trail: list[Tensor]) -> int:
    """x₀ … x_{T−1} and then x_{T−1} … x₀: how many numbers differ in any bit."""
    forth, back = trail[: len(trail) // 2], trail[len(trail) // 2 :][::-1]
    return sum(
        int((a.view(INTS[a.dtype]) != b.view(INTS[b.dtype])).sum()) for a, b in zip(forth, back, strict=True)
    )


def naive_error(device: torch.device, dynamics: HeavyBall, dtype: torch.dtype) -> float:
    """The relative error of x₀ when steps are undone in floating point: division by β magnifies rounding errors."""
    case = Case(tanh_network(device, dynamics, NAIVE_STEPS), {}, device)
    inner = case.inner(dtype)
    with torch.no_grad():
        expanded = inner.expand({})
        x, v = inner.start(expanded)
        for t in range(NAIVE_STEPS):
            (x, v), _ = inner.advance(t, (x, v), expanded)
        for t in reversed(range(NAIVE_STEPS)):
            alpha, beta = inner.rates_at(expanded.rates, t)
            x = x - alpha * v
            g, _ = inner.gradient(t, x, expanded.theta)
            v = (v + (1 - beta) * g) / beta
    return ((x - expanded.x0).norm() / expanded.x0.norm()).item()
