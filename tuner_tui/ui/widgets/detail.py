"""The selected trial: how it ended and why, what it drew, its values, its curve, its last words.

Or the study, if none is selected.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from pathlib import Path

from textual import events
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.reactive import reactive
from textual.widgets import Static

from ...sources.source import Files
from ...study.log import left_out
from ...study.processes import gpu_mebibytes
from ...study.publication import Publication
from ...study.snapshot import Snapshot
from ...study.state import State
from ...study.text import last_lines
from ..detail_text import study_text, trial_head, trial_text
from ..preview import NAME
from .preview import Preview

TAIL_LINES = 40  # of log and traceback; `l` shows more


CLOCK_S = 5  # how often the running trials are listed anew
Curves = Mapping[str, Sequence[tuple[int, float]]]


class Detail(VerticalScroll, can_focus=True, inherit_bindings=False):
    """The pane with all that is known of the selected trial, or of the study."""

    snapshot: reactive[Snapshot] = reactive(Snapshot, always_update=True, repaint=False)
    selected: reactive[int | None] = reactive(None, repaint=False)
    state: reactive[State] = reactive(State.EMPTY, repaint=False)
    now: reactive[float] = reactive(0.0, repaint=False)
    publication: reactive[Publication | None] = reactive(None, repaint=False)
    curves: reactive[Curves] = reactive(dict, repaint=False)  # of the selected trial, by measurement
    gpu_mebibytes: reactive[Mapping[int, int]] = reactive(dict, init=False, repaint=False)  # by process group

    class GpusSeen(Message):
        """What the processes here hold of the GPUs, by process group."""

        def __init__(self, mebibytes: Mapping[int, int]) -> None:
            super().__init__()
            self.mebibytes = mebibytes

    def __init__(
        self,
        study: str,
        files: Files | None,
        *,
        origin: str = "",
        id: str | None = None,
        classes: str | None = None,
    ) -> None:
        super().__init__(id=id, classes=classes)
        self._study = study
        self._files = files
        self._origin = origin
        self._shown_for: tuple[object, ...] = ()
        self._asked_gpus = -1

    def compose(self) -> ComposeResult:
        yield Static(id="detail-text")
        yield Preview(id="detail-preview")
        yield Static(id="detail-more")

    def watch_snapshot(self) -> None:
        self._fill()

    def watch_selected(self) -> None:
        self.scroll_home(animate=False)
        self._fill()

    def watch_publication(self) -> None:
        self._fill()

    def watch_curves(self) -> None:
        self._fill()

    def watch_state(self) -> None:
        self._fill()

    def watch_now(self) -> None:
        self._fill()
        if self.selected is None and int(self.now) // CLOCK_S != self._asked_gpus:
            self._ask_gpus()

    def _ask_gpus(self) -> None:
        """What the running trials hold of the GPUs, if they have any here; in a thread, because it takes long."""
        if self.state is not State.RUNNING or self.snapshot.host != platform.node():
            return
        self._asked_gpus = int(self.now) // CLOCK_S
        if any(t.running and t.device.startswith("cuda") for t in self.snapshot.trials.values()):
            self.run_worker(self._see_gpus, thread=True, group="gpus", exclusive=True)

    def _see_gpus(self) -> None:
        self.post_message(self.GpusSeen(gpu_mebibytes()))

    def on_detail_gpus_seen(self, event: GpusSeen) -> None:
        self.gpu_mebibytes = event.mebibytes

    def watch_gpu_mebibytes(self) -> None:
        self._fill()

    def on_resize(self, event: events.Resize) -> None:
        self._fill()

    def _fill(self) -> None:
        """Write the text again if anything it says has changed, the log on disk included."""
        # As if the scroll bar showed: text, or a picture, that fits without one and not with one would come and go.
        width = self.content_region.width - 3
        if not self.is_mounted or width < 1 or not self.display:
            return
        alive = self.state is State.RUNNING
        trial = self.snapshot.trials.get(self.selected) if self.selected is not None else None
        text, more = self.query_one("#detail-text", Static), self.query_one("#detail-more", Static)
        preview = self.query_one(Preview)
        if trial is None:
            preview.look(None, 0, 0)
            clock = int(self.now) // CLOCK_S if alive and self.snapshot.counts.running else 0
            mlflow = (self.publication.page or "`tuner mlflow` shows it") if self.publication else ""
            shown_for = ("study", self.snapshot.version, self.state, width, clock, mlflow, self.gpu_mebibytes)
            if shown_for != self._shown_for:
                self._shown_for = shown_for
                about = study_text(
                    self._study, self.snapshot, self.state, width=width, origin=self._origin, now=self.now,
                    mlflow=mlflow, gpu_mebibytes=self.gpu_mebibytes,
                )  # fmt: skip
                hint = Content.styled("Select a trial with ↑ ↓ or a click on a point.", "$quiet")
                text.update(Content("\n\n").join([about, hint]))
                more.display = False
            return
        head = trial_head(trial, self.snapshot, alive=alive, now=self.now, width=width)
        room = self.content_region.height - head.get_height({}, width) - 1  # a line between
        files = self._files
        preview.look(files.out(trial.number) / NAME if files else None, width, max(1, room))
        clock = int(self.now) if trial.running and alive else 0
        best = self.snapshot.best
        stamp = files and _stamp(files.log(trial.number))
        curves = self.curves
        page = self.publication.trial_page(trial.number) if self.publication else ""
        shown_for = (trial, id(curves), best and best.number, alive, width, clock, stamp, page)
        if shown_for == self._shown_for:
            return
        self._shown_for = shown_for
        more.display = True
        self._put(text, head)
        self._put(
            more,
            trial_text(
                trial,
                self.snapshot,
                width=width,
                traceback=last_lines(files.traceback(trial.number), TAIL_LINES) if files else (),
                curves=curves,
                log=last_lines(files.log(trial.number), TAIL_LINES) if files else None,
                left_out=left_out(files.log(trial.number), self.snapshot.search.limits.log_bytes)
                if files
                else 0,
                mlflow=page,
            ),
        )

    def _put(self, part: Static, content: Content) -> None:
        """Change a text; what lies below is laid out anew only where the text needs another number of lines."""
        height = content.get_height({}, max(1, part.content_region.width))
        part.update(content, layout=height != part.content_region.height)


def _stamp(path: Path) -> tuple[int, int]:
    try:
        stat = path.stat()
    except OSError:
        return (0, 0)
    return (stat.st_size, stat.st_mtime_ns)
