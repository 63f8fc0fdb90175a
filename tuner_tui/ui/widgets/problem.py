"""What is wrong, in a dialog: hidden while nothing is."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from ...study.text import printable


class Problem(VerticalScroll):
    """Scrolls where there is much to say. It quotes other people's text, so every line is made printable."""

    def __init__(self) -> None:
        super().__init__(id="problem")
        self.display = False

    def compose(self) -> ComposeResult:
        yield Static(id="problem-text")

    def say(self, text: str) -> None:
        """Show a text, one problem a line; "" hides it."""
        self.query_one(Static).update(Content("\n".join(map(printable, text.splitlines()))))
        self.display = bool(text)
