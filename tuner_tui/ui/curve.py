"""A loss curve in braille: two by four dots a character. Draws one trial; the scatterplots are plot's."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from ..plot.ticks import LARGEST

_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))  # [row][column] of a braille cell


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
    columns, rows = 2 * width - 1, 4 * height - 1
    spans: dict[int, tuple[int, int]] = {}
    before: tuple[int, int] | None = None
    for step, y in points:
        column = round((step - first) / (last - first) * columns) if last > first else 0
        row = round((high - y) / (high - low) * rows) if high > low else rows // 2
        for at, top, bottom in _stroke(before or (column, row), (column, row)):
            held = spans.get(at, (top, bottom))
            spans[at] = (min(held[0], top), max(held[1], bottom))
        before = (column, row)
    cells = [[0] * width for _ in range(height)]
    for column, (top, bottom) in spans.items():
        for row in range(top, bottom + 1):
            cells[row // 4][column // 2] |= _DOTS[row % 4][column % 2]
    return ["".join(chr(0x2800 + cell) for cell in line).rstrip("\u2800") for line in cells]


def _stroke(start: tuple[int, int], end: tuple[int, int]) -> list[tuple[int, int, int]]:
    """(column, top, bottom) of the dots of a straight line, without a gap from column to column."""
    (x0, y0), (x1, y1) = start, end
    if x1 <= x0:
        return [(x1, min(y0, y1), max(y0, y1))]
    heights = [round(y0 + (y1 - y0) * (x - x0) / (x1 - x0)) for x in range(x0, x1 + 1)]
    drawn = [(x0, heights[0], heights[0])]
    for x, (a, b) in enumerate(pairwise(heights), x0 + 1):
        reach = a + (b > a) - (b < a)  # the neighbour's dot is its own
        drawn.append((x, min(reach, b), max(reach, b)))
    return drawn
