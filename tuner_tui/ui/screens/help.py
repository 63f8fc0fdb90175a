"""All keys and signs on one page, from the one list of keys and the plots' own signs."""

from __future__ import annotations

from itertools import groupby

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from ...plot import signs
from ..keys import keys_for

SIGNS = (
    (signs.FINISHED, "finished: it ended by itself with a finite loss; reliable"),
    (signs.UNFINISHED, "unfinished: it reported a loss, then ended early"),
    (signs.LINES[2], "never started: it ended without one finite loss"),
    (signs.RUNNING, "running: its loss so far"),
    (signs.BEST, "the best of the finished trials"),
    (signs.DIVERGED, "its loss became nan or infinite; stands at the last finite one"),
    (signs.SELECTED, "the selected trial, in every plot"),
)


class Help(ModalScreen[None]):
    BINDINGS = [Binding("escape,q,question_mark,f1,enter", "close", "close")]  # noqa: RUF012

    def __init__(self, place: str) -> None:
        super().__init__()
        self._place = place

    def compose(self) -> ComposeResult:
        with VerticalScroll(id="dialog") as dialog:
            dialog.border_title = "Keys and signs"
            dialog.border_subtitle = "esc closes"
            yield Static(self._text())

    def _text(self) -> Content:
        headings = ("Move", "List", "Sweep", "Leave")
        keys = sorted(keys_for(self._place), key=lambda key: headings.index(key.heading))
        lines: list[Content] = []
        for heading, group in groupby(keys, key=lambda key: key.heading):
            lines.append(Content.styled(heading, "bold $secondary"))
            lines += [Content.assemble((f"{key.shown:>6}  ", "$primary"), (key.tooltip, "")) for key in group]
            lines.append(Content(""))
        lines.append(Content.styled("Signs", "bold $secondary"))
        for sign, meaning in SIGNS:
            lines.append(Content.assemble((f"{sign.glyph:>6}  ", sign.style), (meaning, "")))
        lines.append(Content("        the brighter a red line, the more trials never started there"))
        return Content("\n").join(lines)

    def action_close(self) -> None:
        self.dismiss()
