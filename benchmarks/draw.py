"""What a frame costs: the grid of scatterplots beside plotext given every point.

    .venv/bin/python benchmarks/draw.py

Twelve panels of 50x13 cells (a 200x50 terminal) and one of 60x15, for 100, 1,000 and 10,000 trials of which a
tenth never started. Both sides draw the same points, lines, limits and ticks with the same plotext. The naive
side has had its logarithms taken for it (its own log axis breaks) and gives plotext every trial; ours reduces
them to cells first, and yields styled runs instead of escape codes. CPU milliseconds, the median of several
rounds; `charts` is the step from snapshot to points, which the naive side is not charged for.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from support.studies import large_snapshot  # noqa: E402

from tuner_tui.view.charts import Scatter, scatters  # noqa: E402
from tuner_tui.view.draw import draw_panel  # noqa: E402

ROUNDS = 5
PANEL, GRID_PANEL, PANELS = (60, 15), (50, 13), 12


def milliseconds(work: Callable[[], object]) -> float:
    work()
    spent = []
    for _ in range(ROUNDS):
        start = time.process_time()
        work()
        spent.append(time.process_time() - start)
    return 1000 * statistics.median(spent)


def naive(scatter: Scatter, width: int, height: int) -> str:
    """The same panel as plotext's own commands draw it."""
    from plotext._figure import _figure_class

    figure = _figure_class()
    figure._limit_size(False, False)
    figure.plot_size(width, height)
    figure.title(scatter.name)
    figure.xlim(scatter.x.low, scatter.x.high)
    figure.ylim(scatter.y.low, scatter.y.high)
    figure.xticks([t.position for t in scatter.x.ticks], [t.label for t in scatter.x.ticks])
    figure.yticks([t.position for t in scatter.y.ticks], [t.label for t in scatter.y.ticks])
    for mark in scatter.marks:
        if mark.y is None:
            figure.vline(mark.x, "red")
    for kind, glyph, color in (("finished", "●", "blue"), ("unfinished", "▲", "orange")):
        marks = [mark for mark in scatter.marks if mark.kind == kind]
        figure.scatter([m.x for m in marks], [m.y for m in marks], marker=glyph, color=color)
    return figure.build()


def main() -> None:
    print(f"{'trials':>7} {'':11} {'ours ms':>9} {'naive ms':>9} {'ratio':>7} {'charts ms':>10}")
    for trials in (100, 1000, 10_000):
        snapshot = large_snapshot(trials, PANELS)
        grid = scatters(snapshot)
        charts = milliseconds(lambda snapshot=snapshot: scatters(snapshot))
        ours = milliseconds(lambda grid=grid: draw_panel(grid[0], *PANEL))
        plain = milliseconds(lambda grid=grid: naive(grid[0], *PANEL))
        print(f"{trials:>7} {'panel 60x15':11} {ours:9.1f} {plain:9.1f} {plain / ours:6.1f}x")
        ours = milliseconds(lambda grid=grid: [draw_panel(s, *GRID_PANEL) for s in grid])
        plain = milliseconds(lambda grid=grid: [naive(s, *GRID_PANEL) for s in grid])
        print(f"{trials:>7} {'12 of 50x13':11} {ours:9.1f} {plain:9.1f} {plain / ours:6.1f}x {charts:10.1f}")


if __name__ == "__main__":
    main()
