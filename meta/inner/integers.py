"""Optimisers in integers: the steps of meta.dynamics, each of which can be undone to the last bit.

    forth:  c ← β̂c + int(gain of g), for every average c that the optimiser keeps;    X ← X + int(move)
    back:   X ← X − int(move);  g = ∇L(X) again;  c ← (c − int(gain of g)) / β̂

Maclaurin et al. 2015, algorithm 3, for any optimiser whose move depends on its averages alone. What the product
with β̂ = n/d loses is kept: see meta.inner.fixedpoint.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from meta.dynamics import Adam, Rates, State
from meta.inner.fixedpoint import SPILL, FixedPoint, InfoBuffer, Room, count_spills
from meta.problem import Layout

# On a CPU the arithmetic is cheaper with one rate for many weights than with a rate each, and in memory that stays
# in its caches. On a GPU every operation costs a kernel: all weights at once.
LARGE_GROUP = 2**13  # a group that is worth its own operations
BLOCK = 2**17


Spread = Callable[[Tensor], Tensor]  # from some groups to their weights, [..., G] -> [..., P] or [..., 1]


@dataclass(frozen=True)
class Part:
    """Some of the parameters, whose integers are held by themselves."""

    weights: slice  # of P
    groups: slice  # of G
    spread: Spread

    @property
    def size(self) -> int:
        """The number of weights."""
        return self.weights.stop - self.weights.start


def cut(layout: Layout, device: torch.device) -> list[Part]:
    """Each large group by itself, neighbouring small ones together; on a GPU all in one."""
    if device.type == "cuda":
        return [Part(slice(0, layout.P), slice(0, layout.G), layout.spread)]
    runs: list[tuple[int, int]] = []  # of groups: first, and one after the last
    for g, size in enumerate(layout.sizes):
        joins = runs and size < LARGE_GROUP and all(n < LARGE_GROUP for n in layout.sizes[slice(*runs[-1])])
        runs = [*runs[:-1], (runs[-1][0], g + 1)] if joins else [*runs, (g, g + 1)]
    parts = []
    for first, end in runs:
        some = Layout(layout.pieces[first:end])
        start = sum(layout.sizes[:first])
        step = BLOCK if end == first + 1 else some.P
        for low in range(start, start + some.P, step):
            weights = slice(low, min(low + step, start + some.P))
            parts.append(Part(weights, slice(first, end), some.spread))
    return parts


@dataclass(frozen=True, eq=False)
class Decay:
    """β̂ = n/d at every step: n [T, ..., G] int32, and the smallest n of each step."""

    n: Tensor
    d: int
    least: list[int]

    @classmethod
    def of(cls, beta: Tensor, d: int) -> "Decay":  # beta: [T, ..., G] in any dtype, rounded to n/d already
        """β̂ [T, ..., G] as fractions n/d."""
        n = (beta.double() * d).round().int().clamp(1, d)
        return cls(n, d, n.flatten(1).amin(1).tolist())

    def complement(self) -> Tensor:  # 1 − β̂, float64
        """1 − β̂ as float64, exact, [T, ..., G]."""
        return (self.d - self.n).double() / self.d

    def spills(self) -> int:
        """How many int16 each parameter puts aside over all T steps."""
        return count_spills(self.least, self.d)


class Law(Protocol):
    """An optimiser's own arithmetic on some of the parameters, in float64, bit by bit the same on both ways.

    Results are in units of the integers, and may be stored in `room`.
    """

    decays: tuple[Decay, ...]  # of each average
    numbers: tuple[FixedPoint, ...]  # of each average
    spread: Spread
    steepest: float  # |g| below it keeps every average within LIMIT: they are weighted means of g, or of g²

    def gain(self, k: int, t: int, g: Tensor, room: Room) -> Tensor:
        """The increment of average k in step t."""
        ...

    def move(self, t: int, averages: list[Tensor], room: Room) -> Tensor:
        """The increment of the weights in step t."""
        ...


class HeavyBallLaw:
    """v ← β̂v − (1−β̂)g;  x ← x + αv"""

    def __init__(self, rates: Rates, d: int, numbers: FixedPoint, part: Part) -> None:
        alpha, beta = (rate[..., part.groups] for rate in rates)
        decay = Decay.of(beta, d)
        self.decays, self.numbers, self.spread = (decay,), (numbers,), part.spread
        self.steepest = numbers.range
        self.alpha = alpha.double()
        self.per_g = decay.complement() * -(2.0**numbers.bits)

    def gain(self, k: int, t: int, g: Tensor, room: Room) -> Tensor:
        """−(1−β̂)g in units of the velocity's integers."""
        return room.r.copy_(g).mul_(self.spread(self.per_g[t]))

    def move(self, t: int, averages: list[Tensor], room: Room) -> Tensor:
        """αv in units of the weights' integers."""
        v, alpha = averages[0], self.spread(self.alpha[t])  # v and x have the same unit
        return torch.mul(v, alpha, out=room.r) if v.is_floating_point() else room.r.copy_(v).mul_(alpha)


class AdamLaw:
    """m ← β̂₁m + (1−β̂₁)g;  s ← β̂₂s + (1−β̂₂)g²;  x ← x − α a₁ m / √(a₂ s + ε²)

    s cannot become negative: it starts at 0, a product with n/d rounds to 0 or above, and g² is not negative.
    """

    def __init__(
        self, dynamics: Adam, rates: Rates, d: int, weights: FixedPoint, averages: FixedPoint, part: Part
    ) -> None:
        alpha, beta, a1, a2 = (rate[..., part.groups].double() for rate in rates)
        n2, d2 = dynamics.second
        self.decays = Decay.of(beta, d), Decay.of(torch.full_like(a2, n2 / d2), d2)
        self.numbers, self.spread = (averages, averages), part.spread
        self.steepest = min(averages.range, averages.range**0.5)
        self.per_g = [decay.complement() * 2.0**averages.bits for decay in self.decays]
        self.pace = -alpha * a1 * 2.0 ** (weights.bits - averages.bits)
        self.per_s = a2 * 2.0**-averages.bits
        self.eps2 = dynamics.eps**2

    def gain(self, k: int, t: int, g: Tensor, room: Room) -> Tensor:
        """(1−β̂₁)g for k = 0 and (1−β̂₂)g² for k = 1, in units of that average's integers."""
        gain = room.r.copy_(g)
        if k == 1:
            gain.square_()
        return gain.mul_(self.spread(self.per_g[k][t]))

    def move(self, t: int, averages: list[Tensor], room: Room) -> Tensor:
        """−α a₁ m / √(a₂ s + ε²) in units of the weights' integers."""
        m, s = averages
        root = room.carry.copy_(s).mul_(self.spread(self.per_s[t])).add_(self.eps2).rsqrt_()
        return room.r.copy_(m).mul_(root).mul_(self.spread(self.pace[t]))


class Integers:
    """Some of the weights and their averages, [..., n] each."""

    def __init__(self, x0: Tensor, numbers: FixedPoint, law: Law, offload: bool, room: Room) -> None:
        self.x0, self.numbers, self.law, self.room = x0, numbers, law, room
        self.X = numbers.encode(x0)
        self.averages = [torch.zeros_like(self.X) for _ in law.decays]
        self.buffers = [InfoBuffer(self.X, decay.d, offload, room) for decay in law.decays]

    def step(self, t: int, g: Tensor) -> None:
        """Step t with the gradient g [..., n], in place."""
        for k, (c, buffer, decay) in enumerate(
            zip(self.averages, self.buffers, self.law.decays, strict=True)
        ):
            buffer.mul_(c, self.law.spread(decay.n[t]), decay.least[t])
            c += self.law.numbers[k].whole(self.law.gain(k, t, g, self.room), self.room)
        self.X += self.numbers.whole(self.law.move(t, self.averages, self.room), self.room)

    def undo_move(self, t: int) -> None:
        """The first half of undoing step t: the weights before it."""
        self.X -= self.numbers.whole(self.law.move(t, self.averages, self.room), self.room)

    def undo_averages(self, t: int, g: Tensor) -> None:
        """The second half: the averages before step t, given the gradient g at those weights."""
        for k, (c, buffer, decay) in enumerate(
            zip(self.averages, self.buffers, self.law.decays, strict=True)
        ):
            c -= self.law.numbers[k].whole(self.law.gain(k, t, g, self.room), self.room)
            buffer.unmul_(c, self.law.spread(decay.n[t]))

    def at_start(self) -> Tensor:  # [...]
        """Whether weights, averages and buffers equal those before the first step, bit for bit, [...]."""
        same = (self.numbers.encode(self.x0) == self.X).all(-1)
        for c, buffer in zip(self.averages, self.buffers, strict=True):
            same &= (c == 0).all(-1) & buffer.empty()
        return same


class Training:
    """A training under way, in integers: forth with `step`, back with `undo_move` and `undo_averages`."""

    def __init__(
        self, x0: Tensor, parts: list[Part], laws: list[Law], numbers: FixedPoint, offload: bool = False
    ) -> None:
        self.shape, self.dtype, self.parts = x0.shape, x0.dtype, parts
        numbers_are = torch.float64 if numbers.narrow else torch.int64
        room = Room.of((*x0.shape[:-1], max(part.size for part in parts)), x0.device, numbers_are)
        self.pieces = [
            Integers(x0[..., part.weights], numbers, law, offload, room.first(part.size))
            for part, law in zip(parts, laws, strict=True)
        ]
        self.numbers, self.steepest = numbers, min(law.steepest for law in laws)
        self.furthest_x = self.furthest_g = torch.zeros(x0.shape[:-1], dtype=x0.dtype, device=x0.device)

    def x(self) -> Tensor:
        """The weights as real numbers, [..., P]."""
        return self._floats([(piece.numbers, piece.X) for piece in self.pieces])

    def watch(self, x: Tensor) -> None:
        """Records the largest weight. To be called before every forward step:

        A sum of int64 that wraps round lands beyond LIMIT too: from |X| < 2^62 another int64 leads to 1.5·2^63 at
        most, and that is −2^62. So does what a float too large becomes, −2^63. A step later it may be back.
        """
        self.furthest_x = self._farther(self.furthest_x, x)

    def averages(self) -> State:
        """The optimiser's averages as real numbers, [..., P] each."""
        laws = [list(zip(piece.law.numbers, piece.averages, strict=True)) for piece in self.pieces]
        return tuple(self._floats(list(average)) for average in zip(*laws, strict=True))

    def step(self, t: int, g: Tensor) -> None:
        """Step t with the gradient g [..., P], in place."""
        self.furthest_g = self._farther(self.furthest_g, g)  # NaN once one g is
        for piece, part in zip(self.pieces, self.parts, strict=True):
            piece.step(t, g[..., part.weights])

    def undo_move(self, t: int) -> None:
        """The weights before step t are restored; the averages need the gradient there first."""
        for piece in self.pieces:
            piece.undo_move(t)

    def undo_averages(self, t: int, g: Tensor) -> None:
        """The averages before step t are restored, given the gradient g [..., P] at the restored weights."""
        for piece, part in zip(self.pieces, self.parts, strict=True):
            piece.undo_averages(t, g[..., part.weights])

    def within(self) -> Tensor:
        """Whether all integers stayed in range so far and all gradients were finite, [...]."""
        return (self.furthest_x < self.numbers.range) & (self.furthest_g < self.steepest)

    def _farther(self, before: Tensor, values: Tensor) -> Tensor:
        """The largest so far; what follows the first that leaves its range means nothing, and is left out."""
        return torch.where(self.within(), torch.maximum(before, values.abs().amax(-1)), before)

    def at_start(self) -> Tensor:
        """Whether weights, averages and words are those of the start, to the bit, [...]."""
        return torch.stack([piece.at_start() for piece in self.pieces]).all(0)

    def spilled(self) -> int:
        """Bits stored in addition to the fixed state, for all parameters of a run."""
        sizes = [SPILL * part.size for part in self.parts]
        counts = [sum(buffer.spills for buffer in piece.buffers) for piece in self.pieces]
        return sum(size * count for size, count in zip(sizes, counts, strict=True))

    def _floats(self, pieces: list[tuple[FixedPoint, Tensor]]) -> Tensor:
        whole = torch.empty(self.shape, dtype=self.dtype, device=pieces[0][1].device)
        for part, (numbers, c) in zip(self.parts, pieces, strict=True):
            numbers.decode(c, out=whole[..., part.weights])
        return whole
