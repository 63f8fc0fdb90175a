"""The loss curves of trials, in braille: one alone, or several over each other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ..view.braille import ACROSS, BLANK, DOWN, braille
from ..view.ticks import LARGEST


def braille_curve(curve: Sequence[tuple[int, float]], width: int, height: int) -> list[str]:
    """`height` lines of at most `width` characters: the finite readings of (step, loss), left to right.

    The y axis is logarithmic when every loss is positive and they span more than a factor of three.
    Readings are joined by straight lines.
    """
    points = [(step, max(-LARGEST, min(loss, LARGEST))) for step, loss in curve if math.isfinite(loss)]
    if not points or width < 1 or height < 1:
        return []
    losses = [loss for _, loss in points]
    if min(losses) > 0 and max(losses) / min(losses) > 3:
        points = [(step, math.log10(loss)) for step, loss in points]
    low, high = min(y for _, y in points), max(y for _, y in points)
    first, last = points[0][0], points[-1][0]
    columns, rows = ACROSS * width - 1, DOWN * height - 1
    cells = braille(
        (
            round((step - first) / (last - first) * columns) if last > first else 0,
            round((high - y) / (high - low) * rows) if high > low else rows // 2,
        )
        for step, y in points
    )
    lines = ["".join(cells.get((column, row), BLANK) for column in range(width)) for row in range(height)]
    return [line.rstrip(BLANK) for line in lines]


@dataclass(frozen=True)
class Overlaid:
    """Curves in one frame. `rows`: runs of text, each with the number of the curve it belongs to."""

    rows: tuple[tuple[tuple[str, int], ...], ...]
    low: float  # losses at the lower and the upper edge
    high: float
    first: int  # steps at the left and the right
    last: int


def overlaid(curves: Sequence[Sequence[tuple[int, float]]], width: int, height: int) -> Overlaid | None:
    """Curves on the same axes, `width` by `height` cells; where two meet the earlier is in front. None: no curve.

    The y axis is logarithmic under the same condition as that of `braille_curve`.
    """
    finite = [
        [(step, max(-LARGEST, min(loss, LARGEST))) for step, loss in curve if math.isfinite(loss)]
        for curve in curves
    ]
    losses = [loss for curve in finite for _, loss in curve]
    if not losses or width < 1 or height < 1:
        return None
    low, high = min(losses), max(losses)
    log = low > 0 and high / low > 3
    bottom, top = (math.log10(low), math.log10(high)) if log else (low, high)
    steps = [step for curve in finite for step, _ in curve]
    first, last = min(steps), max(steps)
    columns, rows = ACROSS * width - 1, DOWN * height - 1
    cells: dict[tuple[int, int], tuple[str, int]] = {}
    for which, curve in reversed(list(enumerate(finite))):
        drawn = braille(
            (
                round((step - first) / (last - first) * columns) if last > first else 0,
                round((top - y) / (top - bottom) * rows) if top > bottom else rows // 2,
            )
            for step, y in ((step, math.log10(loss) if log else loss) for step, loss in curve)
        )
        cells |= {cell: (glyph, which) for cell, glyph in drawn.items()}
    lines = tuple(
        tuple(cells.get((column, row), (BLANK, 0)) for column in range(width)) for row in range(height)
    )
    return Overlaid(lines, low, high, first, last)
