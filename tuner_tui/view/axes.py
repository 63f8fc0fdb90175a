"""What a person can choose about the axes of the scatterplots: which measurement, and how the axes are spaced."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from ..study.snapshot import Snapshot, Trial
from ..study.text import printable
from .words import number


class Spacing(StrEnum):
    """How values are spread along an axis."""

    USUAL = "usual"  # the search file's for a hyperparameter; for a loss see loss.py
    LOG = "log"
    LINEAR = "linear"
    EXCESS = "excess"  # above the lowest loss, on a log scale: spreads the best trials
    RANK = "rank"  # the trials evenly, whatever their distances


Y_SPACINGS = (Spacing.USUAL, Spacing.EXCESS, Spacing.RANK, Spacing.LINEAR, Spacing.LOG)
X_SPACINGS = (Spacing.USUAL, Spacing.LINEAR, Spacing.LOG)


class Overlay(StrEnum):
    """What panels show of their trials (overlays.py)."""

    POINTS = "points"  # all of them
    MEDIANS = "medians"  # and quartiles, over the points
    BEST = "best"  # of each bin, in place of the others


@dataclass(frozen=True)
class Axes:
    """The axes of all panels. `measurement`: what the y axis shows, "" for the objective."""

    y: Spacing = Spacing.USUAL
    x: Spacing = Spacing.USUAL
    measurement: str = ""

    def value(self, trial: Trial) -> float | None:
        """What the y axis shows of a trial: its last finite objective, or the last reading of a measurement."""
        if not self.measurement:
            return trial.value
        value = trial.latest.get(self.measurement)
        return value if value is not None and math.isfinite(value) else None

    def words(self, snapshot: Snapshot) -> str:
        """What differs from the usual, for a title: `loss/valid by rank, x linear`; "" where nothing does."""
        if self == Axes():
            return ""
        name = printable(self.measurement or snapshot.objective)
        spacing = {Spacing.USUAL: "", Spacing.RANK: " by rank"}.get(self.y, f", {self.y}")
        if self.y is Spacing.EXCESS:
            whole = snapshot.part_of or snapshot
            known = [v for t in whole.trials.values() if (v := self.value(t)) is not None] or [math.nan]
            down = snapshot.direction == "maximize" and not self.measurement
            spacing = (
                f" below the highest, {number(max(known))}"
                if down
                else f" above the lowest, {number(min(known))}"
            )
        across = f", x {self.x}" if self.x is not Spacing.USUAL else ""
        return f"y: {name}{spacing}{across}"
