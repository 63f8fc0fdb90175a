"""The studies that tuner ran itself: one folder each, with a journal of events."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..study import cached_fold
from ..study.events import TrialMeasured, decode
from ..study.folder import StudyFolder, list_studies
from ..study.journal import JournalReader
from ..study.publication import Publication, publication
from ..study.requests import Request, ask
from ..study.snapshot import Snapshot
from ..study.state import State
from .source import Batch, Extent, Source, Wanted

BITE_BYTES = 48_000  # about 400 events: 5 ms to decode and fold


def studies(place: str, wanted: Wanted) -> Sequence[Source]:
    """The studies under a folder such as `mlruns`, the one touched last first."""
    wanted.refuse(place)
    return [JournalSource(folder) for folder in list_studies(Path(place))]


class JournalSource(Source):
    """A study folder. Its desk is the file of requests that the engine reads."""

    def __init__(self, folder: StudyFolder) -> None:
        self.folder = folder
        self.files = folder
        self.desk = FolderDesk(folder)
        self._reader = JournalReader(folder.journal)  # kept for its count of damaged lines

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def address(self) -> str:
        return str(self.folder.path)

    def events(self, since: Any = None) -> Batch:
        """The events behind byte `since`, about BITE_BYTES of them; a torn last line is not there yet."""
        if since is None:
            self._reader = JournalReader(self.folder.journal)
            if kept := cached_fold.load(self.folder):
                return Batch((), kept[1], kept[1], kept[0])
        self._reader.offset = since or 0
        events = self._reader.read(BITE_BYTES)
        return Batch(events, self._reader.offset, self._reader.offset)

    def state(self, snapshot: Snapshot) -> State:
        return self.folder.state(snapshot)

    def extent(self) -> Extent:
        try:
            stat = self.folder.journal.stat()
        except OSError:
            return Extent(size=0, gone=not self.folder.path.is_dir())
        damaged = self._reader.damaged
        trouble = f"{damaged} damaged lines of the journal are passed over" if damaged else ""
        trouble = self.folder.trouble() or trouble
        return Extent(stat.st_size, stat.st_mtime, trouble=trouble)

    def measurements(self, trial: int) -> Sequence[TrialMeasured]:
        """Found by their bytes: only the lines of the trial are decoded."""
        kind, number = b'"trial_measured"', b'"trial":%d,' % trial
        found: list[TrialMeasured] = []
        try:
            with self.folder.journal.open("rb") as file:
                lines = [line for line in file if number in line and kind in line and line.endswith(b"\n")]
        except OSError:
            return found
        for line in lines:
            try:
                event = decode(line.decode(errors="replace"))
            except ValueError:
                continue
            if isinstance(event, TrialMeasured) and event.trial == trial:
                found.append(event)
        return found

    def publication(self) -> Publication | None:
        """From the publisher's own notes; None when none ever wrote one."""
        return publication(self.folder) if self.folder.publisher_state.exists() else None


class FolderDesk:
    """Requests in `requests.jsonl`, for the engine that holds the folder's lock."""

    def __init__(self, folder: StudyFolder) -> None:
        self._folder = folder

    def staffed(self) -> bool:
        return self._folder.engine_alive()

    def ask(self, request: Request) -> None:
        ask(self._folder.requests, request)
