"""Bounds of the outer loop: on the length of a step, and on penalties that would make the inner training diverge."""

import math
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

import torch
from torch import Tensor

from meta.dynamics import HeavyBall
from meta.hypers import Hypers
from meta.inner.ties import Ties
from meta.problem import Problem

# The largest change of one entry in one outer step. A gradient is valid only nearby.
TRUST: Mapping[str, float] = MappingProxyType(
    {
        "log_lr": 0.25,  # a factor of 1.3: calm gradients (Λ < 1) hold so far in 2 of 3 runs of benchmarks/chaos.py
        "logit_momentum": 0.5,  # β = .9 may become .86 or .94
        "log_init_scale": 0.5,
        "init_bins": 0.5,
        "log_l2": 1.0,  # a factor of e: penalties range over decades, and weights react slowly to them
        "data": 0.5,  # of pixels from 0 to 1
        "labels": 1.0,  # logits
    }
)

MARGIN = 1.0  # e times below the limit: the loss has a curvature of its own, which the limit leaves out


def within(change: Tensor, trust: float | None) -> Tensor:
    """The same direction, no entry larger than `trust`."""
    if trust is None or not change.numel():
        return change
    return change * (trust / change.abs().max()).clamp(max=1.0)


def l2_limit(problem: Problem, hypers: Hypers, ties: Ties | None = None) -> float:
    """The log_l2 from which heavy ball diverges on the penalty alone: log[2(1+β)/(α(1−β))], of the worst step and
    group. Infinite for optimisers whose steps are bounded anyhow.

    A penalty ½λx² has the slope λx, and v ← βv − (1−β)λx; x ← x + αv has an eigenvalue below −1 from
    α(1−β)λ = 2(1+β) on. (Without the ½ the same limit reads (1+β)/(α(1−β)).)
    """
    if not isinstance(problem.dynamics, HeavyBall):
        return math.inf
    parts = {name: part for name, part in hypers.parts().items() if name in ("log_lr", "logit_momentum")}
    parts = {name: ties[name].spread(part) if ties and name in ties else part for name, part in parts.items()}
    like = torch.zeros((), dtype=torch.float64)
    parts = {name: part.detach().to(like) for name, part in parts.items()}
    alpha, beta = problem.dynamics.rates(parts, problem.steps, problem.layout.G, like)
    return float((2 * (1 + beta) / (alpha * (1 - beta))).log().min())


def capped(problem: Problem, hypers: Hypers, ties: Ties | None = None, margin: float = MARGIN) -> Hypers:
    """Penalties no larger than `margin` below the limit of today's rates."""
    if hypers.log_l2 is None:
        return hypers
    # A tied penalty is spread before it is read; ties that only repeat or interpolate keep its largest value.
    most = l2_limit(problem, hypers, ties) - margin
    return replace(hypers, log_l2=hypers.log_l2.clamp(max=most))
