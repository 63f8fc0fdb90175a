"""A table that draws only the rows on view: ten thousand rows cost as much as thirty.

Textual's DataTable takes two seconds to show ten thousand rows; this one asks a subclass for the cells of a
row when that row is painted, and for nothing else. The header stays put while rows scroll under it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from ..painting import changed


@dataclass(frozen=True)
class Column:
    """A heading, its width in cells, and whether it is aligned to the right."""

    title: str
    width: int
    right: bool = False  # numbers stand at the right
    stretch: bool = False  # takes what width is left


Cell = tuple[str, str]  # text, name of a component class that colours it ("" for plain)


class Rows(ScrollView, can_focus=True, inherit_bindings=False):
    """Subclasses provide `columns()`, `cells(row)` and keep `row_count` and `cursor` up to date."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "rows--header",
        "rows--cursor",
        "rows--muted",
        "rows--finished",
        "rows--unfinished",
        "rows--no-start",
        "rows--running",
        "rows--strong",
        "rows--success",
    }

    @dataclass
    class Picked(Message):
        """A person clicked a row; `again`: one that was the cursor's already."""

        row: int
        again: bool

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self.row_count = 0
        self.cursor: int | None = None
        self._columns: tuple[Column, ...] = ()
        self._styles_now: dict[str, Style] = {}
        self._painted: dict[int, Strip] = {}  # by line

    def columns(self) -> tuple[Column, ...]:
        """The columns for the width there is."""
        raise NotImplementedError

    def cells(self, row: int) -> list[Cell]:
        """The texts of one row with their tones."""
        raise NotImplementedError

    def refresh_rows(self) -> None:
        """Everything may have changed: count, columns, cells."""
        self._columns = self.columns()
        width = sum(column.width + 1 for column in self._columns)
        self.virtual_size = Size(width, self.row_count + 1)
        self.repaint()

    def repaint(self) -> None:
        """Paint again what differs from what is on the screen."""
        if not self.is_mounted:
            return
        for y in range(self.size.height):
            if span := changed(self._painted.get(y), self._rendered(y)):
                self.refresh(Region(span[0], y, span[1] - span[0], 1))

    def move_cursor(self, row: int | None) -> None:
        """Put the cursor on a row and bring it on view."""
        self.cursor = row
        height = self.scrollable_content_region.height - 1
        if row is not None and height > 0:
            top = self.scroll_offset.y
            if row < top:
                self.scroll_to(y=row, animate=False, immediate=True)
            elif row >= top + height:
                self.scroll_to(y=row - height + 1, animate=False, immediate=True)
        self.repaint()

    def notify_style_update(self) -> None:
        self._styles_now.clear()
        self._painted.clear()
        super().notify_style_update()

    def on_resize(self, event: events.Resize) -> None:
        self._columns = self.columns()
        self.move_cursor(self.cursor)

    def on_click(self, event: events.Click) -> None:
        row = event.y - self.gutter.top - 1 + self.scroll_offset.y
        if event.y > self.gutter.top and 0 <= row < self.row_count:
            self.post_message(self.Picked(row, again=row == self.cursor))

    def tone(self, name: str) -> Style:
        """The style of a component class, looked up once a theme."""
        if name not in self._styles_now:
            full = f"rows--{name}" if name else ""
            self._styles_now[name] = self.get_component_rich_style(full) if name else self.rich_style
        return self._styles_now[name]

    def render_line(self, y: int) -> Strip:
        self._painted[y] = strip = self._rendered(y)
        return strip

    def _rendered(self, y: int) -> Strip:
        width = self.scrollable_content_region.width
        if y == 0:
            cells = [(column.title, "header") for column in self._columns]
            return self._line(cells, width, self.tone("header"))
        row = y - 1 + self.scroll_offset.y
        if row >= self.row_count:
            return Strip.blank(width, self.rich_style)
        return self._line(self.cells(row), width, self.tone("cursor") if row == self.cursor else None)

    def _line(self, cells: list[Cell], width: int, over: Style | None) -> Strip:
        base = self.rich_style if over is None else over
        spare = width - sum(column.width + 1 for column in self._columns)
        segments: list[Segment] = []
        for (text, tone), column in zip(cells, self._columns, strict=False):
            room = column.width + (max(0, spare) if column.stretch else 0)
            if cell_len(text) > room:
                text = set_cell_size(text, room - 1) + "…" if room > 1 else set_cell_size(text, room)
            elif column.right:
                text = " " * (room - cell_len(text)) + text
            style = self.tone(tone)
            if over is not None and tone != "header":
                style = style + Style(bgcolor=over.bgcolor)
            segments.append(Segment(set_cell_size(text, room), style))
            segments.append(Segment(" ", base))
        strip = Strip(segments)
        left = self.scroll_offset.x
        return strip.crop_extend(left, left + width, base)
