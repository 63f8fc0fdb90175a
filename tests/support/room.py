"""Studies written to disk, and an app on them that is handed no engine: what the tests of the screen share.

Journals are real files with fixed times; an engine is played by holding the study's lock, which is all that a
viewer ever sees of one.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from textual.css.query import NoMatches

from support import studies
from support.patience import PATIENCE_S
from support.studies import START
from tuner_tui.search.search import Search
from tuner_tui.sources.journal import JournalSource
from tuner_tui.sources.source import Source
from tuner_tui.study.events import Event, StudyOpened, TrialEnded, TrialMeasured, TrialStarted
from tuner_tui.study.folder import StudyFolder, StudyLock
from tuner_tui.study.journal import JournalWriter
from tuner_tui.study.snapshot import Snapshot
from tuner_tui.ui.app import TunerApp
from tuner_tui.ui.doors import Doors
from tuner_tui.ui.memory import Memory

NOW = START + 3 * 3600.0


class Room:
    """A root of studies, and an app on it whose engine is the test itself."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.now = NOW
        self.launched: list[str] = []
        self.started: Search | None = None
        self.resumed: list[str] = []
        self.problem: str | None = None  # what launch and resume complain of
        self._locks: dict[str, StudyLock] = {}

    def study(
        self, name: str, events: Iterable[Event], *, alive: bool = False, age: float = 60
    ) -> StudyFolder:
        folder = StudyFolder(self.root / name)
        folder.path.mkdir(parents=True)
        folder.journal.touch()
        self.happen(folder, events, age=age)
        if alive:
            self.engine_starts(folder)
        return folder

    def happen(self, folder: StudyFolder, events: Iterable[Event], *, age: float = 0) -> None:
        """The engine writes down what happened."""
        writer = JournalWriter(folder.journal)
        writer.append(events)
        writer.close()
        os.utime(folder.journal, (NOW - age, NOW - age))

    def engine_starts(self, folder: StudyFolder) -> None:
        self._locks[folder.name] = StudyLock(folder)

    def engine_dies(self, folder: StudyFolder) -> None:
        self._locks.pop(folder.name).release()

    def requests(self, folder: StudyFolder) -> list[tuple[str, int | None]]:
        if not folder.requests.exists():
            return []
        lines = [json.loads(line) for line in folder.requests.read_text().splitlines()]
        return [(line["request"], line["number"]) for line in lines]

    def app(self, attach: StudyFolder | Source | None = None) -> TunerApp:
        source = JournalSource(attach) if isinstance(attach, StudyFolder) else attach
        return TunerApp(
            self.root, self.doors, attach=source,
            memory=Memory(self.root.parent / "screen.json"), clock=lambda: self.now,
        )  # fmt: skip

    @property
    def doors(self) -> Doors:
        """What the screen is handed instead of engines."""
        return Doors(self._start, self._find_lr, self._resume, self._draw)

    def _start(self, search: Search, file: Path | None, gpus: str) -> StudyFolder:
        if self.problem:
            raise RuntimeError(self.problem)
        self.launched.append(str(file.name if file else search.name))
        self.started = search
        name = file.stem if file else search.name
        taken = len(list(self.root.glob(f"{name}-*")))
        return self.study(f"{name}-{taken + 1}", (), alive=True)

    def _draw(self, search: Search, count: int) -> list[dict[str, Any]]:
        from tuner_tui.launch import first_trials

        return first_trials(search, count)

    def _find_lr(self, text: str) -> StudyFolder:
        if self.problem:
            raise RuntimeError(self.problem)
        self.launched.append(f"finder of {text}")
        return self.study(f"{Path(text).stem}-lr-1", studies.finder_events(), alive=True)

    def _resume(self, source: Source) -> None:
        if self.problem:
            raise RuntimeError(self.problem)
        self.resumed.append(source.name)
        assert isinstance(source, JournalSource)
        self.engine_starts(source.folder)

    def close(self) -> None:
        for lock in self._locks.values():
            lock.release()


def journal_of(snapshot: Snapshot) -> list[Event]:
    """A journal that folds into that snapshot: some studies are only handed out folded."""
    events: list[Event] = [
        StudyOpened(
            at=snapshot.opened_at or START, study=snapshot.study,
            search=replace(snapshot.search, trials=snapshot.planned), pid=1,
        )
    ]  # fmt: skip
    for trial in snapshot.trials.values():
        at = trial.started_at
        events.append(TrialStarted(at, trial.number, trial.params, trial.seed))
        for i, (step, loss) in enumerate(trial.curve, 1):
            events.append(TrialMeasured(at + i, trial.number, step, {snapshot.objective: loss}))
        if trial.outcome is not None:
            events.append(
                TrialEnded(trial.ended_at or at, trial.number, trial.outcome, trial.reason, trial.message)
            )
    return events


async def until(pilot, holds: Callable[[], object]) -> None:
    """Wait for what a timer brings: its own time on a quiet machine, seconds on a busy one."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        await pilot.pause(0.05)
        try:
            if holds():
                return
        except (NoMatches, IndexError):  # another screen still
            pass
        assert time.monotonic() < deadline, "it never came to hold"


async def settle(pilot) -> None:
    """Until everything on disk is on the screen and every panel in view is drawn."""
    deadline = time.monotonic() + PATIENCE_S
    await pilot.pause()
    while not getattr(pilot.app.screen, "settled", True):
        assert time.monotonic() < deadline, "the screen never settled"
        await pilot.pause(0.01)
        await pilot.pause()
    await pilot.pause()
