"""The loss axis: one for all panels of a study, so that heights can be compared across them.

Which scale. Logarithmic, for the resolution at the bottom, unless more than a fifth of the finite losses are
zero or below: then linear. On the logarithmic axis those few stand at the bottom edge and are counted; but where the
best trial would be one of them, the axis is a symmetric logarithm, which has a place for every number. A person can
choose another spacing (axes.py): the excess over the lowest loss on a log scale, or the rank.

Which limits. From every finite loss of a trial that has ended, a little widened. Only when that would squash the
others does it leave some out: when the whole range is more than ten times the distance between the 10th and 90th
percentile (a loss of 1e12 just before it became nan), what lies more than two such distances beyond them stands at
the edge and is counted. The best trial is always inside. The rule is the same on all scales and never drops a trial.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from ..study.outcomes import Outcome
from ..study.snapshot import Snapshot
from .axes import Axes, Spacing
from .ticks import LARGEST, SMALLEST, Ladder, Tick, linear_ladder, log_ladder, symlog, symlog_ladder
from .words import number

Edge = Literal["", "low", "high"]
Scale = Literal["log", "linear", "symlog", "excess", "rank"]

NON_POSITIVE = 0.2  # of the finite losses: more than that at or below zero makes the axis linear
SQUASHED = 10.0  # times the middle: fewer than two rows of a panel of 15 would remain for most points
FENCE = 2.0  # times the middle, beyond it: the middle keeps at least a fifth of the axis
ENOUGH = 8  # losses, to speak of percentiles
SNAP = 20  # parts of the range: limits move in such steps, so a new extreme rarely moves every panel
NARROWEST = 0.01  # of a decade, or of the value: nearer than that losses are equal on a screen
BELOW_LEAST = 0.5  # decades under the smallest excess: where the lowest loss itself stands
ROUNDING = 1e-6  # of the median excess: a smaller one is rounding, and would take decades of the axis
RANK_LADDER = ((0.0, 1.0), (0.0, 0.5, 1.0), (0.0, 0.25, 0.5, 0.75, 1.0), tuple(k / 10 for k in range(11)))
UNITS = 12  # of a symmetric logarithm that are tried: the decades that losses of a study span, and more
SQUEEZED = 0.1  # of the finished trials, the best: in less than a row of points they can't be told apart
TELLING = 50  # finished trials, from which on that is said


@dataclass(frozen=True)
class LossScale:
    """How losses become heights, and what lies beyond the axis."""

    scale: Scale
    low: float  # on the axis: logarithms, excesses or ranks where it shows such
    high: float
    ladder: Ladder
    under: bool = False  # whether some trial lies below the axis
    over: bool = False  # ... or above it, or went there at its end
    unit: float = 1.0  # symlog: below it the axis is nearly linear
    origin: float = 0.0  # excess: the lowest loss, or the highest where larger is better
    least: float = 1.0  # excess: the smallest there is
    up: int = 1  # excess: -1 where larger is better, so that better stays above
    ranked: tuple[float, ...] = ()  # rank: all losses, in order

    def place(self, loss: float) -> tuple[float, Edge]:
        """Where a finite loss stands, and the edge when it lies beyond one."""
        position = self._position(float(loss))
        if position < self.low:
            return self.low, "low"
        return (self.high, "high") if position > self.high else (position, "")

    def _position(self, loss: float) -> float:
        match self.scale:
            case "linear":
                return loss
            case "log":
                return math.log10(loss) if loss > 0 else -math.inf
            case "symlog":
                return symlog(loss, self.unit)
            case "excess":
                excess = (loss - self.origin) * self.up
                if excess < 0:
                    return -math.inf * self.up
                if excess < self.least:
                    return self.up * (math.log10(self.least) - BELOW_LEAST)
                return self.up * math.log10(excess)
            case "rank":
                before, behind = bisect_left(self.ranked, loss), bisect_right(self.ranked, loss)
                return (before + behind - 1) / 2 / max(1, len(self.ranked) - 1)


@dataclass(frozen=True)
class Edges:
    """How many trials of a study stand at an edge, and why; for the notes under the panels."""

    diverged: int = 0
    infinite: int = 0  # of these: the last loss was nan or infinite
    above: int = 0  # far above the others
    below: int = 0  # far below the others
    not_positive: int = 0  # zero or below, which a logarithmic axis has no place for


def loss_scale(snapshot: Snapshot, axes: Axes | None = None) -> LossScale:
    """The loss axis that all panels of a study share, whether all of its trials are shown or some."""
    whole, axes = snapshot.part_of or snapshot, axes or Axes()
    scale = _scale(whole, axes)
    # A running trial moves: rows that came and went with it would shift all the others.
    having = [
        (trial, value)
        for trial in whole.trials.values()
        if trial.outcome in (Outcome.FINISHED, Outcome.UNFINISHED)
        and (value := axes.value(trial)) is not None
    ]
    sides = {scale.place(value)[1] for _, value in having}
    over = "high" in sides or any(trial.not_a_number for trial, _ in having)
    return replace(scale, under="low" in sides, over=over)


def _scale(whole: Snapshot, axes: Axes) -> LossScale:
    losses = _finite(whole, axes)
    best = None if axes.measurement or whole.best is None else whole.best.value
    positive = [loss for loss in losses if loss > 0]
    match axes.y:
        case Spacing.RANK if len(losses) > 1:
            return _rank(losses)
        case Spacing.EXCESS if len(losses) > 1 and max(losses) > min(losses):
            return _excess(losses, -1 if whole.direction == "maximize" and not axes.measurement else 1)
        case Spacing.LINEAR:
            scale = _linear(losses, best)
        case Spacing.LOG if positive:
            scale = _log(positive, best)
        case _ if len(losses) - len(positive) > NON_POSITIVE * len(losses):
            scale = _linear(losses, None)
        case _:
            scale = _log(positive, best)
    if axes.y is Spacing.USUAL and best is not None and scale.place(best)[1]:
        return _symmetric(losses, best)
    return scale


def _linear(losses: list[float], best: float | None) -> LossScale:
    low, high = _limits([min(max(loss, -LARGEST), LARGEST) for loss in losses] or [0.0, 1.0], best)
    least = max(NARROWEST * max(abs(low), abs(high)), SMALLEST) if low or high else NARROWEST
    if high - low <= least:
        low, high = low - 10 * least, high + 10 * least  # all equal: some room about them
    low, high = _snap(low, high)
    return LossScale("linear", low, high, linear_ladder(low, high))


def _log(positive: list[float], best: float | None) -> LossScale:
    if not positive:
        low, high = -1.0, 1.0  # nothing is known: 0.1 to 10, where most losses will fall
    else:
        inside = math.log10(best) if best is not None and best > 0 else None
        low, high = _limits([math.log10(loss) for loss in positive], inside)
        if high - low <= NARROWEST:
            low, high = low - math.log10(2), high + math.log10(2)  # all equal: half to double
        low, high = _snap(low, high)
    return LossScale("log", low, high, log_ladder(low, high))


def _symmetric(losses: list[float], best: float) -> LossScale:
    """A symmetric logarithm, with the power of ten as its unit that gives the middle of the losses most height.

    A smaller unit spends rows on decades about zero where no trial is, a larger one is a linear axis.
    """
    ordered = sorted(losses)
    tenth = len(ordered) // 10
    sizes = sorted(max(abs(loss), SMALLEST) for loss in losses if loss)
    first, last = (math.floor(math.log10(size)) for size in (sizes[0], sizes[-1]))
    step = max(1, (last - first) // UNITS)

    def limits(unit: float) -> tuple[float, float]:
        low, high = _limits([symlog(loss, unit) for loss in ordered], symlog(best, unit))
        return low, high if high > low else low + 1

    def share(unit: float) -> float:
        low, high = limits(unit)
        return (symlog(ordered[-1 - tenth], unit) - symlog(ordered[tenth], unit)) / (high - low)

    unit = max((10.0**decade for decade in range(first, last + 1, step)), key=share)
    low, high = _snap(*limits(unit))
    return LossScale("symlog", low, high, symlog_ladder(low, high, unit), unit=unit)


def _excess(losses: list[float], up: int) -> LossScale:
    origin = min(losses) if up > 0 else max(losses)
    found = sorted(excess for loss in losses if (excess := (loss - origin) * up) > 0)
    least = max(found[0], found[len(found) // 2] * ROUNDING)
    _, high = _limits([math.log10(max(excess, least)) for excess in found])
    low = math.log10(least) - BELOW_LEAST
    low, high = _snap(low, high if high > low else low + 1)
    sign = "+" if up > 0 else "−"
    ladder = tuple(
        tuple(Tick(up * tick.position, sign + tick.label) for tick in ticks[::up])
        for ticks in log_ladder(math.log10(least), high)
    )
    low, high = (low, high) if up > 0 else (-high, -low)
    return LossScale("excess", low, high, ladder, origin=origin, least=least, up=up)


def _rank(losses: list[float]) -> LossScale:
    ranked = sorted(losses)
    ladder = tuple(
        tuple(Tick(share, number(ranked[round(share * (len(ranked) - 1))], 3)) for share in shares)
        for shares in RANK_LADDER
    )
    return LossScale("rank", -0.02, 1.02, ladder, ranked=tuple(ranked))


def edges(snapshot: Snapshot) -> Edges:
    """How many trials are drawn at an edge of the loss axis, and why."""
    scale = loss_scale(snapshot)
    losses = _finite(snapshot, Axes())
    not_positive = sum(loss <= 0 for loss in losses) if scale.scale == "log" else 0
    sides = [scale.place(loss)[1] for loss in losses]
    return Edges(
        diverged=sum(t.diverged and t.value is not None for t in snapshot.trials.values()),
        infinite=sum(t.not_a_number and t.value is not None for t in snapshot.trials.values()),
        above=sides.count("high"),
        below=sides.count("low") - not_positive,
        not_positive=not_positive,
    )


def best_tenth(snapshot: Snapshot, losses: LossScale) -> float | None:
    """The share of the axis that the best tenth of the finished trials takes; None where that says nothing.

    Less than a row of points, and no eye tells them apart.
    """
    if losses.scale in ("excess", "rank"):
        return None
    whole = snapshot.part_of or snapshot
    finished = [t for t in whole.trials.values() if t.outcome is Outcome.FINISHED and t.value is not None]
    if len(finished) < TELLING:
        return None
    finished.sort(key=whole.rank)
    first, last = finished[0].value, finished[round(SQUEEZED * len(finished)) - 1].value
    assert first is not None and last is not None
    return abs(losses.place(first)[0] - losses.place(last)[0]) / (losses.high - losses.low)


def _finite(snapshot: Snapshot, axes: Axes) -> list[float]:
    """The last finite loss of every trial that has a height; those without are lines.

    A trial that runs may have begun high up; it counts only while no other has ended.
    """
    values = [
        (value, t.running)
        for t in snapshot.trials.values()
        if t.outcome is not Outcome.NO_START and (value := axes.value(t)) is not None
    ]
    ended = [value for value, running in values if not running]
    return ended or [value for value, _ in values]


def _limits(positions: Sequence[float], best: float | None = None) -> tuple[float, float]:
    ordered = sorted(positions)
    low, high = ordered[0], ordered[-1]
    if len(ordered) < ENOUGH:
        return low, high
    tenth = len(ordered) // 10
    first, last = ordered[tenth], ordered[-1 - tenth]
    middle = last - first
    if middle > 0 and high - low > SQUASHED * middle:
        inside = [p for p in ordered if first - FENCE * middle <= p <= last + FENCE * middle]
        low, high = inside[0], inside[-1]
        if best is not None:
            low, high = min(low, best), max(high, best)
    return low, high


def _snap(low: float, high: float) -> tuple[float, float]:
    """Outwards to round positions, with at least a small margin: no point on the very border."""
    step = 10.0 ** math.floor(math.log10((high - low) / SNAP))
    step *= next(digit for digit in (1, 2, 5, 10) if digit * step * SNAP >= (high - low) * 0.999)
    low_step, high_step = math.floor(low / step - 0.25), math.ceil(high / step + 0.25)
    return max(low_step * step, -1.1 * LARGEST), min(high_step * step, 1.1 * LARGEST)
