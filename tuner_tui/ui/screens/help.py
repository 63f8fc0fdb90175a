"""All keys and signs on one page, from the one list of keys and the plots' own signs."""

from __future__ import annotations

from collections.abc import Collection
from itertools import groupby

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Container, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from ...view import signs
from ..keys import keys_for

SIGNS = (
    (signs.FINISHED, "finished: ended by itself; reliable"),
    (signs.UNFINISHED, "unfinished: a loss, then an early end"),
    (signs.LINES[2], "never started: ended without a loss"),
    (signs.LINES[4], "the stronger, the more of them there"),
    (signs.Sign("▅", signs.LINES[2].style, 0), "under the axis: their share, by column"),
    (signs.SHADES[1], "many of them: a share above the rest's"),
    (signs.Sign("⣾", signs.FINISHED.style, 0), "a crowd: dots, coloured by share"),
    (signs.RUNNING, "running: its loss so far"),
    (signs.BEST, "the best of the finished"),
    (signs.DIVERGED, "diverged: the last finite loss"),
    (signs.INFINITE, "top row: nan or infinity came next"),
    (signs.BEYOND["finished", "high"], "top row: far above the axis, and how many"),
    (signs.BEYOND["finished", "low"], "bottom row: below the axis, or not above 0"),
    (signs.BEFORE, "ran before, in another study; △ early"),
    (signs.MEDIAN, "median of the finished; ┄ quartiles (t)"),
    (signs.SELECTED, "the selected trial, in every plot"),
    (signs.Sign("▸", "bold", 0), "behind a name: failures crowd there"),
)


class Help(ModalScreen[None]):
    """A page with all keys and signs."""

    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (112, "-wide")]  # noqa: RUF012
    BINDINGS = [Binding("escape,q,question_mark,f1,enter", "close", "close")]  # noqa: RUF012

    def __init__(self, place: str, possible: Collection[str] | None = None) -> None:
        super().__init__()
        self._for = keys_for(place, possible)

    def compose(self) -> ComposeResult:
        with VerticalScroll(id="dialog") as dialog:
            dialog.border_title = "Keys and signs"
            dialog.border_subtitle = "esc closes"
            with Container(id="help"):
                yield Static(self._keys())
                yield Static(signs_text())

    def on_mount(self) -> None:
        self.query_one("#dialog").focus()

    def _keys(self) -> Content:
        headings = ("Move", "Plots", "List", "Sweep", "Leave")
        keys = sorted(self._for, key=lambda key: headings.index(key.heading))
        lines: list[Content] = []
        for heading, group in groupby(keys, key=lambda key: key.heading):
            lines.append(Content.styled(heading, "bold $secondary"))
            lines += [Content.assemble((f"{key.shown:>5}  ", "$primary"), (key.tooltip, "")) for key in group]
            lines.append(Content(""))
        return Content("\n").join(lines[:-1])

    def action_close(self) -> None:
        self.dismiss()


def signs_text() -> Content:
    """The signs of the plots, one per line."""
    lines = [Content.styled("Signs", "bold $secondary")]
    for sign, meaning in SIGNS:
        lines.append(Content.assemble("    ", (sign.glyph, sign.style), f"  {meaning}"))
    return Content("\n").join(lines)
