"""What a method is, and what it answers with."""

from dataclasses import dataclass, field, replace
from typing import Protocol

from torch import Tensor

from meta.hypers import Parts
from meta.inner.steps import Inner


@dataclass(frozen=True)
class Slope:
    """Values and gradients of the runs in an Inner; (...) are those runs."""

    value: Tensor  # [...] the outer loss
    parts: Parts  # [..., *shape] its gradient by each part
    x: Tensor  # [..., P] the trained weights
    losses: Tensor  # [T, ...] the inner loss before each step
    growth: Tensor | None = None  # [...] Λ = log ‖d/dx₀‖ − log ‖d/dx_T‖, where there was a way back
    bits: float | None = None  # kept for the way back, per parameter and step, beyond the fixed state
    exact: Tensor | None = None  # [...] bool: the way back ended at x₀, bit for bit
    figures: Parts = field(default_factory=dict)  # [...] each: what else a method has to say of how it went

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
        """Why it can't do this, with the remedy; None when it can."""
        ...

    def bytes(self, inner: Inner, parts: Parts) -> int:
        """Memory it will take beyond the problem's own and one plain step's: an estimate, for one run."""
        ...

    def __call__(self, inner: Inner, parts: Parts) -> Slope: ...
