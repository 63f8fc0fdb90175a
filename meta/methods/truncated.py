"""Truncated: the way back covers the last K steps only, at K/T of a tape's memory and of its time.

What it computes, exactly: the derivative of the outer loss when the state after T−K steps is held where it is and
the hyperparameters change only what the last K steps (and the outer loss) read. As a hypergradient it is biased:
rates of earlier steps and all that shapes x₀ get zeros, and what the last K steps share with earlier ones gets only
their part. Where the inner loss is strongly convex the bias falls off exponentially in K (Shaban et al. 2019,
section 3).
"""

from dataclasses import dataclass
from math import ceil

import torch

from meta.hypers import STARTS, Parts
from meta.inner.steps import Inner
from meta.methods.backwards import Backwards
from meta.methods.method import Slope

# A step back costs about three plain ones, so a quarter of them makes a training about 1.75 times as long instead
# of 4, at a quarter of the tape; and it is longer than momentum remembers, 1/(1−β) = 10 steps, from T = 40.
SHARE = 4


@dataclass(frozen=True)
class Truncated:
    """The adjoint over a tape of the last `last` states. Raises ValueError for fewer than one."""

    last: int | None = None  # K; None: ⌈T/4⌉
    name = "truncated"

    def __post_init__(self) -> None:
        if self.last is not None and self.last < 1:
            raise ValueError(f"Truncated: the last {self.last} steps; give 1 or more, or None for a quarter")

    def refuses(self, inner: Inner, parts: Parts) -> str | None:
        """Refuses more steps than the training has, and parts that the last steps do not read."""
        T, K = inner.T, self._steps(inner.T)
        if K > T:
            return f"last={K}, but the training has {T} steps; give 1 to {T}, or None for a quarter of them"
        if K < T and all(name in STARTS for name in parts):
            return (
                f"the last {K} of {T} steps do not reach the first weights, and {', '.join(parts)} would get zeros;"
                f" give last={T}, or another method"
            )
        return None

    def bytes(self, inner: Inner, parts: Parts) -> int:
        """The last K states of one run."""
        return self._steps(inner.T) * inner.state_bytes

    def __call__(self, inner: Inner, parts: Parts) -> Slope:
        T, K = inner.T, self._steps(inner.T)
        with torch.no_grad():
            expanded = inner.expand(parts)
            state = inner.start(expanded)
            states, losses = [], inner.losses()
            for t in range(T):
                if t >= T - K:
                    states.append(state)
                state, losses[t] = inner.advance(t, state, expanded)
            x = state[0]
            back = Backwards(inner, expanded, state)
            for t in reversed(range(T - K, T)):
                back.recompute(t, states.pop())
        bits = 8 * self.bytes(inner, parts) / (T * inner.problem.layout.P)
        found = back.parts(parts, from_start=K == T)
        return Slope(back.value, found, x, losses, back.growth, bits)

    def _steps(self, T: int) -> int:
        return ceil(T / SHARE) if self.last is None else self.last
