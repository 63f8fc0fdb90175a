"""The interface of a method, and its result."""

from dataclasses import dataclass, field, replace
from typing import Protocol

from torch import Tensor

from meta.hypers import Parts
from meta.inner.steps import Inner


@dataclass(frozen=True)
class Slope:
    """Values and gradients of the runs of an Inner; leading axes (...) are those runs."""

    value: Tensor  # [...] the outer loss
    parts: Parts  # [..., *shape] its gradient by each part
    x: Tensor  # [..., P] the trained weights
    losses: Tensor  # [T, ...] the inner loss before each step
    growth: Tensor | None = None  # [...] Λ = log ‖d/dx₀‖ − log ‖d/dx_T‖, where there was a way back
    bits: float | None = None  # kept for the way back, per parameter and step, beyond the fixed state
    exact: Tensor | None = None  # [...] bool: the way back ended at x₀, bit for bit
    figures: Parts = field(default_factory=dict)  # [...] each: further diagnostics of the method
    note: str | None = None  # a choice that the method made on the way

    def with_axis(self) -> "Slope":
        """A lone run's slope as that of one run side by side: [*shape] -> [1, *shape]."""
        axis = {name: value[None] for name, value in vars(self).items() if isinstance(value, Tensor)}
        parts, figures = (
            {name: part[None] for name, part in kind.items()} for kind in (self.parts, self.figures)
        )
        return replace(self, **axis, parts=parts, figures=figures)


class Method(Protocol):
    """A way to compute hypergradients: it may refuse, estimates its memory, and is called with runs and parts."""

    name: str

    def refuses(self, inner: Inner, parts: Parts) -> str | None:
        """The reason why these runs and parts are not supported, with the remedy, or None."""
        ...

    def bytes(self, inner: Inner, parts: Parts) -> int:
        """Estimated memory for one run, beyond that of the problem and one plain step."""
        ...

    def __call__(self, inner: Inner, parts: Parts) -> Slope: ...
