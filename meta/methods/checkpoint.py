"""Checkpoint: keep a state every √T steps, and train each segment once more on the way back.

With segments of k steps a way back holds T/k kept states and at most k of the segment that it walks: 2√T at
k = √T, against T for `tape`, for one more plain training (Griewank & Walther 2000, in two levels). The steps of a
segment are the same operations on the same numbers as before, so the result is that of `tape`, bit for bit where
the device's kernels repeat themselves.
"""

from dataclasses import dataclass
from math import ceil, isqrt

import torch

from meta.hypers import Parts
from meta.inner.steps import Inner
from meta.methods.backwards import Backwards
from meta.methods.method import Slope


@dataclass(frozen=True)
class Checkpoint:
    """The tape's gradient from a state kept every `segment` steps. Raises ValueError for a segment below 1."""

    segment: int | None = None  # k; None: ⌈√T⌉
    name = "checkpoint"

    def __post_init__(self) -> None:
        if self.segment is not None and self.segment < 1:
            raise ValueError(f"Checkpoint: segments of {self.segment} steps; give 1 or more, or None for √T")

    def refuses(self, inner: Inner, parts: Parts) -> str | None:
        """Nothing is refused."""
        return None

    def bytes(self, inner: Inner, parts: Parts) -> int:
        """The states held at once, for one run."""
        return self._states(inner.T) * inner.state_bytes

    def __call__(self, inner: Inner, parts: Parts) -> Slope:
        T, k = inner.T, self._length(inner.T)
        with torch.no_grad():
            expanded = inner.expand(parts)
            state = inner.start(expanded)
            kept, losses = [], inner.losses()
            for t in range(T):
                if t % k == 0:
                    kept.append(state)
                state, losses[t] = inner.advance(t, state, expanded)
            x = state[0]
            back = Backwards(inner, expanded, state)
            for first in reversed(range(0, T, k)):
                last = min(first + k, T) - 1
                states = [kept.pop()]
                for t in range(first, last):
                    states.append(inner.advance(t, states[-1], expanded)[0])
                for t in reversed(range(first, last + 1)):
                    back.recompute(t, states.pop())
        bits = 8 * self.bytes(inner, parts) / (T * inner.problem.layout.P)
        return Slope(back.value, back.parts(parts), x, losses, back.growth, bits)

    def _length(self, T: int) -> int:
        return min(self.segment or isqrt(T - 1) + 1, T)  # ⌈√T⌉ = ⌊√(T−1)⌋ + 1

    def _states(self, T: int) -> int:
        k = self._length(T)
        return ceil(T / k) + k - 1  # one state of the walked segment is the kept one
