"""Which ticks of an axis fit into so many cells, and where their labels stand."""

from __future__ import annotations

from .cells import gutters, place, row_at
from .charts import Axis
from .labels import clean, shorten
from .ticks import Tick

LABEL_GAP = 2  # cells between numbers: fewer ticks, read at a glance
LEAST_LABEL = 5  # cells for the name of an option and a gap: fewer say nothing
SOME, SOME_ROWS = 3, 7  # ticks at least, in a panel with so many rows: between two, no scale can be read
ROWS_PER_TICK = 2  # at least: labels on neighbouring rows read as one block


def y_ticks(axis: Axis, rows: int) -> tuple[Tick, ...]:
    """The finest set whose labels do not crowd; the ends of the coarsest when even that does.

    Where that leaves fewer than three and there is room for more, some of a finer set that stand apart.
    """
    best: tuple[Tick, ...] = ()
    for ticks in reversed(axis.ladder):
        kept = _standing_apart(ticks, axis, rows)
        if len(kept) == len(ticks) and (len(kept) >= SOME or rows < SOME_ROWS or len(best) <= len(kept)):
            return ticks
        if len(kept) > len(best) and rows >= SOME_ROWS:
            best = tuple(kept)
    if len(best) >= SOME:
        return best
    rows -= sum(gutters(axis, rows))
    coarsest = axis.ladder[0] if axis.ladder else axis.ticks
    return (coarsest[0], coarsest[-1]) if rows > ROWS_PER_TICK else coarsest[:1]


def _standing_apart(ticks: tuple[Tick, ...], axis: Axis, rows: int) -> list[Tick]:
    """Zero, where it is among them, then those from below that are far enough from all kept before."""
    kept: dict[int, Tick] = {}
    for tick in sorted(ticks, key=lambda tick: tick.label != "0"):
        at = row_at(tick.position, axis, rows)
        if all(abs(at - other) >= ROWS_PER_TICK for other in kept):
            kept[at] = tick
    return [kept[at] for at in sorted(kept)]


def x_ticks(axis: Axis, columns: int) -> list[tuple[int, str]]:
    """(column, label) of the finest set whose labels stand apart."""
    if axis.scale == "categorical":
        every = -(-LEAST_LABEL * len(axis.ticks) // columns)  # of so many options only one is named
        ticks = axis.ticks[:: max(every, 1)]
        width = max(columns // len(ticks) - 1, 1)
        labels = shorten([tick.label for tick in axis.ticks], width)[
            :: max(every, 1)
        ]  # told from all of them
        placed = [(place(t.position, axis, columns), s) for t, s in zip(ticks, labels, strict=True)]
        return apart(placed, columns, 1)
    for ticks in reversed(axis.ladder):
        placed = [(place(tick.position, axis, columns), clean(tick.label)) for tick in ticks]
        if len(apart(placed, columns, LABEL_GAP)) == len(placed):
            return placed
    return apart(placed, columns, 1) if axis.ladder else []


def start_of(column: int, label: str, columns: int) -> int:
    """Where a label centred under a column begins; inside the canvas when it can be."""
    return max(min(column - len(label) // 2, columns - len(label)), 0)


def apart(placed: list[tuple[int, str]], columns: int, gap: int) -> list[tuple[int, str]]:
    """Those of the labels, from the left, with at least `gap` cells between them."""
    kept: list[tuple[int, str]] = []
    free = 0
    for column, label in placed:
        start = start_of(column, label, columns)
        if start >= free:
            kept.append((column, label))
            free = start + len(label) + gap
    return kept
