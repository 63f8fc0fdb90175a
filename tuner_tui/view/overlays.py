"""What shows more than a crowd of points: in bins along the axis, the median of the finished trials with the band of
their middle half, or the best trial alone.

The second is the isolation plot of the Deep Learning Tuning Playbook: the best that can be reached near each value,
with the other hyperparameters as good as the search has found them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from .cells import place, row_at
from .charts import Axis, Mark, Scatter
from .signs import MEDIAN, QUARTILE, Sign

BIN_TRIALS = 10  # at least, in the mean: the median of fewer jumps about
BIN_COLUMNS = 3  # at least
BAND_ROWS = 10  # of points: in a lower panel the band would cover what it is drawn from
LEAST = 5  # trials in a bin of its own; with fewer its quartiles are single trials


class Bin(NamedTuple):
    """Columns `first` to `last`; positions on the y axis."""

    first: int
    last: int
    lower: float  # a quarter of the trials lies below it
    median: float
    upper: float


def medians(scatter: Scatter, columns: int) -> list[Bin]:
    """The bins with enough trials, from the left: one for each place of an axis that has few, else equally wide."""
    axis = scatter.x
    finished = [
        (mark.x, mark.y)
        for mark in scatter.marks
        if mark.kind == "finished" and mark.y is not None and not mark.edge
    ]
    count = _bins(axis, columns, len(finished))
    members: dict[int, list[float]] = {}
    for x, y in finished:
        members.setdefault(place(x, axis, count), []).append(y)
    found: list[Bin] = []
    for number, ys in sorted(members.items()):
        if len(ys) >= LEAST:
            ys.sort()
            first, end = round(number * columns / count), round((number + 1) * columns / count)
            quarter = len(ys) // 4
            found.append(Bin(first, max(first, end - 1), ys[quarter], ys[len(ys) // 2], ys[-1 - quarter]))
    return found


def isolated(scatter: Scatter, columns: int) -> Scatter:
    """The panel with the best finished trial of each bin, and those that never started; no others."""
    finished = [mark for mark in scatter.marks if mark.trial in scatter.losses]
    count = _bins(scatter.x, columns, len(finished))
    best: dict[int, Mark] = {}
    for mark in sorted(finished, key=lambda mark: (scatter.losses[mark.trial], mark.trial)):
        best.setdefault(place(mark.x, scatter.x, count), mark)
    kept = {mark.trial for mark in best.values()}
    marks = tuple(mark for mark in scatter.marks if mark.trial in kept or mark.y is None)
    return replace(scatter, marks=marks, reductions={})  # other marks, other cells


def _bins(axis: Axis, columns: int, finished: int) -> int:
    """How many there are: one for each place of an axis that has few."""
    if axis.step:
        return max(1, round((axis.high - axis.low) / axis.step))
    return max(1, min(columns // BIN_COLUMNS, finished // BIN_TRIALS))


def medians_over(scatter: Scatter, columns: int, rows: int) -> dict[tuple[int, int], Sign]:
    """(column, row from the bottom) -> the sign of the band or of the median, which lies above it."""
    cells: dict[tuple[int, int], Sign] = {}
    for sign in (QUARTILE, MEDIAN) if rows >= BAND_ROWS else (MEDIAN,):
        for found in medians(scatter, columns):
            for height in (found.lower, found.upper) if sign is QUARTILE else (found.median,):
                for column in range(found.first, found.last + 1):
                    cells[column, row_at(height, scatter.y, rows)] = sign
    return cells
