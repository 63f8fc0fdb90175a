"""Reduce marks to character cells: ten thousand points in a panel of a few hundred cells.

While there is room, each trial has a sign of its own. In a crowded panel, where signs would hide a third of the
trials, a cell holds up to eight dots, and its colour follows the share of trials that ended early: of ten such cells
with one unfinished trial in ten, one is orange. Drawing and clicking share this reduction, so the trial a click finds
is the one that was drawn there.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple

from .charts import Axis, Mark, Scatter
from .signs import BEST, BEYOND, INFINITE, USUAL, Sign, density, shaded, sign_of

NEAR_COLUMNS = 2  # how far from a click a mark may be; cells are about twice as high as wide
NEAR_ROWS = 1
SPREAD = 0.36  # of the way to the next place: a gap stays between neighbours
GUTTER_ROWS = 5  # of points: with fewer, what lies beyond the axis stands among the others
FEW = 60  # trials with a height: up to here each has its sign, even where some hide others
HIDDEN = 1 / 3  # of the trials with a height: when so many have no cell of their own, the panel is crowded
_GOLDEN = (
    0.6180339887498949  # multiples of it, modulo 1, fill a range evenly: trials of one option stand apart
)


class Cell(NamedTuple):
    """What is drawn in one character cell of a panel."""

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
    crowded: bool = False
    crashes: tuple[tuple[int, int], ...] = ()  # see `crash_counts`; () where no trial failed to start

    @property
    def most(self) -> int:
        """Lines in the fullest column."""
        return max((len(trials) for trials in self.lines.values()), default=0)

    def cell_of(self, mark: Mark, scatter: Scatter) -> tuple[int, int]:
        """Where a mark with a height is drawn, or would be had no other been more important."""
        for cell, held in self.points.items():
            if held.trial == mark.trial and held.sign is not INFINITE:
                return cell
        across = place(mark.x, scatter.x, self.columns)
        return across, 0 if mark.y is None else _row_of(mark, scatter.y, self.rows)

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


def trials_in(scatter: Scatter, cells: Cells, trial: int) -> tuple[int, ...]:
    """The trials that share a cell with `trial`, it included; of lines, those of its column."""
    mark = next((m for m in scatter.marks if m.trial == trial), None)
    if mark is None:
        return ()
    if mark.y is None:
        return tuple(cells.lines[place(mark.x, scatter.x, cells.columns)])
    at = _home(mark, scatter, cells)
    return tuple(m.trial for m in scatter.marks if m.y is not None and _home(m, scatter, cells) == at)


def _home(mark: Mark, scatter: Scatter, cells: Cells) -> tuple[int, int]:
    """The cell of a mark before a crowd of signs is spread out; in a crowd of dots, the cell of its dot."""
    column = place(mark.x, scatter.x, cells.columns)
    spread = int(scatter.x.step * _scale(scatter.x, cells.columns) * SPREAD)
    if cells.crowded and spread:
        column = int(column + 0.5 + _aside(mark.trial) * (2 * spread + 1))
    return column, _row_of(mark, scatter.y, cells.rows)


def _aside(trial: int) -> float:
    """-0.5 to 0.5: where a trial stands in a crowd about its place."""
    return trial * _GOLDEN % 1 - 0.5


def place(position: float, axis: Axis, count: int) -> int:
    """The cell, 0 .. count - 1, of a position within the limits of an axis."""
    return int((position - axis.low) * _scale(axis, count))


def row_at(position: float, axis: Axis, rows: int) -> int:
    """The row of a position on a y axis: as `place`, between the rows of what lies beyond its ends."""
    under, over = gutters(axis, rows)
    return under + place(position, axis, rows - under - over)


def gutters(axis: Axis, rows: int) -> tuple[int, int]:
    """How many rows at the bottom and at the top are kept for what lies beyond the axis; none in a low panel."""
    return (int(axis.under), int(axis.over)) if rows >= GUTTER_ROWS else (0, 0)


def _row_of(mark: Mark, axis: Axis, rows: int) -> int:
    if mark.edge:
        return 0 if mark.edge == "low" else rows - 1
    return row_at(axis.low if mark.y is None else mark.y, axis, rows)


def _scale(axis: Axis, count: int) -> float:
    """Cells for a unit of the axis, a hair less: its upper end belongs to the last cell."""
    return count / (axis.high - axis.low) * (1 - 1e-12)


def reduce(scatter: Scatter, columns: int, rows: int) -> Cells:
    """The cells of a canvas: a sign for each trial, or dots where that would hide too many."""
    cells = _cells(scatter, columns, rows)
    return replace(cells, crashes=crash_counts(scatter, columns)) if scatter.crashes else cells


def _cells(scatter: Scatter, columns: int, rows: int) -> Cells:
    points = sum(mark[3] is not None for mark in scatter.marks)
    if points > FEW and points * (1 - HIDDEN) > columns * rows:
        return _dotted(scatter, columns, rows)
    cells = _signed(scatter, columns, rows)
    drawn = sum(cell.sign is not INFINITE for cell in cells.points.values())
    crowded = points > FEW and points - drawn > HIDDEN * points
    return _dotted(scatter, columns, rows) if crowded else cells


def reduced(scatter: Scatter, columns: int, rows: int) -> Cells:
    """As `reduce`, and remembered: the marks of ten thousand trials take ten milliseconds, and a selection or a
    click changes none of them."""
    if (columns, rows) not in scatter.reductions:
        scatter.reductions.clear()  # of another size
        scatter.reductions[columns, rows] = reduce(scatter, columns, rows)
    return scatter.reductions[columns, rows]


def prepare(scatters: Iterable[Scatter], drawn: Iterable[Scatter]) -> None:
    """Reduce panels in the sizes in which their forerunners were drawn: a thread can, and the screen need not."""
    sizes = {before.name: tuple(before.reductions) for before in drawn}
    for scatter in scatters:
        for columns, rows in sizes.get(scatter.name, ()):
            reduced(scatter, columns, rows)


def _dotted(scatter: Scatter, columns: int, rows: int) -> Cells:
    """Each trial as one of the eight dots of its cell; the colours of the cells add up to the trials' shares.

    Shares are carried from cell to cell (error diffusion, Floyd & Steinberg 1976), so each region shows its own.
    Where an axis has only a few places, trials stand beside their place, each at a distance of its own.
    """
    bits: dict[tuple[int, int], int] = {}
    tally: dict[tuple[int, int], list[int]] = {}  # finished, unfinished, running; and the trial a click finds
    lines: dict[int, list[int]] = {}
    starred: dict[tuple[int, int], Cell] = {}
    infinite: dict[tuple[int, int], list[int]] = {}  # how many, and the trial a click finds
    x_low, x_scale = scatter.x.low, _scale(scatter.x, columns)
    under, over = gutters(scatter.y, rows)
    y_low, y_scale = scatter.y.low, _scale(scatter.y, rows - under - over)
    spread = int(scatter.x.step * x_scale * SPREAD)
    for trial, kind, x, y, _, edge, best, endless, _ in scatter.marks:
        across = (x - x_low) * x_scale
        if y is None:
            lines.setdefault(int(across), []).append(trial)
            continue
        if spread:
            across = int(across) + 0.5 + _aside(trial) * (2 * spread + 1)
        if edge:
            cell = (int(across), 0 if edge == "low" else rows - 1)
        else:
            up = under + (y - y_low) * y_scale
            cell = (int(across), int(up))
            bits[cell] = bits.get(cell, 0) | _DOTS[int((up - cell[1]) * 4)][int((across - cell[0]) * 2)]
        held = tally.setdefault(cell, [0, 0, 0, trial])
        held[_KINDS[kind]] += 1
        if best:
            starred[cell] = Cell(trial, BEST)
        if endless:
            infinite.setdefault((int(across), rows - 1), [0, trial])[0] += 1
    fullest = max((sum(held[:3]) for cell, held in tally.items() if cell in bits), default=1)
    points: dict[tuple[int, int], Cell] = {}
    carried = 0.0
    for cell in sorted(tally):
        finished, unfinished, running, trial = tally[cell]
        total = finished + unfinished + running
        # Running trials have no share: they move, and would change the colours of all the cells behind them.
        carried += unfinished / max(1, finished + unfinished)
        early = carried >= 0.5
        carried -= early
        kind = "unfinished" if early else "finished" if finished or unfinished else "running"
        if cell not in bits:
            points[cell] = Cell(trial, BEYOND[kind, "low" if cell[1] == 0 else "high"])
            continue
        usual = shaded(kind, density(total, fullest))
        points[cell] = Cell(trial, Sign(chr(0x2800 + bits[cell]), usual.style, usual.rank))
    for cell, (count, trial) in infinite.items():
        if cell not in points or (cell not in bits and count > sum(tally[cell][:3])):
            points[cell] = Cell(trial, INFINITE)
    return Cells(columns, rows, points | starred, lines, crowded=True)


_KINDS = {"finished": 0, "unfinished": 1, "running": 2}
_DOTS = ((0x40, 0x80), (0x04, 0x20), (0x02, 0x10), (0x01, 0x08))  # [row from the bottom][column] of braille


def crash_counts(scatter: Scatter, columns: int) -> tuple[tuple[int, int], ...]:
    """For each column its trials, and how many of them never started.

    Where an axis has only a few places, all columns about a place have the counts of that place.
    """
    x_low, x_scale = scatter.x.low, _scale(scatter.x, columns)
    spread = int(scatter.x.step * x_scale * SPREAD)
    trials, dead = [0] * columns, [0] * columns
    for mark in scatter.marks:
        column = int((mark[2] - x_low) * x_scale)
        trials[column] += 1
        dead[column] += mark[3] is None
    counts = list(zip(trials, dead, strict=True))
    if not spread:
        return tuple(counts)
    wide = list(counts)
    for column, found in enumerate(counts):
        if found[0]:
            first, last = max(0, column - spread), min(columns, column + spread + 1)
            wide[first:last] = [found] * (last - first)
    return tuple(wide)


def _signed(scatter: Scatter, columns: int, rows: int) -> Cells:
    """A sign for each trial. Of several trials in one cell the most important stays, then the earliest.

    Where an axis has only a few places (options, a handful of integers), trials that would share a cell stand
    beside each other, as far as a third of the way to the next place: a crowd looks like one.
    """
    points: dict[tuple[int, int], Cell] = {}
    lines: dict[int, list[int]] = {}
    x_low, x_scale = scatter.x.low, _scale(scatter.x, columns)
    under, over = gutters(scatter.y, rows)
    y_low, y_scale = scatter.y.low, _scale(scatter.y, rows - under - over)
    spread = int(scatter.x.step * x_scale * SPREAD)
    crowds: dict[tuple[int, int], int] = {}
    for trial, kind, x, y, diverged, edge, best, infinite, before in (
        _important_first(scatter.marks) if spread else scatter.marks
    ):
        column = int((x - x_low) * x_scale)
        if y is None:
            lines.setdefault(column, []).append(trial)
            continue
        up = under + int((y - y_low) * y_scale) if not edge else 0 if edge == "low" else rows - 1
        cell = (column, up)
        if infinite and (
            (above := points.get((column, rows - 1))) is None or above.sign.rank < INFINITE.rank
        ):
            points[column, rows - 1] = Cell(trial, INFINITE)
        if spread:
            crowds[cell] = crowd = crowds.get(cell, -1) + 1
            if crowd > 2 * spread:
                continue  # all places are taken, by trials no less important
            aside = (crowd + 1) // 2
            cell = (column - aside if crowd % 2 else column + aside, cell[1])
        odd = diverged or edge or best or before
        sign = sign_of(kind, diverged, edge, best, before) if odd else USUAL[kind]
        held = points.get(cell)
        if held is None or sign[2] > held[1][2]:
            points[cell] = Cell(trial, sign)
    return Cells(columns, rows, points, lines)


def _important_first(marks: tuple[Mark, ...]) -> list[Mark]:
    """In the order of the signs' ranks: the middle of a crowd is for those."""
    best = [mark for mark in marks if mark[6]]
    unfinished = [mark for mark in marks if mark[1] == "unfinished"]
    finished = [mark for mark in marks if mark[1] == "finished" and not mark[6]]
    rest = [mark for mark in marks if mark[1] == "running" or mark[1] == "no_start"]
    return best + unfinished + finished + rest
