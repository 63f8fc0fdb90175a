"""A learning-rate finder's curve as a picture, and the sentence under it."""

from __future__ import annotations

import math

from ..analysis.rate import RateCurve
from ..search.problems import dotted
from .braille import ACROSS, DOWN, braille
from .cells import place
from .charts import MARGIN, Axis, Scatter
from .draw import Line, canvas, draw_cells
from .signs import BEST, FINISHED, TEXT, Sign
from .ticks import linear_ladder, log_ladder, usual
from .words import number

READING = Sign("·", TEXT, 0)
SMOOTHED = FINISHED.style
SUGGESTED = Sign("┊", BEST.style, 0)


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
        lowest = curve.lowest_place
        low = curve.smoothed[lowest]
        room = math.log10(2) if curve.log else max(abs(low), 1e-3)
        high = max(*curve.smoothed[: lowest + 1], low + room)  # so it leaves after the lowest, if ever
    margin = (high - low) * 2 * MARGIN
    low, high = low - margin, high + margin
    ladder = log_ladder(low, high) if curve.log else linear_ladder(low, high)
    return Axis("loss", "log" if curve.log else "linear", low, high, usual(ladder), ladder)
