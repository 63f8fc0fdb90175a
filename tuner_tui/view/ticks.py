"""Round numbers along an axis.

An axis can be drawn 20 or 200 cells wide, so it carries a ladder: sets of ticks from coarse to fine, each of
them round by itself (1-2-5 in every decade, or whole decades). The finest one that fits is drawn.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from .words import number

MOST_TICKS = 40  # of one set; no panel has room for more
USUAL_TICKS = 7  # what a middling panel holds
LARGEST = 1e300  # beyond it, differences overflow a float
SMALLEST = 1e-290  # a narrower range has no room for cells: their reciprocals overflow


class Tick(NamedTuple):
    """A labelled position on an axis."""

    position: float  # on the axis: already the logarithm, or the place of the option
    label: str


Ladder = tuple[tuple[Tick, ...], ...]  # coarse to fine, never empty, no set of it empty


def usual(ladder: Ladder) -> tuple[Tick, ...]:
    """The set of a ladder that suits a middling panel."""
    fitting = [ticks for ticks in ladder if len(ticks) <= USUAL_TICKS]
    return fitting[-1] if fitting else ladder[0]


def linear_ladder(low: float, high: float, *, whole: bool = False) -> Ladder:
    """Ticks at multiples of 1, 2 or 5 times a power of ten within [low, high]; `whole`: integers only."""
    sets: list[tuple[Tick, ...]] = []
    largest = max(abs(low), abs(high))
    for step in _steps(high - low, largest, whole):
        first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
        if last - first + 1 > MOST_TICKS:
            break
        if last - first < 1:
            continue
        digits = max(6, math.ceil(math.log10(largest / step)) + 1)  # 1000001, 1000002: not 1e6 twice
        values = (float(f"{k * step:.14g}") for k in range(first, last + 1))  # without noise: 3 * 0.1
        sets.append(tuple(Tick(value, number(value, digits)) for value in values))
    if sets:
        return tuple(sets)
    middle = low + (high - low) / 2
    value = min(max(float(f"{middle:.4g}"), low), high)
    value = float(round(value)) if whole and abs(value) < LARGEST else value
    return ((Tick(value, number(value, 12)),),)


def log_ladder(low: float, high: float) -> Ladder:
    """Ticks between 10**low and 10**high: decades, then 1-2-5; round steps where neither has two."""
    sets: list[tuple[Tick, ...]] = []
    for stride in (100, 50, 20, 10, 5, 2, 1):
        first, last = math.ceil(low / stride - 1e-9), math.floor(high / stride + 1e-9)
        if 2 <= last - first + 1 <= MOST_TICKS:
            sets.append(tuple(_log_tick(1, k * stride) for k in range(first, last + 1)))
    decades = range(math.floor(low), math.ceil(high) + 1)
    if 3 * len(decades) <= MOST_TICKS:
        ticks = (_log_tick(digit, decade) for decade in decades for digit in (1, 2, 5))
        inside = tuple(tick for tick in ticks if low - 1e-9 <= tick.position <= high + 1e-9)
        if len(inside) >= 2:
            sets.append(inside)
    if sets:
        return tuple(sets)
    if low > -300 and high < 300:
        ladder = linear_ladder(10**low, 10**high)
        return tuple(
            tuple(Tick(min(max(math.log10(t.position), low), high), t.label) for t in ticks if t.position > 0)
            for ticks in ladder
        )
    middle = (low + high) / 2
    return ((Tick(middle, f"1e{round(middle)}"),),)


def symlog(value: float, unit: float) -> float:
    """sign(v) log10(1 + |v| / unit): a logarithm with a place for zero and for both signs.

    After Webber, A bi-symmetric log transformation, Meas. Sci. Technol. 24 (2013).
    """
    size = min(abs(value), LARGEST)
    decades = math.log10(max(size, SMALLEST)) - math.log10(unit)  # their ratio may overflow a float
    return math.copysign(decades if decades > 15 else math.log10(1 + size / unit), value)


def symlog_ladder(low: float, high: float, unit: float) -> Ladder:
    """Ticks of sign(v) log10(1 + |v| / unit): zero and decades on both sides, from few decades to all, then 1-2-5.

    The finest have those of the decade below the unit, where the axis is nearly linear.
    """
    first = math.floor(math.log10(unit) + 0.5)
    last = min(first + math.ceil(max(abs(low), abs(high))), 300)
    sets: list[tuple[Tick, ...]] = []
    for stride, digits, below in (
        (5, (1,), 0), (3, (1,), 0), (2, (1,), 0), (1, (1,), 0), (1, (1,), 1), (1, (1, 2, 5), 0), (1, (1, 2, 5), 1),
    ):  # fmt: skip
        decades = range(last, first - 1 - below, -stride)
        sizes = [float(f"{digit}e{decade}") for decade in decades for digit in digits]
        values = sorted({0.0, *sizes, *(-size for size in sizes)})
        ticks = tuple(
            Tick(position, number(value, 6))
            for value in values
            if low <= (position := symlog(value, unit)) <= high
        )
        if 2 <= len(ticks) <= MOST_TICKS and (not sets or len(ticks) > len(sets[-1])):
            sets.append(ticks)
    return tuple(sets) or ((Tick(max(low, min(0.0, high)), "0"),),)


def _steps(span: float, largest: float, whole: bool) -> list[float]:
    """1-2-5 steps from one as wide as `span` down to where labels could no longer differ."""
    if not span > 0:
        return []
    finest = max(span / MOST_TICKS / 2, largest * 1e-10)  # labels of a dozen digits help nobody
    steps: list[float] = []
    for decade in range(math.floor(math.log10(span)), math.floor(math.log10(finest)) - 1, -1):
        steps += [step for digit in (5, 2, 1) if finest <= (step := float(f"{digit}e{decade}")) <= span]
    return [step for step in steps if step >= 1] if whole else steps


def _log_tick(digit: int, decade: int) -> Tick:
    # By its text, not by 10**decade: that would be 0 below 1e-323.
    label = number(float(f"{digit}e{decade}"), 6) if -300 < decade < 300 else f"{digit}e{decade}"
    return Tick(decade + math.log10(digit), label)
