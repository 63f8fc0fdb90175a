"""The log and the traceback of the selected trial, and the engine's log, followed live."""

from __future__ import annotations

from pathlib import Path

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from ...sources.source import Files
from ...study.text import last_lines

LINES = 500  # the end is what matters; the file itself holds the rest
FOLLOW_S = 0.5


class LogScreen(ModalScreen[None]):
    """The log, the traceback and the engine's log, one at a time, followed live."""

    BINDINGS = [  # noqa: RUF012
        Binding("escape,q,l", "close", "close"),
        Binding("tab,right", "turn(1)", "next"),
        Binding("shift+tab,left", "turn(-1)", "previous"),
        Binding("j", "scroll(1)", "down"),
        Binding("k", "scroll(-1)", "up"),
        Binding("g", "end(-1)", "start"),
        Binding("G", "end(1)", "end"),
    ]

    def __init__(self, files: Files, trial: int | None) -> None:
        super().__init__()
        self._files = files
        self._trial = trial
        self._pages = ("log", "traceback", "engine") if trial is not None else ("engine",)
        self._page = 0
        self._lines: list[str] | None = None
        if trial is not None and not _there(files.log(trial)) and _there(files.traceback(trial)):
            self._page = 1  # it died before it could print: show what it died of

    def compose(self) -> ComposeResult:
        with VerticalScroll(id="log") as frame:
            frame.border_subtitle = "tab turns · esc closes" if len(self._pages) > 1 else "esc closes"
            yield Static(id="log-text")

    def on_mount(self) -> None:
        self.query_one("#log").focus()
        self._follow()
        self.set_interval(FOLLOW_S, self._follow)

    def _follow(self) -> None:
        """Show the newest lines; stay at the end if we were there."""
        lines = self._read()
        if lines == self._lines:
            return
        frame = self.query_one("#log", VerticalScroll)
        at_end = self._lines is None or frame.scroll_offset.y >= frame.max_scroll_y
        self._lines = lines
        title = {"log": "log", "traceback": "traceback", "engine": "engine's log"}[self._pages[self._page]]
        frame.border_title = title if self._trial is None else f"trial {self._trial}: {title}"
        self.query_one("#log-text", Static).update(
            Content("\n".join(lines)) if lines else Content.styled("nothing here", "$faint")
        )
        if at_end:
            self.call_after_refresh(frame.scroll_end, animate=False)

    def _read(self) -> list[str]:
        page = self._pages[self._page]
        if page == "engine" or self._trial is None:
            return last_lines(self._files.engine_log, LINES)
        if page == "traceback":
            return last_lines(self._files.traceback(self._trial), LINES)
        return last_lines(self._files.log(self._trial), LINES)

    def action_turn(self, by: int) -> None:
        self._page = (self._page + by) % len(self._pages)
        self._lines = None
        self._follow()

    def action_scroll(self, by: int) -> None:
        self.query_one("#log").scroll_relative(y=by, animate=False)

    def action_end(self, where: int) -> None:
        frame = self.query_one("#log")
        if where > 0:
            frame.scroll_end(animate=False)
        else:
            frame.scroll_home(animate=False)

    def action_close(self) -> None:
        self.dismiss()


def _there(path: Path) -> bool:
    return bool(last_lines(path, 1))
