"""Integers that can be multiplied by n/d and back without losing a bit (Maclaurin et al. 2015, algorithm 3).

What a product loses to rounding goes as a digit into a word i beside each number, which works as a stack:

    mul:    i ← i·d + (c mod d);  c ← ⌊c/d⌋·n + (i mod n);  i ← ⌊i/n⌋         c becomes about c·n/d, i about i·d/n
    unmul:  the same with n and d exchanged

Each mul makes i longer by log2(d/n) bits. No number decides what happens: a bound on all i at once, U, which follows
from n and d alone, says when the low 16 bits of every i are put aside. So nothing here waits for a device.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

# Numbers stay below these, in absolute value. A sum of two int64 is then still one. float64 holds whole numbers below
# 2^53, and has their quotients exactly below 2^50 (see _floor_div), in less than half of int64's time: no processor
# divides or converts those in vectors.
LIMIT = 2**62
NARROW = 2**50
LARGEST_BASE = 2**16  # of n and d: their products with i, and their quotients, then fit the bounds below
SPILL = 16  # bits put aside at a time, an int16 for each i: U keeps 18 or more, so that rounding it up wastes none
WORD = NARROW  # i and its digits are float64


@dataclass(frozen=True)
class FixedPoint:
    """A whole number c stands for c / 2^bits: an int64, or a narrow one, which float64 holds."""

    bits: int
    narrow: bool = False

    @property
    def range(self) -> float:
        """Values must lie between −range and range."""
        return (NARROW if self.narrow else LIMIT) / 2.0**self.bits

    def encode(self, x: Tensor) -> Tensor:
        """Real numbers x as integers c ≈ x·2^bits: rounded down if narrow, else towards zero."""
        scaled = x.double() * 2.0**self.bits
        return scaled.floor() if self.narrow else scaled.long()

    def whole(self, amount: Tensor, room: "Room") -> Tensor:
        """A float64 amount in units of c, rounded; in `room`, where the amount may lie itself."""
        return amount.floor_() if self.narrow else room.q.copy_(amount)

    def decode(self, c: Tensor, out: Tensor) -> Tensor:
        """The real numbers c / 2^bits, written to `out`."""
        return out.copy_(c).mul_(2.0**-self.bits)


def grow(U: int, n: int, d: int) -> tuple[bool, int]:
    """Whether i <= U must spill before a mul by n/d, and the bound after it; any larger n keeps below it too."""
    spill = U * d + d - 1 >= WORD
    if spill:
        U >>= SPILL
    return spill, (U * d + d - 1) // n


def count_spills(least: Iterable[int], d: int) -> int:
    """How many int16 a parameter puts aside in mul by n/d for each n of `least`."""
    U, spills = 0, 0
    for n in least:
        spill, U = grow(U, n, d)
        spills += spill
    return spills


@dataclass(frozen=True, eq=False)
class Room:
    """Scratch memory: allocating every intermediate would take longer than the arithmetic."""

    q: Tensor  # as the numbers
    r: Tensor  # float64
    carry: Tensor  # float64
    low_q: Tensor  # int32
    low_r: Tensor  # int32

    @classmethod
    def of(cls, shape: Sequence[int], device: torch.device, numbers: torch.dtype) -> "Room":
        """Scratch tensors of `shape` on `device`; `numbers` is the dtype that holds the integers."""
        types = numbers, *[torch.float64] * 2, *[torch.int32] * 2
        return cls(*(torch.empty(*shape, dtype=dtype, device=device) for dtype in types))

    def first(self, size: int) -> "Room":  # [..., P] -> [..., size]
        """The same memory, cut to the first `size` entries of the last axis."""
        return Room(*(getattr(self, field.name)[..., :size] for field in fields(self)))


class InfoBuffer:
    """The words i, [..., P], and their stored low bits. n: int32, [..., P] or [..., 1], 1 <= n <= d."""

    def __init__(self, like: Tensor, d: int, offload: bool = False, room: Room | None = None) -> None:
        self.i = torch.zeros_like(like, dtype=torch.float64)
        self.d = d
        self.base = torch.tensor([d], dtype=torch.int32, device=like.device)
        self.shift = d.bit_length() - 1 if d & (d - 1) == 0 else None  # d = 2^shift
        self.offload = offload and like.is_cuda
        self.room = room or Room.of(like.shape, like.device, like.dtype)
        self.U = 0  # i <= U
        self.undo: list[tuple[int, Tensor | None]] = []  # U before each mul, and the low bits it stored

    def mul_(self, c: Tensor, n: Tensor, least: int) -> None:
        """c ← about c·n/d, in place, for c within its range. No n falls below `least`, in any parameter and run: the
        smallest n decides for all of them when to spill, so that none has to be looked at."""
        before = self.U
        spill, self.U = grow(self.U, least, self.d)
        self.undo.append((before, self._spill() if spill else None))
        self._exchange(c, self.base, n, self.shift)

    def unmul_(self, c: Tensor, n: Tensor) -> None:
        """Undoes the last mul_, which was by n/d."""
        self._exchange(c, n, self.base, None)
        self.U, spilled = self.undo.pop()
        if spilled is not None:
            self._restore(spilled)

    def empty(self) -> Tensor:
        """Whether all words are zero and nothing is stored, [...]."""
        return (self.i == 0).all(-1) & (not self.undo)

    @property
    def spills(self) -> int:
        """How often the low bits were put aside and not yet restored."""
        return sum(spilled is not None for _, spilled in self.undo)

    def _exchange(self, c: Tensor, a: Tensor, b: Tensor, shift: int | None) -> None:
        """A digit in base a goes from c into i, one in base b from i to c. a = 2^shift, unless that is None."""
        q, r, carry = self.room.q, self.room.r, self.room.carry
        real_a, real_b = a.double(), b.double()
        if c.is_floating_point():
            _floor_div(c, real_a, out=q)
            torch.addcmul(c, q, real_a, value=-1, out=r)  # c mod a
            r.addcmul_(self.i, real_a)
            _floor_div(r, real_b, out=self.i)
            torch.addcmul(r, self.i, real_b, value=-1, out=c).addcmul_(q, real_b)
            return
        if shift is None:
            _divide(c, a, real_a, self.room)
            self.i -= carry
        else:
            torch.bitwise_right_shift(c, shift, out=q)
            r.copy_(self.room.low_r.copy_(c).bitwise_and_(2**shift - 1))
        r.addcmul_(self.i, real_a)  # (i − carry)·a + r = i·a + (c mod a), from 0 to WORD
        _floor_div(r, real_b, out=self.i)
        r.addcmul_(self.i, real_b, value=-1)
        if shift is None:
            r.addcmul_(carry, real_b)
        c.copy_(r)
        if b is self.base:
            c.add_(q, alpha=self.d)  # (q + carry)·b and the new digit
        else:
            c.add_(q.mul_(b))

    def _spill(self) -> Tensor:
        i = self.i.long()
        self.i.copy_(i >> SPILL)
        low = i.short()  # the low 16 bits
        if not self.offload:
            return low
        return torch.empty_like(low, device="cpu", pin_memory=True).copy_(low, non_blocking=True)

    def _restore(self, low: Tensor) -> None:
        low = low.to(self.i.device, non_blocking=True).long() & (2**SPILL - 1)
        self.i.copy_((self.i.long() << SPILL) | low)


def _floor_div(x: Tensor, n: Tensor, out: Tensor) -> Tensor:
    """⌊x/n⌋ for whole |x| < 2^50, exactly, in float64.

    (x + ½)/n lies ½/n or more from any whole number. 1/n and the product are each off by 2^-53 of themselves, which
    makes |x + ½|/n · 2^-52 at most, and that is less.
    """
    return torch.add(x, 0.5, out=out).mul_(n.reciprocal()).floor_()


def _divide(c: Tensor, n: Tensor, real_n: Tensor, room: Room) -> None:
    """room.q, carry and r with ⌊c/n⌋ = q + carry and c mod n = r − carry·n, for |c| < 2^62.

    In float64 c is off by up to 2^8, c/n by 2^10/n more: so qn is from c by 2^11 + n at most. The rest r = c − qn
    then is its own low 32 bits: int32, which wraps round, finds it sooner than int64. And its own quotient, the
    carry, is exact.
    """
    room.q.copy_(room.r.copy_(c).mul_(real_n.reciprocal()))
    room.r.copy_(room.low_r.copy_(c).sub_(room.low_q.copy_(room.q).mul_(n)))
    _floor_div(room.r, real_n, out=room.carry)
