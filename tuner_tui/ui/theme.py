"""Colours: one dark and one light theme, and the signs of a trial's state.

The three outcome colours are the seed picture's (blue dots, orange dots, red lines). Each has a shape of its
own too, because colour is never the only sign. Any other Textual theme works as well: `OUTCOME_COLOURS` stands
in for the variables such a theme does not know.
"""

from __future__ import annotations

from textual.theme import Theme

from ..view.signs import OUTCOME_SIGNS, OUTCOME_TONES

# The plots' own colours, so that a count in the head is the legend of the grid.
OUTCOME_COLOURS = {tone: OUTCOME_SIGNS[outcome].style for outcome, tone in OUTCOME_TONES.items()}
# Two greys for what stands back. Textual's own `$text-muted` is relative to a background that text styled by
# name does not know.
GREYS = {"quiet": "#868e9a", "faint": "#5d6571"}
_DARK_GREYS = {"quiet": "#7f8a9a", "faint": "#4c5666"}
_LIGHT_GREYS = {"quiet": "#66707d", "faint": "#a3abb5"}

# Cursor rows and footer keys must not shout: they take the panel colours rather than the accent.
_DARK_DETAILS = {
    "block-cursor-text-style": "none",
    "block-cursor-background": "#263244",
    "block-cursor-foreground": "#e8edf4",
    "input-selection-background": "#58a6ff 35%",
    "scrollbar": "#2b3240",
    "scrollbar-hover": "#3a4456",
    "scrollbar-active": "#4a566c",
    "scrollbar-background": "#0f1218",
    "scrollbar-background-hover": "#0f1218",
    "scrollbar-background-active": "#0f1218",
}

TUNER_DARK = Theme(
    name="tuner-dark",
    primary="#58a6ff",
    secondary="#8fb8de",
    accent="#6fd3a4",
    foreground="#c9d1dc",
    background="#0f1218",
    surface="#141922",
    panel="#1c2330",
    success="#6fd3a4",
    warning="#ff9d3c",
    error="#f0525a",
    dark=True,
    variables={**OUTCOME_COLOURS, **_DARK_GREYS, **_DARK_DETAILS},
)

TUNER_LIGHT = Theme(
    name="tuner-light",
    primary="#1158c7",
    secondary="#40658c",
    accent="#1a7f52",
    foreground="#1f2733",
    background="#fafbfc",
    surface="#f1f4f7",
    panel="#e2e7ee",
    success="#1a7f52",
    warning="#b35900",
    error="#c4242d",
    dark=False,
    variables={
        **OUTCOME_COLOURS,
        **_LIGHT_GREYS,
        "block-cursor-text-style": "none",
        "block-cursor-background": "#d6e4f7",
        "block-cursor-foreground": "#10161f",
    },
)
