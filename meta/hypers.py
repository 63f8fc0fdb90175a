"""The hyperparameters that can be learned, as a pytree of unbounded tensors.

Every part is optional; a part that is left out keeps the problem's own value and gets no gradient. Each is free to
be any real number, so that a gradient step can never leave its domain: rates are logarithms, momenta logits.

With `settings` many at once every part has one more axis in front, [K, ...].
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

Parts = dict[str, Tensor]  # the parts that are there, by name; those of `other` as "other.NAME"

SCHEDULES = ("log_lr", "logit_momentum")  # read by the optimiser at each step
STARTS = ("log_init_scale", "init_bins", "init")  # read when the first weights are made
PENALTY = "log_l2"  # added to the inner loss by the library
_OTHER = "other."


@dataclass(frozen=True, eq=False)
class Hypers:
    """T: inner steps, G: groups of parameters, P: parameters, N: training examples, D: their size, C: classes."""

    log_lr: Tensor | None = None  # [T, G]  α = exp(log_lr)
    logit_momentum: Tensor | None = None  # [T, G]  β = sigmoid(logit_momentum); Adam's β₁
    log_init_scale: Tensor | None = None  # [G]     x₀ = exp(log_init_scale) · problem.init(seed)
    init_bins: Tensor | None = None  # [G, B]  the quantiles of x₀: see meta.inner.first_weights
    init: Tensor | None = None  # [P]     the first weights themselves, in the place of problem.init(seed)
    log_l2: Tensor | None = (
        None  # [n]     n = 1, layers, units or P; adds ½ Σ exp(log_l2) x² to the inner loss
    )
    data: Tensor | None = None  # [N, D]  training examples
    labels: Tensor | None = None  # [N, C]  logits of their soft labels
    generator: Tensor | None = None  # A, whose exp(At) transforms examples; its shape is the problem's affair
    # Any other tensors that the losses read.
    other: Mapping[str, Tensor] = field(default_factory=lambda: MappingProxyType({}))

    def parts(self) -> Parts:
        """The parts that are set, by name; an entry NAME of `other` is called "other.NAME"."""
        named = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "other"}
        there = {name: part for name, part in named.items() if part is not None}
        return there | {_OTHER + name: part for name, part in self.other.items()}

    @classmethod
    def of(cls, parts: Mapping[str, Tensor]) -> "Hypers":
        """The inverse of `parts`. Raises TypeError for a name that is neither a part nor "other.NAME"."""
        named = {name: part for name, part in parts.items() if not name.startswith(_OTHER)}
        other = {name.removeprefix(_OTHER): part for name, part in parts.items() if name.startswith(_OTHER)}
        return cls(**named, other=MappingProxyType(other))

    def __add__(self, step: "Hypers") -> "Hypers":
        mine, theirs = self.parts(), step.parts()
        return Hypers.of(
            {name: part + theirs[name] if name in theirs else part for name, part in mine.items()}
        )

    def __mul__(self, factor: float) -> "Hypers":
        return Hypers.of({name: part * factor for name, part in self.parts().items()})

    __rmul__ = __mul__

    def dot(self, other: "Hypers") -> Tensor:
        """Σ over the parts that both have, float64.  []"""
        theirs = other.parts()
        both = [(part, theirs[name]) for name, part in self.parts().items() if name in theirs]
        products = [(mine.double() * its.double()).sum() for mine, its in both]
        return torch.stack(products).sum() if products else torch.zeros((), dtype=torch.float64)

    def norm(self) -> Tensor:
        """The Euclidean norm over all parts, float64.  []"""
        return self.dot(self).sqrt()

    def count(self) -> int:
        """The number of entries over all parts."""
        return sum(part.numel() for part in self.parts().values())

    def __reduce__(self) -> tuple[Callable[[Parts], "Hypers"], tuple[Parts]]:
        return Hypers.of, (self.parts(),)  # a read-only mapping can't be pickled or copied as it is


def seen_by_losses(names: Iterable[str]) -> list[str]:
    """Of these parts, those that a problem's losses read; the others are gone by then."""
    return [name for name in names if name not in (*SCHEDULES, *STARTS, PENALTY)]


def _flatten(hypers: Hypers) -> tuple[list[Tensor], tuple[str, ...]]:
    parts = hypers.parts()
    return list(parts.values()), tuple(parts)


def _unflatten(leaves: Iterable[Tensor], names: tuple[str, ...]) -> Hypers:
    return Hypers.of(dict(zip(names, leaves, strict=True)))


pytree.register_pytree_node(Hypers, _flatten, _unflatten, serialized_type_name="meta.hypers.Hypers")
