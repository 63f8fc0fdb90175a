"""Replay: walk back through a tree of states, k to a node, training each branch once more when the walk gets there.

A node covers a stretch of steps and keeps the states at the beginnings of its k branches; only the branch that is
walked has a node of its own. So at most k − 1 states on each of ⌈log_k T⌉ levels are held at once, and each level is
trained once: O(k log_k T) memory for ⌈log_k T⌉ plain trainings (REPLAY: Engstrom et al. 2025, arXiv 2503.13751).
`checkpoint` is a tree of two levels. The states are those of the tape, and so is the gradient.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil

import torch

from meta.dynamics import State
from meta.hypers import Parts
from meta.inner.steps import Inner
from meta.methods.backwards import Backwards
from meta.methods.method import Slope

Advance = Callable[[int, State], State]


@dataclass(frozen=True)
class Replay:
    """The tape's gradient from a k-ary tree of states. Raises ValueError for fewer than two branches."""

    branches: int = 4  # k; 2 takes the least memory and the most time

    name = "replay"

    def __post_init__(self) -> None:
        if self.branches < 2:
            raise ValueError(f"Replay: {self.branches} branches to a node; give 2 or more")

    def refuses(self, inner: Inner, parts: Parts) -> str | None:
        """Nothing is refused."""
        return None

    def bytes(self, inner: Inner, parts: Parts) -> int:
        """The states held at once, for one run."""
        return self._held(inner.T) * inner.state_bytes

    def __call__(self, inner: Inner, parts: Parts) -> Slope:
        T = inner.T
        with torch.no_grad():
            expanded = inner.expand(parts)
            losses = inner.losses()

            def train(t: int, state: State) -> State:
                state, losses[t] = inner.advance(t, state, expanded)
                return state

            def again(t: int, state: State) -> State:
                return inner.advance(t, state, expanded)[0]

            kept, end = self._branch(0, T, inner.start(expanded), train, to_the_end=True)
            back = Backwards(inner, expanded, end)
            self._walk(0, T, kept, back, again)
        bits = 8 * self.bytes(inner, parts) / (T * inner.problem.layout.P)
        return Slope(back.value, back.parts(parts), end[0], losses, back.growth, bits)

    def _branch(
        self, first: int, last: int, state: State, advance: Advance, to_the_end: bool = False
    ) -> tuple[list[State], State]:
        """The states at the beginnings of the branches of steps [first, last), and the one it stopped at."""
        begins = self._begins(first, last)
        kept = [state]
        for t in range(first, last if to_the_end else begins[-1]):
            state = advance(t, state)
            if t + 1 in begins:
                kept.append(state)
        return kept, state

    def _walk(self, first: int, last: int, kept: list[State], back: Backwards, again: Advance) -> None:
        """Back over steps [first, last), from the states at the beginnings of its branches, which are used up."""
        begins = self._begins(first, last)
        for begin in reversed(begins):
            end = min(begin + begins.step, last)
            if end - begin == 1:
                back.recompute(begin, kept.pop())
            else:
                self._walk(begin, end, self._branch(begin, end, kept.pop(), again)[0], back, again)

    def _begins(self, first: int, last: int) -> range:
        return range(first, last, ceil((last - first) / self.branches))

    def _held(self, n: int) -> int:
        """The most states at once on the way back over n steps: the branches still to come, and the one walked."""
        begins = self._begins(0, n)
        lengths = [min(begins.step, n - begin) for begin in begins]
        inner = {length: 1 if length == 1 else self._held(length) for length in set(lengths)}
        return max(place + inner[length] for place, length in enumerate(lengths))
