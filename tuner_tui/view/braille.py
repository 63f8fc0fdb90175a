"""Lines in braille, two by four dots a cell: where a curve is finer than a cell can say."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

ACROSS, DOWN = 2, 4  # dots of a cell
BLANK = "\u2800"
_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))  # [row][column] of a cell


def braille(dots: Iterable[tuple[int, int]]) -> dict[tuple[int, int], str]:
    """Dots (column, row) from left to right, joined by straight lines -> (column, row) of cells and what is in them.

    Rows grow the way the dots' rows do, and downwards in the characters.
    """
    spans: dict[int, tuple[int, int]] = {}
    before: tuple[int, int] | None = None
    for dot in dots:
        for column, top, bottom in _stroke(before or dot, dot):
            held = spans.get(column, (top, bottom))
            spans[column] = (min(held[0], top), max(held[1], bottom))
        before = dot
    cells: dict[tuple[int, int], int] = {}
    for column, (top, bottom) in spans.items():
        for row in range(top, bottom + 1):
            cell = (column // ACROSS, row // DOWN)
            cells[cell] = cells.get(cell, 0) | _DOTS[row % DOWN][column % ACROSS]
    return {cell: chr(ord(BLANK) + bits) for cell, bits in cells.items()}


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
