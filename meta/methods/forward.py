"""Forward mode: the state's tangents are carried along with the training, and no states are kept.

With s_t the state, s_{t+1} = Φ_t(s_t, λ), and Z_t = ds_t/dλ:

    Z_{t+1} = (∂Φ_t/∂s_t) Z_t + ∂Φ_t/∂λ,    dE/dλ = (∂E/∂s_T) Z_T + ∂E/∂λ      (Franceschi et al. 2017, section 3.2)

A column of Z is one direction in the space of λ and costs about a training of its own, so this is for a handful of
hyperparameters (ties make them few), however long the training.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from meta.dynamics import Rates, State
from meta.hypers import Parts
from meta.inner.steps import Inner, Theta
from meta.methods.method import Slope

AT_ONCE = (
    16  # milliseconds a step and direction, 784-100-10 on CPU: 2.6 for 2 at once, 1.2 for 16, 1.5 for 64
)


@dataclass(frozen=True)
class Forward:
    """Forward-mode differentiation. Raises ValueError for fewer than one direction at once."""

    directions_at_once: int | None = None  # columns of Z carried together; None: up to AT_ONCE
    name = "forward"

    def __post_init__(self) -> None:
        if self.directions_at_once is not None and self.directions_at_once < 1:
            raise ValueError(
                f"Forward: {self.directions_at_once} directions at once; give 1 or more, or None"
            )

    def refuses(self, inner: Inner, parts: Parts) -> str | None:
        """Nothing is refused."""
        return None

    def bytes(self, inner: Inner, parts: Parts) -> int:
        """For each direction its state before and after a step, what the gradient passes through, its rates and θ."""
        width, layout, count = inner.problem.dynamics.width, inner.problem.layout, sum(_sizes(inner, parts))
        words = (2 * width + 4) * layout.P + 2 * width * inner.T * layout.G + 2 * count
        return min(self._columns, count) * words * inner.dtype.itemsize

    def __call__(self, inner: Inner, parts: Parts) -> Slope:
        sizes, k = _sizes(inner, parts), self._columns
        n = sum(sizes)
        walks = [_walk(inner, parts, _basis(inner, parts, range(i, min(i + k, n)))) for i in range(0, n, k)]
        gradient = torch.cat([walk.slope for walk in walks]).movedim(0, -1)  # [..., n]
        found = {
            name: some.reshape(part.shape)
            for (name, part), some in zip(parts.items(), gradient.split(sizes, -1), strict=True)
        }
        return Slope(walks[0].value, found, walks[0].x, walks[0].losses)

    @property
    def _columns(self) -> int:
        return self.directions_at_once or AT_ONCE


def tangent(inner: Inner, parts: Parts, direction: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """The outer loss [...] and its derivative along one direction [...]; parts left out of it stand still."""
    there = {name: direction.get(name, torch.zeros_like(part)) for name, part in parts.items()}
    walk = _walk(inner, parts, {name: along[None] for name, along in there.items()})
    return walk.value, walk.slope[0]


@dataclass(frozen=True)
class _Walk:
    value: Tensor  # [...]
    slope: Tensor  # [D, ...] its derivative along each direction
    x: Tensor  # [..., P]
    losses: Tensor  # [T, ...]


def _walk(inner: Inner, parts: Parts, directions: Parts) -> _Walk:  # directions: [D, ..., *shape] each
    inner = replace(inner, drawn=inner.draw())  # here: torch.func allows no random numbers within
    _ = inner.outer_batch  # which is kept

    def begin(parts: Parts) -> tuple[State, Rates, Theta]:
        expanded = inner.expand(parts)
        return inner.start(expanded), expanded.rates, expanded.theta

    (state, rates, theta), (dstate, drates, dtheta) = _push(begin, (parts,), (directions,))
    losses = inner.losses()
    for t in range(inner.T):
        at_t, dat_t = tuple(rate[t] for rate in rates), tuple(rate[:, t] for rate in drates)
        step = inner.step_function(t)
        (state, loss), (dstate, _) = _push(step, (state, at_t, theta), (dstate, dat_t, dtheta))
        losses[t] = loss
    value, slope = _push(inner.outer, (state[0], theta), (dstate[0], dtheta))
    return _Walk(value, slope, state[0], losses)


def _push(f: Callable[..., Any], at: tuple[Any, ...], along: tuple[Any, ...]) -> tuple[Any, Any]:
    """f and its derivatives along D directions, [D, ...] each."""
    # jvp copies a point into memory of the same strides, which an expanded tensor does not have.
    at = pytree.tree_map(Tensor.contiguous, at)

    def one(direction: tuple[Any, ...]) -> Any:
        return torch.func.jvp(f, at, direction)

    point_and_tangents: Any = (None, 0)  # f itself is the same along every direction
    return torch.func.vmap(one, out_dims=point_and_tangents)(along)


def _basis(inner: Inner, parts: Parts, which: range) -> Parts:
    """Of the unit directions of all entries in a row, these; the same for every run.  [D, ..., *shape]"""
    sizes, like = _sizes(inner, parts), next(iter(parts.values()))
    rows = torch.zeros(len(which), sum(sizes), dtype=like.dtype, device=like.device)
    rows[range(len(which)), which] = 1
    made = {}
    for (name, part), some in zip(parts.items(), rows.split(sizes, -1), strict=True):
        shape = part.shape[len(inner.shape) :]
        made[name] = some.view(-1, *[1] * len(inner.shape), *shape).expand(-1, *part.shape)
    return made


def _sizes(inner: Inner, parts: Parts) -> list[int]:
    return [prod(part.shape[len(inner.shape) :]) for part in parts.values()]
