"""Loss against a rising learning rate: what a finder measured, what can be read off it, and its picture.

The range test of L. N. Smith (2017), "Cyclical Learning Rates for Training Neural Networks": the rate rises
exponentially while the loss is watched. It falls, is lowest, and diverges. The curve is smoothed where it is
drawn, by a window about each reading, so that nothing is shifted to the right as by a running average.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from ..search.problems import dotted
from ..study.events import Event, TrialMeasured
from .braille import ACROSS, DOWN, braille
from .cells import place
from .charts import MARGIN, Axis, Scatter
from .draw import Line, canvas, draw_cells
from .signs import BEST, FINISHED, TEXT, Sign
from .ticks import LARGEST, linear_ladder, log_ladder, usual
from .words import number

WINDOW = 25  # the smoothing window reaches a 25th of the readings to either side
BELOW, ABOVE = 10.0, 5.0  # a search looks from a tenth of the suggested rate to five times it
READING = Sign("·", TEXT, 0)
SMOOTHED = FINISHED.style
SUGGESTED = Sign("┊", BEST.style, 0)


@dataclass(frozen=True)
class RateCurve:
    """The readings of a finder in the order of their rates, and the rate it suggests, if it does."""

    readings: tuple[tuple[float, float], ...] = ()  # (rate above 0, loss), nan and infinity included
    suggested: float | None = None

    @cached_property
    def finite(self) -> tuple[tuple[float, float], ...]:
        clamped = ((rate, max(-LARGEST, min(loss, LARGEST))) for rate, loss in self.readings if loss == loss)
        return tuple((rate, loss) for rate, loss in clamped if abs(loss) < LARGEST)

    @cached_property
    def log(self) -> bool:
        """Whether heights are logarithms."""
        return all(loss > 0 for _, loss in self.finite)

    @cached_property
    def heights(self) -> tuple[float, ...]:
        return tuple(math.log10(loss) if self.log else loss for _, loss in self.finite)

    @cached_property
    def reach(self) -> int:
        return len(self.finite) // WINDOW

    @cached_property
    def smoothed(self) -> tuple[float, ...]:
        """The mean height about each reading, over as many to its left as to its right but at the ends."""
        windows = (
            self.heights[max(0, i - self.reach) : i + self.reach + 1] for i in range(len(self.heights))
        )
        return tuple(math.fsum(height / len(window) for height in window) for window in windows)

    @cached_property
    def _lowest(self) -> int:
        return min(range(len(self.smoothed)), key=self.smoothed.__getitem__)

    @cached_property
    def _start(self) -> float:
        first = self.heights[: 2 * self.reach + 1]
        return math.fsum(height / len(first) for height in first)

    @property
    def lowest(self) -> float | None:
        """The rate at which the smoothed loss is lowest; None when it never falls below its start."""
        return self.finite[self._lowest][0] if self._falls else None

    @property
    def _falls(self) -> bool:
        return len(self.finite) > 1 and self.smoothed[self._lowest] < self._start and self._lowest > 0

    @property
    def steepest(self) -> float | None:
        """The rate at which the smoothed loss falls fastest for an equal factor of the rate."""
        if not self._falls:
            return None
        reach = max(1, self.reach)
        slopes = []
        for i in range(self._lowest + 1):
            a, b = max(0, i - reach), min(self._lowest, i + reach)
            run = math.log10(self.finite[b][0] / self.finite[a][0])
            slopes.append(((self.smoothed[b] - self.smoothed[a]) / run if run > 0 else 0.0, i))
        return self.finite[min(slopes)[1]][0]

    @property
    def diverges(self) -> float | None:
        """The rate from which the loss has lost half of what it had gained, or is not finite."""
        if not self._falls:
            return None
        half = (self._start + self.smoothed[self._lowest]) / 2
        turned = self.finite[self._lowest][0]
        rates = [rate for rate, loss in self.readings if not math.isfinite(loss)]
        risen = zip(self.finite[self._lowest :], self.smoothed[self._lowest :], strict=True)
        rates += [rate for (rate, _), height in risen if height >= half]
        return min((rate for rate in rates if rate > turned), default=None)

    @property
    def range(self) -> tuple[float, float] | None:
        """What a search should try: about the suggested rate, below where it diverges."""
        if self.suggested is None:
            return None
        high = min(self.suggested * ABOVE, self.diverges or math.inf)
        return self.suggested / BELOW, max(high, self.suggested)


def rate_curve(events: Iterable[Event], objective: str = "loss") -> RateCurve:
    """What the first trial of a finder's study measured: {"lr", "loss"}, and at its end "lr/suggested"."""
    readings: list[tuple[float, float]] = []
    suggested = None
    for event in events:
        if not isinstance(event, TrialMeasured) or event.trial != 0:
            continue
        rate, found = event.values.get("lr", 0.0), event.values.get("lr/suggested", 0.0)
        if objective in event.values and 0 < rate < math.inf:
            readings.append((rate, event.values[objective]))
        if 0 < found < math.inf:
            suggested = found
    return RateCurve(tuple(sorted(readings, key=lambda reading: reading[0])), suggested)


def rate_panel(curve: RateCurve, width: int, height: int, *, color: bool = True) -> tuple[Line, ...]:
    """`height` lines, each `width` cells wide: readings as dots, the smoothed curve, the suggested rate as a line.

    The loss axis reaches up to the highest smoothed loss before the lowest, or twice the lowest: what comes
    after, the divergence, leaves through the upper edge.
    """
    scatter = Scatter("loss by lr", "", _rate_axis(curve), _loss_axis(curve), ())
    area = canvas(scatter, width, height)
    if not area.drawable:
        return draw_cells(scatter, width, height, {}, {}, color=color)
    points: dict[tuple[int, int], Sign] = {}
    for (rate, _), y in zip(curve.finite, curve.heights, strict=True):
        if scatter.y.low <= y <= scatter.y.high:
            x = math.log10(rate)
            points[place(x, scatter.x, area.columns), place(y, scatter.y, area.rows)] = READING
    columns, rows = ACROSS * area.columns, DOWN * area.rows
    line = braille(
        (place(math.log10(rate), scatter.x, columns), rows - 1 - place(y, scatter.y, rows))
        for rate, y in _until_it_leaves(curve, scatter.y)
    )
    points |= {(x, area.rows - 1 - row): Sign(glyph, SMOOTHED, 1) for (x, row), glyph in line.items()}
    marked: dict[int, Sign] = {}
    if curve.suggested and scatter.x.low <= math.log10(curve.suggested) <= scatter.x.high:
        marked[place(math.log10(curve.suggested), scatter.x, area.columns)] = SUGGESTED
    return draw_cells(scatter, width, height, points, marked, color=color)


def _until_it_leaves(curve: RateCurve, axis: Axis) -> list[tuple[float, float]]:
    """(rate, smoothed height) up to the first one beyond the upper edge, which stands on it."""
    drawn: list[tuple[float, float]] = []
    for (rate, _), y in zip(curve.finite, curve.smoothed, strict=True):
        drawn.append((rate, min(y, axis.high)))
        if y > axis.high:
            break
    return drawn


def rate_words(curve: RateCurve, name: str) -> str:
    """The sentence under the picture. `name`: what the search calls the rate; to a finder it is `lr`."""
    facts = [
        f"{words} {number(rate, 2)}"
        for words, rate in (("falls steepest at", curve.steepest), ("is lowest at", curve.lowest),
                            ("diverges from", curve.diverges))
        if rate is not None
    ]  # fmt: skip
    if not facts:
        seen = "the loss never falls"
    else:
        seen = "the loss " + " and ".join([", ".join(facts[:-1]), facts[-1]] if facts[1:] else facts)
    if curve.suggested is None or curve.range is None:
        return f"the finder suggests no rate ({seen})"
    low, high = (number(rate, 2) for rate in curve.range)
    tried = f"in the search: {dotted((name or 'lr',))} = {{ log = [{low}, {high}] }}"
    return f"suggested lr {number(curve.suggested, 2)} ({seen}); {tried}"


def _rate_axis(curve: RateCurve) -> Axis:
    rates = [math.log10(rate) for rate, _ in curve.readings] or [-5.0, 0.0]
    low, high = min(rates), max(rates)
    margin = (high - low) * MARGIN or 0.5
    ladder = log_ladder(low - margin, high + margin)
    return Axis("lr", "log", low - margin, high + margin, usual(ladder), ladder)


def _loss_axis(curve: RateCurve) -> Axis:
    if not curve.finite:
        low, high = -1.0, 1.0
    else:
        lowest = curve._lowest
        low = curve.smoothed[lowest]
        room = math.log10(2) if curve.log else max(abs(low), 1e-3)
        high = max(*curve.smoothed[: lowest + 1], low + room)  # so it leaves after the lowest, if ever
    margin = (high - low) * 2 * MARGIN
    low, high = low - margin, high + margin
    ladder = log_ladder(low, high) if curve.log else linear_ladder(low, high)
    return Axis("loss", "log" if curve.log else "linear", low, high, usual(ladder), ladder)
