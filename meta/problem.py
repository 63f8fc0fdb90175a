"""The problem to be trained, as pure functions of one flat vector of parameters.

A problem holds no state and draws no random numbers of its own: the batch of step t under a seed is a function of
the two, so that a method may ask for it again on its way back.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from typing import Any

import torch
from torch import Tensor

from meta.dynamics import Dynamics, HeavyBall
from meta.hypers import Hypers


@dataclass(frozen=True)
class Piece:
    """One tensor within the vector. An axis of it counts the units (neurons) that it belongs to.

    Raises ValueError for an axis that the shape does not have.
    """

    name: str
    shape: tuple[int, ...]
    layer: int = 0
    # of the units; −1 for x @ W + b, 0 for the weight of torch.nn.Linear or Conv2d, which is [out, in, ...]
    axis: int = -1

    def __post_init__(self) -> None:
        n = max(len(self.shape), 1)
        if not -n <= self.axis < n:
            raise ValueError(f"Piece {self.name!r}: has no axis {self.axis}; its shape is {list(self.shape)}")

    @property
    def size(self) -> int:
        """The number of parameters."""
        return prod(self.shape)

    @property
    def units(self) -> int:
        """How many units there are: the length of their axis; 1 for a scalar."""
        return self.shape[self.axis] if self.shape else 1

    def over(self, values: Tensor) -> Tensor:
        """A value for each of m units as one for each weight; m = 1 is one for all.  [..., m] -> [..., size]"""
        some, shape = values.shape[:-1], self.shape or (1,)
        m = values.shape[-1]
        along = [1] * len(shape)
        along[self.axis] = m
        return values.reshape(*some, *along).expand(*some, *shape).reshape(*some, self.size)


@dataclass(frozen=True)
class Layout:
    """How a vector of P parameters is divided into tensors, groups (one per tensor), layers and units."""

    pieces: tuple[Piece, ...]

    @cached_property
    def sizes(self) -> list[int]:
        """The number of parameters of each group."""
        return [piece.size for piece in self.pieces]

    @property
    def P(self) -> int:
        """The number of parameters."""
        return sum(self.sizes)

    @property
    def G(self) -> int:
        """The number of groups: one per tensor."""
        return len(self.pieces)

    @property
    def groups(self) -> list[str]:
        """The names of the groups."""
        return [piece.name for piece in self.pieces]

    def split(self, x: Tensor) -> list[Tensor]:  # [P] -> tensors in their shapes
        """The tensors that the vector x [P] is made of, as views in their own shapes."""
        return [part.view(piece.shape) for part, piece in zip(x.split(self.sizes), self.pieces, strict=True)]

    def named(self, x: Tensor) -> dict[str, Tensor]:
        """`split` by the names of the pieces, as torch.func.functional_call takes it."""
        return dict(zip(self.groups, self.split(x), strict=True))

    def spread(self, values: Tensor) -> Tensor:
        """[..., G] -> [..., P], or [..., 1] where one value serves all."""
        if self.G == 1:
            return values
        columns = [values[..., g : g + 1].expand(*values.shape[:-1], n) for g, n in enumerate(self.sizes)]
        return torch.cat(columns, -1)

    def dot(self, a: Tensor, b: Tensor) -> Tensor:  # [..., P], [..., P] -> [..., G]
        """Σ ab over each group. With b = 1 it is the adjoint of `spread`."""
        pairs = zip(a.split(self.sizes, -1), b.split(self.sizes, -1), strict=True)
        return torch.stack([torch.linalg.vecdot(one, other) for one, other in pairs], -1)

    def by_group(self, x: Tensor, values: Tensor, f: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        """f(x's part, values' row) group by group: [P], [G, ...] -> [P]."""
        return torch.cat([f(part, values[g]) for g, part in enumerate(x.split(self.sizes))])

    @cached_property
    def granularities(self) -> dict[int, str]:
        """The possible numbers of penalties -> the unit that each penalty belongs to."""
        units = {sum(self._units): "unit"} if self._units else {}
        return {self.P: "weight"} | units | {len(self._layers): "layer", 1: "one"}

    def penalties(self, values: Tensor) -> Tensor:  # [..., n] -> [..., P], or [..., 1]
        """One penalty per weight. Raises ValueError when n is not a key of `granularities`."""
        n = values.shape[-1]
        if n in (1, self.P):
            return values
        if n not in self.granularities:
            raise ValueError(f"log_l2 has {n} entries; give one of {_ways(self.granularities)}")
        # By views and not by index: an index kept from within vmap would be bound to that vmap, and to one device.
        widths = self._units if self.granularities[n] == "unit" else [1] * n
        of_layer = dict(zip(self._layers, values.split(widths, -1), strict=True))
        return torch.cat([piece.over(of_layer[piece.layer]) for piece in self.pieces], -1)

    @cached_property
    def _layers(self) -> list[int]:
        return sorted({piece.layer for piece in self.pieces})

    @cached_property
    def _units(self) -> list[int]:
        """How many each layer has: a unit's incoming weights and its bias are one. Empty where that is unclear."""
        widths = {
            layer: {piece.units for piece in self.pieces if piece.layer == layer} for layer in self._layers
        }
        clear = all(len(each) == 1 for each in widths.values())
        return [width for each in widths.values() for width in each] if clear else []


def _ways(granularities: dict[int, str]) -> str:
    return ", ".join(f"{n} ({name})" for n, name in sorted(granularities.items()))


@dataclass(frozen=True)
class Problem:
    """x: [P] weights, h: Hypers with only the parts that losses read, batch: a pytree of tensors.

    The library calls each function with x, h and the batch's floats in one dtype, that of `precision`; tensors
    that the losses bring along must follow it: valid_images.to(x.dtype). It adds the penalty of h.log_l2 itself.

    Each function must be pure: the same arguments give the same bits and change nothing. Random numbers, such as
    dropout's masks, belong into `batch`. `hypergradient` tries this before it trains.

    Raises ValueError for fields of the wrong kind.
    """

    layout: Layout
    steps: int  # T
    # seed -> [P]; scaled by log_init_scale; standard normal if init_bins is used
    init: Callable[[int], Tensor]
    inner_loss: Callable[[Tensor, Hypers, Any], Tensor]  # x, h, batch -> []
    outer_loss: Callable[..., Tensor]  # x, h -> [], or x, h, batch -> [] with an outer_batch
    batch: Callable[[int, int], Any]  # t, seed -> batch
    dynamics: Dynamics = field(default_factory=HeavyBall)
    # x -> figures for people, such as "error/test"
    scores: Callable[[Tensor], dict[str, float]] | None = None
    # seed -> the outer loss's batch, for one that sees a part of the validation set at a time
    outer_batch: Callable[[int], Any] | None = None
    # of the parts that the losses read, where they are known: {"data": (N, D)}; others are not checked
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.layout, Layout):
            raise ValueError(f"layout: is a {type(self.layout).__name__}; give a Layout of Pieces")
        if not isinstance(self.steps, int) or self.steps < 1:
            raise ValueError(f"steps: is {self.steps}; give a whole number from 1")
        has = all(hasattr(self.dynamics, name) for name in ("width", "rates", "start", "step"))
        if isinstance(self.dynamics, type) or not has:
            raise ValueError(
                f"dynamics: {self.dynamics!r} is not an optimiser; give HeavyBall() or Adam() of meta, or an object "
                "with the interface of meta.dynamics.Dynamics"
            )
