"""From marks to cells: what remains of ten thousand points when a panel has a few hundred places for them.

Drawing and clicking share this reduction, so the trial a click finds is the one that was drawn there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from .charts import Axis, Mark, Scatter
from .signs import INFINITE, Sign, sign_of

NEAR_COLUMNS = 2  # how far from a click a mark may be; cells are about twice as high as wide
NEAR_ROWS = 1
SPREAD = 0.36  # of the way to the next place: a gap stays between neighbours


class Cell(NamedTuple):
    trial: int
    sign: Sign


@dataclass(frozen=True)
class Cells:
    """`points`: (column, row) -> what is drawn there, rows counted from the bottom. `lines`: column -> the
    trials that never started there, in order."""

    columns: int
    rows: int
    points: dict[tuple[int, int], Cell]
    lines: dict[int, list[int]]

    @property
    def most(self) -> int:
        """Lines in the fullest column."""
        return max((len(trials) for trials in self.lines.values()), default=0)

    def cell_of(self, mark: Mark, scatter: Scatter) -> tuple[int, int]:
        """Where a mark with a height is drawn, or would be had no other been more important."""
        for cell, held in self.points.items():
            if held.trial == mark.trial and held.sign is not INFINITE:
                return cell
        y = scatter.y.low if mark.y is None else mark.y
        return place(mark.x, scatter.x, self.columns), place(y, scatter.y, self.rows)

    def near(self, column: int, row: int) -> int | None:
        """The trial drawn at a cell, else the nearest close by; points before lines."""
        if exact := self.points.get((column, row)):
            return exact.trial
        if column in self.lines and 0 <= row < self.rows:
            return self.lines[column][0]
        best: tuple[float, int] | None = None
        for across in range(-NEAR_COLUMNS, NEAR_COLUMNS + 1):
            for up in range(-NEAR_ROWS, NEAR_ROWS + 1):
                if cell := self.points.get((column + across, row + up)):
                    candidate = (float(across * across + 4 * up * up), cell.trial)
                    best = min(best, candidate) if best else candidate
        if best:
            return best[1]
        for across in (-1, 1):
            if column + across in self.lines and 0 <= row < self.rows:
                return self.lines[column + across][0]
        return None


def place(position: float, axis: Axis, count: int) -> int:
    """The cell, 0 .. count - 1, of a position on an axis."""
    return min(max(int((position - axis.low) / (axis.high - axis.low) * count), 0), count - 1)


def reduce(scatter: Scatter, columns: int, rows: int) -> Cells:
    """The cells of a canvas. Of several trials in one cell the most important stays, then the earliest.

    Where an axis has only a few places (options, a handful of integers), trials that would share a cell stand
    beside each other, as far as a third of the way to the next place: a crowd looks like one.
    """
    points: dict[tuple[int, int], Cell] = {}
    lines: dict[int, list[int]] = {}
    x_low, y_low = scatter.x.low, scatter.y.low
    x_scale = columns / (scatter.x.high - x_low)
    y_scale = rows / (scatter.y.high - y_low)
    right, top = columns - 1, rows - 1
    spread = int(scatter.x.step * x_scale * SPREAD)
    marks = sorted(scatter.marks, key=_rank, reverse=True) if spread else scatter.marks
    crowds: dict[tuple[int, int], int] = {}
    for trial, kind, x, y, diverged, edge, best in marks:
        column = int((x - x_low) * x_scale)
        if column > right:
            column = right
        if y is None:
            lines.setdefault(column, []).append(trial)
            continue
        row = int((y - y_low) * y_scale)
        if row > top:
            row = top
        if diverged and (column, top) not in points:
            points[column, top] = Cell(trial, INFINITE)
        cell = (column, row)
        if spread:
            crowd = crowds.get(cell, 0)
            crowds[cell] = crowd + 1
            aside = (crowd + 1) // 2
            if aside <= spread:
                cell = (column - aside if crowd % 2 else column + aside, row)
        sign = sign_of(kind, diverged, edge, best)
        held = points.get(cell)
        if held is None or sign.rank > held.sign.rank:
            points[cell] = Cell(trial, sign)
    return Cells(columns, rows, points, lines)


def _rank(mark: Mark) -> int:
    return sign_of(mark.kind, mark.diverged, mark.edge, mark.best).rank if mark.y is not None else 0
