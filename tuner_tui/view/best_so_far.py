"""The best value so far as a falling line above the trials in the order of their ends, and the sentence under it."""

from __future__ import annotations

from dataclasses import replace

from ..analysis.best_so_far import BestSoFar, best_so_far
from ..study.snapshot import Snapshot
from .braille import ACROSS, DOWN, braille
from .cells import place
from .charts import MARGIN, Axis, Scatter, loss_axis
from .draw import PICTURE_HEIGHT, Line, canvas, draw_cells
from .loss import LossScale, loss_scale
from .signs import BEST, FINISHED, TEXT, Sign
from .ticks import linear_ladder, usual
from .words import number, plural

WIDEST = 120  # cells: wider, the steps say nothing more
TRIAL = Sign("·", TEXT, 0)

Found = tuple[BestSoFar, LossScale, str]  # with the loss axis of the study's panels, and the objective


def find(snapshot: Snapshot) -> Found | None:
    """None before two trials have finished."""
    found = best_so_far(snapshot)
    return None if found is None else (found, loss_scale(snapshot), snapshot.objective)


def panel(found: Found, width: int, *, color: bool = True) -> tuple[Line, ...]:
    """PICTURE_HEIGHT lines: finished trials as dots, the best so far as a line, a star where the best was found."""
    progress, losses, objective = found
    width = min(width, WIDEST)
    margin = max(1.0, progress.ended * MARGIN)
    low, high = 1 - margin, progress.ended + margin
    ladder = linear_ladder(low, high)
    x = Axis("trials ended", "linear", low, high, usual(ladder), ladder)
    scatter = Scatter(
        f"best {objective} by trials ended",
        "",
        x,
        replace(loss_axis(objective, losses), under=False, over=False),
        (),
    )
    area = canvas(scatter, width, PICTURE_HEIGHT)
    if not area.drawable:
        return draw_cells(scatter, width, PICTURE_HEIGHT, {}, {}, color=color)

    def at(count: float, value: float, columns: int, rows: int) -> tuple[int, int]:
        return place(count, scatter.x, columns), place(losses.place(value)[0], scatter.y, rows)

    points = {at(count, value, area.columns, area.rows): TRIAL for count, value in progress.values}
    columns, rows = ACROSS * area.columns, DOWN * area.rows
    corners: list[tuple[int, int]] = []
    for (count, value, _), following in zip(progress.bests, [*progress.bests[1:], None], strict=True):
        across, up = at(count, value, columns, rows)
        until = at(following[0] if following else progress.ended, value, columns, rows)[0]
        corners += [(column, rows - 1 - up) for column in range(across, max(across, until) + 1)]
    points |= {
        (column, area.rows - 1 - row): Sign(glyph, FINISHED.style, 1)
        for (column, row), glyph in braille(corners).items()
    }
    count, value, _ = progress.bests[-1]
    points[at(count, value, area.columns, area.rows)] = BEST
    return draw_cells(scatter, width, PICTURE_HEIGHT, points, {}, color=color)


def sentence(found: Found) -> str:
    """`best so far 0.42 (trial 6), after 7 of 240 ended trials; the 233 since brought nothing better`."""
    progress = found[0]
    count, value, trial = progress.bests[-1]
    since = f"; the {progress.since} since brought nothing better" if progress.since else ""
    of = plural(progress.ended, "ended trial")
    return f"best so far {number(value)} (trial {trial}), after {count} of {of}{since}"
