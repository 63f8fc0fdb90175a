"""The selected trial: how it ended and why, what it drew, its values, its curve, its last words.

Or the study, if none is selected.
"""

from __future__ import annotations

from pathlib import Path

from textual import events
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.reactive import reactive
from textual.widgets import Static

from ...study.folder import StudyFolder
from ...study.snapshot import Snapshot
from ...study.state import State
from ...study.text import printable
from ..detail_text import study_text, trial_head, trial_text
from ..preview import NAME
from .preview import Preview

TAIL_LINES = 40  # of log and traceback; `l` shows more


class Detail(VerticalScroll, can_focus=True, inherit_bindings=False):
    snapshot: reactive[Snapshot] = reactive(Snapshot, always_update=True, repaint=False)
    selected: reactive[int | None] = reactive(None, repaint=False)
    state: reactive[State] = reactive(State.EMPTY, repaint=False)
    now: reactive[float] = reactive(0.0, repaint=False)

    def __init__(self, folder: StudyFolder, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._folder = folder
        self._shown_for: tuple[object, ...] = ()

    def compose(self) -> ComposeResult:
        yield Static(id="detail-text")
        yield Preview(id="detail-preview")
        yield Static(id="detail-more")

    def watch_snapshot(self) -> None:
        self._fill()

    def watch_selected(self) -> None:
        self.scroll_home(animate=False)
        self._fill()

    def watch_state(self) -> None:
        self._fill()

    def watch_now(self) -> None:
        self._fill()

    def on_resize(self, event: events.Resize) -> None:
        self._fill()

    def _fill(self) -> None:
        """Write the text again if anything it says has changed, the log on disk included."""
        width = self.scrollable_content_region.width - 2
        if not self.is_mounted or width < 1 or not self.display:
            return
        alive = self.state is State.RUNNING
        trial = self.snapshot.trials.get(self.selected) if self.selected is not None else None
        text, more = self.query_one("#detail-text", Static), self.query_one("#detail-more", Static)
        preview = self.query_one(Preview)
        if trial is None:
            preview.look(None, 0, 0)
            shown_for = ("study", self.snapshot.version, self.state, width)
            if shown_for != self._shown_for:
                self._shown_for = shown_for
                about = study_text(self._folder.name, self.snapshot, self.state, width=width)
                hint = Content.styled("Select a trial with ↑ ↓ or a click on a point.", "$quiet")
                text.update(Content("\n\n").join([about, hint]))
                more.display = False
            return
        head = trial_head(trial, self.snapshot, alive=alive, now=self.now)
        # As if the scroll bar showed: a picture that fits without one and not with one would come and go.
        across = self.content_region.width - 3
        room = self.content_region.height - head.get_height({}, max(1, across)) - 1  # a line between
        preview.look(self._folder.out(trial.number) / NAME, across, max(1, room))
        clock = int(self.now) if trial.running and alive else 0
        best = self.snapshot.best
        is_best = best is not None and best.number == trial.number
        shown_for = (trial, is_best, alive, width, clock, _stamp(self._folder.log(trial.number)))
        if shown_for == self._shown_for:
            return
        self._shown_for = shown_for
        text.update(head)
        more.display = True
        more.update(
            trial_text(
                trial,
                self.snapshot,
                width=width,
                traceback=traceback_lines(self._folder, trial.number)[-TAIL_LINES:],
                log=log_lines(self._folder, trial.number, TAIL_LINES),
            )
        )


def log_lines(folder: StudyFolder, number: int, lines: int) -> list[str]:
    """The end of a trial's log; empty when it cannot be read (it may vanish at any time)."""
    try:
        return folder.log_tail(number, lines)
    except OSError:
        return []


def traceback_lines(folder: StudyFolder, number: int) -> list[str]:
    try:
        text = folder.traceback(number).read_text(errors="replace")
    except OSError:
        return []
    return [printable(line) for line in text.splitlines()]


def _stamp(path: Path) -> tuple[int, int]:
    try:
        stat = path.stat()
    except OSError:
        return (0, 0)
    return (stat.st_size, stat.st_mtime_ns)
