"""A finding other than the scatterplots, drawn to the width there is: a curve, a table, sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.geometry import Size
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip

from ...view.findings import FINDINGS, Finding

NOTHING = {"crash-bias": "no trial has failed", "rate": "the finder has measured nothing yet"}


class FindingPane(ScrollView, can_focus=True, inherit_bindings=False):
    """The pane of one finding."""

    finding: reactive[Finding] = reactive(FINDINGS[0], repaint=False)
    found: reactive[Mapping[str, Any]] = reactive(dict, always_update=True, repaint=False)  # by id

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._strips: list[Strip] = []
        self._drawn_for: tuple[object, ...] = ()

    def watch_finding(self) -> None:
        self._draw()

    def watch_found(self) -> None:
        self._draw()

    def on_resize(self, event: events.Resize) -> None:
        self._draw()

    def notify_style_update(self) -> None:
        self._drawn_for = ()
        super().notify_style_update()

    def _draw(self) -> None:
        """Only while it is looked at, and only when something has changed."""
        width = self.size.width - 1  # the scroll bar's column
        value = self.found.get(self.finding.id)
        drawn_for = (self.finding.id, value, width)
        if not self.is_mounted or not self.display or width < 1 or drawn_for == self._drawn_for:
            return
        self._drawn_for = drawn_for
        base = self.rich_style
        lines = () if value is None else self.finding.draw(value, width, not self.app.no_color)
        self._strips = [
            Strip([Segment(run.text, base + Style.parse(run.style)) for run in line]) for line in lines
        ] or [Strip([Segment(NOTHING.get(self.finding.id, "nothing to show yet"), base)])]
        self.virtual_size = Size(width, len(self._strips))
        self.refresh()

    def render_line(self, y: int) -> Strip:
        row, width = y + self.scroll_offset.y, self.size.width
        if row >= len(self._strips):
            return Strip.blank(width, self.rich_style)
        return self._strips[row].adjust_cell_length(width, self.rich_style)
