"""The signs a trial is drawn with: which character, which colour, and which sign wins a cell.

Shape carries the meaning and colour repeats it, so that a plot survives a colour-blind reader, a CI log and
a monochrome terminal. Colours are of middling lightness: they read on black and on white.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from ..study.outcomes import Outcome
from ..study.snapshot import Trial
from ..study.state import State


class Sign(NamedTuple):
    """A glyph, its style, and which sign wins where several meet: the higher rank."""

    glyph: str  # one cell wide
    style: str  # a rich style
    rank: int  # the higher wins a cell that several trials share


FINISHED = Sign("●", "#3f8fe8", 3)
UNFINISHED = Sign("▲", "#f08c00", 4)
RUNNING = Sign("○", "#7f93a8", 1)
BEFORE = Sign("◇", FINISHED.style, 3)  # finished, but in another study, before this one
BEFORE_UNFINISHED = Sign("△", UNFINISHED.style, 4)
BEST = Sign("★", "bold #14b86a", 5)
DIVERGED = Sign("×", "bold #f08c00", 4)  # at the last finite loss, whoever noticed
INFINITE = Sign("∞", "#8a8a8a", 2)  # where nan or infinity followed: beyond the upper end, above the trial
SELECTED = Sign("◆", "bold reverse", 6)
MEDIAN = Sign("━", "bold", 0)  # of the finished trials in a bin, over the points
QUARTILE = Sign("┄", "bold", 0)
SELECTED_LINE = Sign("▌", "bold", 0)  # a trial that never started, over the whole height

# A loss beyond the axis: an arrow at that edge, whose form still says how the trial ended.
BEYOND = {
    ("finished", "high"): Sign("↑", FINISHED.style, FINISHED.rank),
    ("finished", "low"): Sign("↓", FINISHED.style, FINISHED.rank),
    ("unfinished", "high"): Sign("⇑", UNFINISHED.style, UNFINISHED.rank),
    ("unfinished", "low"): Sign("⇓", UNFINISHED.style, UNFINISHED.rank),
    ("running", "high"): Sign("⇡", RUNNING.style, RUNNING.rank),
    ("running", "low"): Sign("⇣", RUNNING.style, RUNNING.rank),
}

# Never started, from few to many in one column. In a panel with at most so many in any column a level is a
# count; above, it is the share of the fullest column, so that a region where trials die stands out.
LINES = (
    Sign("│", "#6e3c3c", 0),
    Sign("│", "#96423f", 0),
    Sign("│", "#c44640", 0),
    Sign("┃", "#dc4038", 0),
    Sign("┃", "bold #ff3b30", 0),
)
# The same on light paper: from pale to deep.
LIGHT_LINES = (
    Sign("│", "#ecc4c0", 0),
    Sign("│", "#e09a94", 0),
    Sign("│", "#d4665e", 0),
    Sign("┃", "#c8332a", 0),
    Sign("┃", "bold #a80f08", 0),
)
# Never started, where lines would stand in most columns: the columns with the largest shares are shaded.
SHADES = (Sign("░", "#6e3c3c", 0), Sign("░", "#c44640", 0))
LIGHT_SHADES = (Sign("░", "#e09a94", 0), Sign("░", "#c8332a", 0))
PLAIN_SHADES = (Sign("░", "", 0),)
PLAIN_LINES = tuple(Sign(glyph, "", 0) for glyph in "│║┃")  # one, two, many

# In a crowd eight dots soon fill a cell: then the colour says how many trials there are, from few to many.
CROWDS = {
    "finished": ("#2d66a6", FINISHED.style, "#8cc6ff"),
    "unfinished": ("#a86200", UNFINISHED.style, "#ffc266"),
    "running": (RUNNING.style,) * 3,
}
LIGHT_CROWDS = {
    "finished": ("#8dbcf0", FINISHED.style, "#14509a"),
    "unfinished": ("#f5bc6a", UNFINISHED.style, "#a35c00"),
    "running": (RUNNING.style,) * 3,
}
ON_LIGHT = {
    dark: light
    for kind, shades in CROWDS.items()
    for dark, light in zip(shades, LIGHT_CROWDS[kind], strict=True)
}
DOTS = 8  # in a cell
FEWER, MORE = 0.45, 0.8  # of the logarithm of the fullest cell's count: below the one, above the other

FRAME = "#808080"
TEXT = "#8a8a8a"
TITLE = "bold"


def line_level(count: int, most: int, levels: int) -> int:
    """0 .. levels - 1 for `count` lines in a column when the fullest column holds `most`; never falls."""
    if most <= levels:
        return count - 1
    return -(-count * levels // most) - 1


def density(count: int, fullest: int) -> int:
    """0, 1 or 2: how full a cell is beside the fullest; 1 where the dots can still be counted."""
    if fullest <= DOTS:
        return 1
    share = math.log(count) / math.log(fullest)
    return 0 if share < FEWER else 1 if share < MORE else 2


def shaded(kind: str, level: int) -> Sign:
    """The usual sign of a kind in the colour of a density, on a dark background."""
    usual = USUAL[kind]
    return Sign(usual.glyph, CROWDS[kind][level], usual.rank)


USUAL = {"finished": FINISHED, "unfinished": UNFINISHED, "running": RUNNING}
OF_BEFORE = {"finished": BEFORE, "unfinished": BEFORE_UNFINISHED}


def sign_of(
    kind: str, diverged: bool = False, edge: str = "", best: bool = False, before: bool = False
) -> Sign:
    """The sign of a trial that has a height."""
    if best:
        return BEST
    if edge:
        return BEYOND[kind, edge]
    if diverged:
        return DIVERGED
    return OF_BEFORE.get(kind, USUAL[kind]) if before else USUAL[kind]


def end_sign(trial: Trial) -> Sign:
    """How a trial ended, in a list of trials."""
    usual = OUTCOME_SIGNS[trial.outcome]
    return {FINISHED: BEFORE, UNFINISHED: BEFORE_UNFINISHED}.get(usual, usual) if trial.source else usual


# How each end is drawn in lists and bars: the middle one of the reds for trials that never started.
OUTCOME_SIGNS: dict[Outcome | None, Sign] = {
    Outcome.FINISHED: FINISHED,
    Outcome.UNFINISHED: UNFINISHED,
    Outcome.NO_START: LINES[2],
    None: RUNNING,
}
# Names of the colours that a theme can set, by outcome and by state.
OUTCOME_TONES: dict[Outcome | None, str] = {
    Outcome.FINISHED: "finished",
    Outcome.UNFINISHED: "unfinished",
    Outcome.NO_START: "no-start",
    None: "running",
}
STATE_TONES = {
    State.RUNNING: "success",
    State.DONE: "finished",
    State.STOPPED: "unfinished",
    State.INTERRUPTED: "no-start",
    State.FAILED: "no-start",
    State.EMPTY: "quiet",
    State.IDLE: "quiet",
    State.READING: "quiet",
}
