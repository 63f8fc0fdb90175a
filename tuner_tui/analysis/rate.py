"""Loss against an increasing learning rate: what a finder measured, and the rates derived from it.

The range test of L. N. Smith (2017), "Cyclical Learning Rates for Training Neural Networks": the rate rises
exponentially while the loss is watched. It falls, is lowest, and diverges. The curve is smoothed
by a window about each reading, so that nothing is shifted to the right as by a running average.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

from ..search.search import RATE_FINDER
from ..study.snapshot import Snapshot

LARGEST = 1e300  # a larger loss is clamped: differences must not overflow a float
WINDOW = 25  # the smoothing window reaches a 25th of the readings to either side
BELOW, ABOVE = 10.0, 5.0  # a search looks from a tenth of the suggested rate to five times it


@dataclass(frozen=True)
class RateCurve:
    """The readings of a finder in the order of their rates, and the rate it suggests, if it does."""

    readings: tuple[tuple[float, float], ...] = ()  # (rate above 0, loss), nan and infinity included
    suggested: float | None = None

    @cached_property
    def finite(self) -> tuple[tuple[float, float], ...]:
        """The (rate, loss) readings whose loss is finite, as they were taken."""
        clamped = ((rate, max(-LARGEST, min(loss, LARGEST))) for rate, loss in self.readings if loss == loss)
        return tuple((rate, loss) for rate, loss in clamped if abs(loss) < LARGEST)

    @cached_property
    def log(self) -> bool:
        """Whether heights are logarithms."""
        return all(loss > 0 for _, loss in self.finite)

    @cached_property
    def heights(self) -> tuple[float, ...]:
        """The loss of each finite reading, or its log10 where `log` says so."""
        return tuple(math.log10(loss) if self.log else loss for _, loss in self.finite)

    @cached_property
    def reach(self) -> int:
        """How many readings on each side the smoothing takes in."""
        return len(self.finite) // WINDOW

    @cached_property
    def smoothed(self) -> tuple[float, ...]:
        """The mean height about each reading, over as many to its left as to its right but at the ends."""
        windows = (
            self.heights[max(0, i - self.reach) : i + self.reach + 1] for i in range(len(self.heights))
        )
        return tuple(math.fsum(height / len(window) for height in window) for window in windows)

    @cached_property
    def lowest_place(self) -> int:
        """The index of the reading with the lowest smoothed loss."""
        return min(range(len(self.smoothed)), key=self.smoothed.__getitem__)

    @cached_property
    def _start(self) -> float:
        first = self.heights[: 2 * self.reach + 1]
        return math.fsum(height / len(first) for height in first)

    @property
    def lowest(self) -> float | None:
        """The rate at which the smoothed loss is lowest; None when it never falls below its start."""
        return self.finite[self.lowest_place][0] if self._falls else None

    @property
    def _falls(self) -> bool:
        return (
            len(self.finite) > 1 and self.smoothed[self.lowest_place] < self._start and self.lowest_place > 0
        )

    @property
    def steepest(self) -> float | None:
        """The rate at which the smoothed loss falls fastest for an equal factor of the rate."""
        if not self._falls:
            return None
        reach = max(1, self.reach)
        slopes = []
        for i in range(self.lowest_place + 1):
            a, b = max(0, i - reach), min(self.lowest_place, i + reach)
            run = math.log10(self.finite[b][0] / self.finite[a][0])
            slopes.append(((self.smoothed[b] - self.smoothed[a]) / run if run > 0 else 0.0, i))
        return self.finite[min(slopes)[1]][0]

    @property
    def diverges(self) -> float | None:
        """The rate from which the loss has lost half of what it had gained, or is not finite."""
        if not self._falls:
            return None
        half = (self._start + self.smoothed[self.lowest_place]) / 2
        turned = self.finite[self.lowest_place][0]
        rates = [rate for rate, loss in self.readings if not math.isfinite(loss)]
        risen = zip(self.finite[self.lowest_place :], self.smoothed[self.lowest_place :], strict=True)
        rates += [rate for (rate, _), height in risen if height >= half]
        return min((rate for rate in rates if rate > turned), default=None)

    @property
    def range(self) -> tuple[float, float] | None:
        """What a search should try: about the suggested rate, below where it diverges."""
        if self.suggested is None:
            return None
        high = min(self.suggested * ABOVE, self.diverges or math.inf)
        return self.suggested / BELOW, max(high, self.suggested)


def rate_curve(snapshot: Snapshot) -> RateCurve | None:
    """What a finder's one trial measured: {"lr", "loss"}, and at its end "lr/suggested". None: no finder's study."""
    if snapshot.search.kind != RATE_FINDER:
        return None
    readings: list[tuple[float, float]] = []
    suggested = None
    for values in snapshot.trials[0].readings if 0 in snapshot.trials else ():
        rate, found = values.get("lr", 0.0), values.get("lr/suggested", 0.0)
        if snapshot.objective in values and 0 < rate < math.inf:
            readings.append((rate, values[snapshot.objective]))
        if 0 < found < math.inf:
            suggested = found
    return RateCurve(tuple(sorted(readings, key=lambda reading: reading[0])), suggested)
