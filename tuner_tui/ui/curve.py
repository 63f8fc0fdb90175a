"""The loss curve of one trial, in braille."""

from __future__ import annotations

import math
from collections.abc import Sequence

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
