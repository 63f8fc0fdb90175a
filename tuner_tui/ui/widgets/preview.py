"""The picture that the selected trial draws of its progress; nothing where there is none, or no colour.

The file is looked at as often as the detail is filled, and read again, in a thread, when it or the room for it
has changed. What was read is repainted only when it looks different.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, NamedTuple

from textual.geometry import Size
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from ..half_blocks import shows_pictures
from ..preview import Row, preview_rows


class Wanted(NamedTuple):
    """What the rows depend on: a file as it was at one moment, and the room."""

    path: Path
    written: int  # ns
    size: int  # bytes
    width: int
    height: int


class Preview(Widget):
    """The picture that a trial left, in coloured cells."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"preview--words", "preview--caption"}

    @dataclass
    class Made(Message):
        """The picture has been read and scaled."""

        wanted: Wanted
        rows: tuple[Row, ...]

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._wanted: Wanted | None = None
        self._rows: tuple[Row, ...] = ()
        self._reading = False
        self.display = False

    def look(self, path: Path | None, width: int, height: int) -> None:
        """Show the file at `path` as it is now, in that room; None: nothing."""
        wanted = _wanted(path, width, height) if path and shows_pictures(self.app) else None
        if wanted == self._wanted:
            return
        other = wanted is None or self._wanted is None or wanted.path != self._wanted.path
        self._wanted = wanted
        if other:
            self._show(())  # never one trial's picture under another's name
        self._read()

    @property
    def settled(self) -> bool:
        """Whether the newest picture is shown."""
        return not self._reading

    def _read(self) -> None:
        if self._wanted is not None and not self._reading:
            self._reading = True
            wanted = self._wanted
            self.run_worker(lambda: self._read_in_thread(wanted), thread=True, exit_on_error=False)

    def _read_in_thread(self, wanted: Wanted) -> None:
        """Posting is all a thread may do with the screen."""
        rows: tuple[Row, ...] = ()
        try:
            rows = preview_rows(wanted.path, wanted.width, wanted.height)
        finally:
            self.post_message(self.Made(wanted, rows))

    def on_preview_made(self, event: Made) -> None:
        event.stop()
        self._reading = False
        if event.wanted == self._wanted:
            self._show(event.rows)
        else:
            self._read()  # the file, the trial or the room changed meanwhile

    def _show(self, rows: tuple[Row, ...]) -> None:
        if rows == self._rows:
            return
        taller = len(rows) != len(self._rows)
        self._rows = rows
        self.display = bool(rows)
        self.refresh(layout=taller)

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        return len(self._rows)

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        if y >= len(self._rows):
            return Strip.blank(width, self.rich_style)
        role, strip = self._rows[y]
        style = self.get_component_rich_style(f"preview--{role}") if role else self.rich_style
        return strip.apply_style(style).adjust_cell_length(width, self.rich_style)


def _wanted(path: Path, width: int, height: int) -> Wanted | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return Wanted(path, stat.st_mtime_ns, stat.st_size, width, height)
