"""One panel as lines of text: the one door to plotext.

plotext draws the frame, the ticks and the points. Everything it does badly is taken off it: scales (its log
axis breaks on a second build), limits, the choice of ticks, the reduction of points to cells. It is given
whole cells to fill, in a figure of its own for every panel (its global figure is not safe between threads),
and its size clamp to the terminal is off. Colours go in as numbers that stand for our styles, so nothing has
to be read back out of escape codes.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

from ..study.outcomes import Outcome
from . import fitting
from .axes import Overlay
from .cells import gutters, place, reduced, row_at, trials_in
from .charts import Scatter
from .labels import FILLER, clean, cut
from .overlays import isolated, medians_over
from .signs import (
    CROWDS,
    FRAME,
    LIGHT_LINES,
    LIGHT_SHADES,
    LINES,
    ON_LIGHT,
    OUTCOME_SIGNS,
    PLAIN_LINES,
    PLAIN_SHADES,
    SELECTED,
    SELECTED_LINE,
    SHADES,
    TEXT,
    TITLE,
    UNFINISHED,
    Sign,
    line_level,
)

STRIP_ROWS = (
    10  # of points, from which on the crash strip has a line of its own; with fewer it stands in the axis
)
SINGLE = 1.5  # trials that never started, for each column: up to here they are lines, above shades
# Standard errors of a share: of forty columns that are like the rest, none is above in nineteen panels of twenty.
CLEARLY = 3.0
CEILINGS = (0.05, 0.1, 0.2, 0.5, 1.0)  # what a full block of the crash strip can mean
EIGHTHS = " ▁▂▃▄▅▆▇█"
PICTURE_HEIGHT = (
    18  # of a finding that is one picture: what a terminal of 24 rows has beside the sentence under it
)
LEAST_WIDTH = 16  # narrower, there is no room for numbers at the axis
LEAST_HEIGHT = 6
COUNT = 3  # cells for the number of trials beyond an end of the axis


@dataclass(frozen=True)
class Run:
    """Characters in one style, a rich one: "#4f9ff0", "bold reverse", "" for the terminal's own."""

    text: str
    style: str


Line = tuple[Run, ...]


class Canvas(NamedTuple):
    """Where in a panel the points are. `left` and `top` in cells; the frame lies outside."""

    left: int
    top: int
    columns: int
    rows: int
    frame: bool  # whether there are axes about it
    numbers: bool  # whether the axes are labelled
    strip: bool = False  # whether there is a crash strip
    below: bool = False  # ... in the last line of the panel; else it stands in the line of the x axis

    @property
    def drawable(self) -> bool:
        """Whether there is room for at least one point."""
        return self.columns >= 2 and self.rows >= 2


def canvas(scatter: Scatter, width: int, height: int, *, title: bool = True) -> Canvas:
    """The place of the points in a panel of that size; no columns or rows when it is too small for any."""
    top = 1 if title and height > 1 else 0
    body = height - top
    if width >= LEAST_WIDTH and height >= LEAST_HEIGHT:
        gutter = max((len(tick.label) for ticks in scatter.y.ladder for tick in ticks), default=0)
        if scatter.y.over or scatter.y.under:
            gutter = max(gutter, COUNT)  # for how many there are
        gutter = min(gutter, width // 3)
        strip, below = scatter.crashes, scatter.crashes and body - 3 >= STRIP_ROWS
        return Canvas(gutter + 1, top, width - gutter - 1, body - 2 - below, True, True, strip, below)
    if width >= 4 and body >= 3:
        return Canvas(1, top, width - 1, body - 1, True, False)
    return Canvas(0, top, 0, 0, False, False)


def draw_panel(
    scatter: Scatter,
    width: int,
    height: int,
    *,
    selected: int | None = None,
    color: bool = True,
    light: bool = False,
    title: bool = True,
    overlay: Overlay = Overlay.POINTS,
) -> tuple[Line, ...]:
    """`height` lines, each `width` cells wide. Without `color` every style is "" and signs alone speak.

    `light`: for a light background, where more is darker. `overlay`: medians, or the best of each bin alone.
    """
    area = canvas(scatter, width, height, title=title)
    if not area.drawable:
        return draw_cells(scatter, width, height, {}, {}, color=color, title=title)
    shown = isolated(scatter, area.columns) if overlay is Overlay.BEST else scatter
    cells = reduced(shown, area.columns, area.rows)
    crashes = cells.crashes if area.strip else ()
    if area.strip and sum(map(len, cells.lines.values())) > SINGLE * area.columns:
        columns = _shades(crashes, (LIGHT_SHADES if light else SHADES) if color else PLAIN_SHADES)
    else:
        levels = (LIGHT_LINES if light else LINES) if color else PLAIN_LINES
        most = cells.most
        columns = {
            column: levels[line_level(len(trials), most, len(levels))]
            for column, trials in cells.lines.items()
        }
    points = {cell: sign for cell, (_, sign) in cells.points.items()}
    if cells.crowded and not color:  # the share needs a shape where it has no colour
        early = {cell: UNFINISHED for cell, sign in points.items() if sign.style in CROWDS["unfinished"]}
        points |= early
    elif cells.crowded and light:
        points = {
            cell: sign._replace(style=ON_LIGHT.get(sign.style, sign.style)) for cell, sign in points.items()
        }
    if overlay is Overlay.MEDIANS:
        points |= medians_over(scatter, area.columns, area.rows)
    mark = None if selected is None else next((m for m in scatter.marks if m.trial == selected), None)
    if mark and mark.y is None:
        columns[place(mark.x, scatter.x, area.columns)] = SELECTED_LINE
    elif mark:
        points[cells.cell_of(mark, scatter)] = SELECTED
    lines = draw_cells(scatter, width, height, points, columns, color=color, title=title)
    if area.below:
        return (*lines, _strip(crashes, area.left, color))
    if area.strip:
        return (*lines[:-2], _strip(crashes, area.left, color, lines[-2]), lines[-1])
    return lines


def draw_cells(
    scatter: Scatter,
    width: int,
    height: int,
    points: dict[tuple[int, int], Sign],
    columns: dict[int, Sign],
    *,
    color: bool = True,
    title: bool = True,
) -> tuple[Line, ...]:
    """A panel with title and axes of `scatter`, and signs of one's own in it.

    Where the crash strip has a line of its own, that is left to `draw_panel`.
    `points`: (column, row from the bottom) of the canvas -> sign; `columns`: column -> a line over the whole
    height, behind the points.
    """
    if width < 1 or height < 1:
        return tuple(() for _ in range(max(height, 0)))
    area = canvas(scatter, width, height, title=title)
    lines: list[Line] = []
    if area.top or (title and height == 1):
        lines.append(_title(scatter, area, width, color))
    if not area.drawable:
        lines += [(Run(" " * width, ""),)] * (height - len(lines))
        return tuple(lines)
    lines += _plot(scatter, area, width, height - len(lines) - area.below, points, columns, _Styles(color))
    return tuple(lines)


def _ceiling(shares: list[float]) -> float:
    """A round number that no share exceeds, so that the strip's scale changes seldom."""
    return next(c for c in CEILINGS if c >= max(shares, default=0.0))


def _shades(counts: Sequence[tuple[int, int]], levels: tuple[Sign, ...]) -> dict[int, Sign]:
    """Behind the points, a shade for the columns where clearly more trials never started than in the whole panel."""
    trials, dead = sum(n for n, _ in counts), sum(d for _, d in counts)
    overall = dead / max(1, trials)
    shades: dict[int, Sign] = {}
    for column, (n, d) in enumerate(counts):
        error = math.sqrt(overall * (1 - overall) / n) if n else 0.0
        if error and d / n - overall > CLEARLY * error:
            level = int((d / n - overall) / error / CLEARLY) - 1
            shades[column] = levels[min(level, len(levels) - 1)]
    return shades


def _strip(counts: Sequence[tuple[int, int]], left: int, color: bool, axis: Line = ()) -> Line:
    """The crash strip: for each column the share of its trials that never started. A full block is the number
    in the `left` cells before them. Where none did, the line of the `axis` goes on, if it stands in that."""
    shares = [d / n if n else 0.0 for n, d in counts]
    top = _ceiling(shares)
    empty = "".join(run.text for run in axis)[left:] or " " * len(shares)
    red, frame = (OUTCOME_SIGNS[Outcome.NO_START].style, FRAME) if color else ("", "")
    label = f"{top:.0%}"[:left].rjust(left)  # "100" where that is all there is room for
    runs = [Run(label, TEXT if color else "")]
    for crashed, cells in groupby(zip(shares, empty, strict=True), key=lambda cell: cell[0] > 0):
        text = "".join(EIGHTHS[max(1, round(8 * share / top))] if share else bare for share, bare in cells)
        runs.append(Run(text, red if crashed else frame))
    return tuple(runs)


def trials_at(
    scatter: Scatter, width: int, height: int, column: int, row: int, *, title: bool = True
) -> tuple[int, ...]:
    """The trials drawn at a cell of `draw_panel(scatter, width, height)`, or at the nearest; (): nothing near.

    Column and row count from the upper left of the panel, as a mouse reports them.
    """
    if width < 1 or height < 1:
        return ()
    area = canvas(scatter, width, height, title=title)
    if not area.drawable:
        return ()
    from_bottom = area.top + area.rows - 1 - row
    cells = reduced(scatter, area.columns, area.rows)
    found = cells.near(column - area.left, from_bottom)
    return () if found is None else trials_in(scatter, cells, found)


def span_at(scatter: Scatter, width: int, height: int, first: int, last: int) -> tuple[float, float] | None:
    """Positions on the x axis between two columns of a panel, both included; None where no points are."""
    area = canvas(scatter, width, height)
    columns = sorted(min(max(column - area.left, 0), area.columns - 1) for column in (first, last))
    if not area.drawable:
        return None
    step = (scatter.x.high - scatter.x.low) / area.columns
    return scatter.x.low + columns[0] * step, scatter.x.low + (columns[1] + 1) * step


def _title(scatter: Scatter, area: Canvas, width: int, color: bool) -> Line:
    """The name, above the axis rather than above its numbers, and how many trials had no value for it."""
    indent = area.left if area.numbers else 0
    name = cut(clean(scatter.name), width - indent)
    room = width - indent - len(name)
    crowds = [
        Run(f" {OUTCOME_SIGNS[outcome].glyph}{where}", OUTCOME_SIGNS[outcome].style if color else "")
        for outcome, where in scatter.crowds
    ][: room // 3]
    room -= 3 * len(crowds)
    note = f"  {scatter.absent} without" if scatter.absent else ""
    if len(note) > room:
        note = ""
    runs = (
        Run(" " * indent, ""),
        Run(name.replace(FILLER, ""), TITLE if color else ""),
        *crowds,
        Run(note, TEXT if color else ""),
        Run(" " * (room - len(note)), ""),
    )
    return tuple(run for run in runs if run.text)


class _Styles:
    """Numbers for styles, as plotext takes colours from 0 to 255."""

    def __init__(self, color: bool) -> None:
        self._color = color
        self._numbers: dict[str, int] = {}

    def number(self, style: str) -> int:
        return self._numbers.setdefault(style if self._color else "", len(self._numbers))

    def names(self) -> list[str]:
        return list(self._numbers)


def _plot(
    scatter: Scatter,
    area: Canvas,
    width: int,
    height: int,
    points: dict[tuple[int, int], Sign],
    columns: dict[int, Sign],
    styles: _Styles,
) -> list[Line]:
    figure = _figure()
    frame, text = styles.number(FRAME), styles.number(TEXT)
    figure.clear_data()
    figure.plot_size(width, height)
    figure.ticks_color(frame)
    figure.xlim(0, area.columns - 1)
    figure.ylim(0, area.rows - 1)
    x_ticks = fitting.x_ticks(scatter.x, area.columns) if area.numbers else []
    y_ticks = fitting.y_ticks(scatter.y, area.rows) if area.numbers else ()
    gutter = area.left - 1
    figure.xticks([column for column, _ in x_ticks], [" "] * len(x_ticks))
    y_labels = [(row_at(tick.position, scatter.y, area.rows), cut(tick.label, gutter)) for tick in y_ticks]
    y_labels += _beyond(scatter, area.rows, gutter) if area.numbers else []
    figure.yticks([at for at, _ in y_labels], [label.rjust(gutter) for _, label in y_labels])
    points = points or {(0, 0): Sign(" ", TEXT, 0)}  # without data plotext draws no axes
    figure.scatter(
        [column for column, _ in points],
        [row for _, row in points],
        marker=[sign.glyph for sign in points.values()],
        color=[styles.number(sign.style) for sign in points.values()],
    )
    figure._set_sizes()
    figure._build_matrix()  # what build() does, but for the escape codes, which cost as much again
    matrix = figure.monitor.matrix
    bottom = matrix.rows - area.rows
    for column, sign in columns.items():
        style = styles.number(sign.style)
        for row in range(bottom, matrix.rows):
            if matrix.marker[row][area.left + column] == " ":
                matrix.insert_element(area.left + column, row, sign.glyph, style)
    for column, label in x_ticks:  # plotext would shift them to where it finds room
        matrix.add_horizontal_string(
            area.left + fitting.start_of(column, label, area.columns), 0, label, text
        )
    return _read(matrix, styles.names())


def _beyond(scatter: Scatter, rows: int, width: int) -> list[tuple[int, str]]:
    """(row, how many trials) of the rows of what lies beyond the axis."""
    under, over = gutters(scatter.y, rows)
    below, above = scatter.beyond
    found: list[tuple[int, str]] = []
    for at, count, sign in ((rows - 1, above if over else 0, "↑"), (0, below if under else 0, "↓")):
        if count:
            words = (f"{count}{sign}", str(count), f"{10 ** (width - 1) - 1}+"[-width:])
            found.append((at, next(word for word in words if len(word) <= width)))
    return found


_of_thread = (
    threading.local()
)  # plotext's figures are not safe between threads; a new one costs a millisecond


def _figure():
    if not hasattr(_of_thread, "figure"):
        from plotext._figure import _figure_class  # late: nobody pays for it who draws nothing

        figure = _figure_class()
        figure._limit_size(False, False)
        figure.xaxes(True, False)
        figure.yaxes(True, False)
        _of_thread.figure = figure
    return _of_thread.figure


def _read(matrix, names: list[str]) -> list[Line]:
    """plotext's cells as runs of one style, top row first."""
    lines: list[Line] = []
    for row in range(matrix.rows - 1, -1, -1):
        runs: list[Run] = []
        start, held = 0, None
        markers, colors = matrix.marker[row], matrix.fullground[row]
        for column, style in enumerate(colors):
            if style != held:
                if column:
                    runs.append(Run("".join(markers[start:column]).replace(FILLER, ""), _name(names, held)))
                start, held = column, style
        runs.append(Run("".join(markers[start:]).replace(FILLER, ""), _name(names, held)))
        lines.append(tuple(runs))
    return lines


def _name(names: list[str], style) -> str:
    return names[style] if isinstance(style, int) else ""
