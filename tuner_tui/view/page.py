"""The whole grid as text: printed by `tuner plot` and at the end of a headless run.

Panels are grouped as the search file groups them. How many stand side by side is decided here, for the screen
as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from ..study.snapshot import Snapshot
from .axes import Overlay
from .charts import Scatter
from .draw import Line, Run, draw_panel
from .labels import fit
from .legend import legend, notes
from .panels import CROWD_NOTE, panels
from .signs import TEXT
from .words import direction_words, part_words

PANEL_WIDTH = 34  # at least: 27 integers side by side, and the numbers of the y axis
WIDEST = 60  # a lone panel wider than that only spreads its points thin
PANEL_HEIGHT = 13  # ten rows of points: three decades at a third of a decade each
GAP = 2  # cells between panels
HEADING = "bold #808080"


def columns_for(width: int, most: int | None = None) -> int:
    """How many panels stand side by side. `most`: in the largest group; more columns would stay empty."""
    fitting = max((width + GAP) // (PANEL_WIDTH + GAP), 1)
    return fitting if most is None else max(min(fitting, most), 1)


def panel_width_for(width: int, columns: int) -> int:
    """How wide each of them then is."""
    return max(min((width - GAP * (columns - 1)) // columns, WIDEST), 1)


def groups(found: tuple[Scatter, ...]) -> list[tuple[str, list[Scatter]]]:
    """The panels under their headings: neighbours of the search file stay together."""
    return [(name, list(members)) for name, members in groupby(found, key=lambda scatter: scatter.group)]


def page(snapshot: Snapshot, width: int, *, color: bool = True, height: int | None = None) -> str:
    """The grid with its legend and notes. `height`: of one panel. Lines are at most `width` cells wide.

    With `color` the text holds ANSI escapes (24-bit colours); without, none.
    """
    width = max(width, 1)
    lines = page_lines(snapshot, width, color=color, height=height)
    return as_text(lines, color=color)


def as_text(lines: Sequence[Line], *, color: bool) -> str:
    """Lines for a terminal: with ANSI escapes (24-bit colours), or without any."""
    return "\n".join(_ansi(line) if color else _plain(line) for line in lines) + "\n"


def page_lines(
    snapshot: Snapshot,
    width: int,
    *,
    color: bool = True,
    height: int | None = None,
    overlay: Overlay = Overlay.POINTS,
) -> tuple[Line, ...]:
    """The same as lines of runs, for a screen or a picture of one."""
    lines: list[Line] = [_headline(snapshot, width, color)]
    shown = panels(snapshot)
    found = groups(shown)
    columns = columns_for(width, max((len(members) for _, members in found), default=1))
    for name, members in found:
        if name:
            lines += [(), _heading(name, width, color)]
        panel_width = panel_width_for(width, columns)
        lines += _rows(members, columns, panel_width, height or PANEL_HEIGHT, color, overlay)
    lines.append(())
    lines += _wrap(legend(snapshot, color=color), width)
    crowds = (CROWD_NOTE,) if any(scatter.crowds for scatter in shown) else ()
    for note in (*notes(snapshot), *crowds):
        lines.append((Run(fit(note, width).rstrip(), TEXT if color else ""),))
    return tuple(lines)


def _headline(snapshot: Snapshot, width: int, color: bool) -> Line:
    text = (
        f"{snapshot.study}  {snapshot.objective}, {direction_words(snapshot)}"
        if snapshot.objective
        else snapshot.study
    )
    if snapshot.part_of:
        text += f"; {part_words(snapshot)}"
    name = fit(text, width).rstrip()
    cut = min(len(snapshot.study), len(name))
    return (Run(name[:cut], "bold" if color else ""), Run(name[cut:], TEXT if color else ""))


def _heading(group: str, width: int, color: bool) -> Line:
    name = fit(group, width).rstrip()
    rule = " " + "─" * (width - len(name) - 1) if len(name) + 2 < width else ""
    return (Run(name, HEADING if color else ""), Run(rule, "#606060" if color else ""))


def _rows(
    members: list[Scatter], columns: int, width: int, height: int, color: bool, overlay: Overlay
) -> list[Line]:
    lines: list[Line] = []
    for start in range(0, len(members), columns):
        panels = [
            draw_panel(s, width, height, color=color, overlay=overlay)
            for s in members[start : start + columns]
        ]
        if start or not members[0].group:
            lines.append(())
        for row in zip(*panels, strict=True):
            line: list[Run] = []
            for place, part in enumerate(row):
                line += [Run(" " * GAP, "")] * bool(place)
                line += part
            lines.append(tuple(line))
    return lines


def _wrap(legend: Line, width: int) -> list[Line]:
    """A legend on as many lines as it needs; a sign stays with its words."""
    lines: list[Line] = []
    line: list[Run] = []
    used = 0
    for sign, words in zip(legend[::2], legend[1::2], strict=True):
        needed = len(sign.text) + len(words.text.rstrip())
        if line and used + needed > width:
            lines.append(tuple(line))
            line, used = [], 0
        line += [sign, words]
        used += len(sign.text) + len(words.text)
    return [*lines, tuple(line)]


def _plain(line: Line) -> str:
    return "".join(run.text for run in line).rstrip()


def _ansi(line: Line) -> str:
    from rich.color import ColorSystem
    from rich.style import Style

    return "".join(
        Style.parse(run.style).render(run.text, color_system=ColorSystem.TRUECOLOR) if run.style else run.text
        for run in line
    ).rstrip()
