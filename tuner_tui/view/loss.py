"""The loss axis: one for all panels of a study, so that heights can be compared across them.

Which scale. Logarithmic, for the resolution at the bottom, unless more than a fifth of the finite losses are
zero or below: then linear. On the logarithmic axis those few stand at the bottom edge and are counted.

Which limits. From every finite loss, a little widened. Only when that would squash the others does it leave
some out: when the whole range is more than ten times the distance between the 10th and 90th percentile
(a loss of 1e12 just before it became nan), what lies more than two such distances
beyond them stands at the edge and is counted. The rule is the same on both scales and never drops a trial.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ..study.outcomes import Outcome
from ..study.snapshot import Snapshot
from .ticks import LARGEST, SMALLEST, Ladder, linear_ladder, log_ladder

Edge = Literal["", "low", "high"]

NON_POSITIVE = 0.2  # of the finite losses: more than that at or below zero makes the axis linear
SQUASHED = 10.0  # times the middle: fewer than two rows of a panel of 15 would remain for most points
FENCE = 2.0  # times the middle, beyond it: the middle keeps at least a fifth of the axis
ENOUGH = 8  # losses, to speak of percentiles
SNAP = 20  # parts of the range: limits move in such steps, so a new extreme rarely moves every panel
NARROWEST = 0.01  # of a decade, or of the value: nearer than that losses are equal on a screen


@dataclass(frozen=True)
class LossScale:
    """How losses become heights: linear or logarithmic, and what lies beyond the axis."""

    log: bool
    low: float  # on the axis: the logarithm when `log`
    high: float
    ladder: Ladder

    def place(self, loss: float) -> tuple[float, Edge]:
        """Where a finite loss stands, and the edge when it lies beyond one."""
        position = float(loss)
        if self.log:
            position = math.log10(loss) if loss > 0 else -math.inf
        if position < self.low:
            return self.low, "low"
        return (self.high, "high") if position > self.high else (position, "")


@dataclass(frozen=True)
class Edges:
    """How many trials of a study stand at an edge, and why; for the notes under the panels."""

    diverged: int = 0
    infinite: int = 0  # of these: the last loss was nan or infinite
    above: int = 0  # far above the others
    below: int = 0  # far below the others
    not_positive: int = 0  # zero or below, which a logarithmic axis has no place for


def loss_scale(snapshot: Snapshot) -> LossScale:
    """The loss axis that all panels of a study share, whether all of its trials are shown or some."""
    losses = _finite(snapshot.part_of or snapshot)
    positive = [loss for loss in losses if loss > 0]
    if len(losses) - len(positive) > NON_POSITIVE * len(losses):
        low, high = _limits([min(max(loss, -LARGEST), LARGEST) for loss in losses])
        least = max(NARROWEST * max(abs(low), abs(high)), SMALLEST) if low or high else NARROWEST
        if high - low <= least:
            low, high = low - 10 * least, high + 10 * least  # all equal: some room about them
        low, high = _snap(low, high)
        return LossScale(False, low, high, linear_ladder(low, high))
    if not positive:
        low, high = -1.0, 1.0  # nothing is known: 0.1 to 10, where most losses will fall
    else:
        low, high = _limits([math.log10(loss) for loss in positive])
        if high - low <= NARROWEST:
            low, high = low - math.log10(2), high + math.log10(2)  # all equal: half to double
        low, high = _snap(low, high)
    return LossScale(True, low, high, log_ladder(low, high))


def edges(snapshot: Snapshot) -> Edges:
    """How many trials are drawn at an edge of the loss axis, and why."""
    scale = loss_scale(snapshot)
    losses = _finite(snapshot)
    not_positive = sum(loss <= 0 for loss in losses) if scale.log else 0
    sides = [scale.place(loss)[1] for loss in losses]
    return Edges(
        diverged=sum(t.diverged and t.value is not None for t in snapshot.trials.values()),
        infinite=sum(t.not_a_number and t.value is not None for t in snapshot.trials.values()),
        above=sides.count("high"),
        below=sides.count("low") - not_positive,
        not_positive=not_positive,
    )


def _finite(snapshot: Snapshot) -> list[float]:
    """The last finite loss of every trial that has a height; those without are lines."""
    return [
        t.value for t in snapshot.trials.values() if t.value is not None and t.outcome is not Outcome.NO_START
    ]


def _limits(positions: Sequence[float]) -> tuple[float, float]:
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
    return low, high


def _snap(low: float, high: float) -> tuple[float, float]:
    """Outwards to round positions, with at least a small margin: no point on the very border."""
    step = 10.0 ** math.floor(math.log10((high - low) / SNAP))
    step *= next(digit for digit in (1, 2, 5, 10) if digit * step * SNAP >= (high - low) * 0.999)
    low_step, high_step = math.floor(low / step - 0.25), math.ceil(high / step + 0.25)
    return max(low_step * step, -1.1 * LARGEST), min(high_step * step, 1.1 * LARGEST)
