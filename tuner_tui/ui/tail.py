"""Following one study: its journal read in bites, folded into the newest snapshot.

Reading happens on the screen's own thread in slices of a few milliseconds, so a journal of a million events
delays neither the first paint nor a key. There is one snapshot, the newest: an older one never waits in line.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass

from ..study.folder import StudyFolder
from ..study.journal import JournalReader
from ..study.snapshot import Snapshot, fold_all
from ..study.state import State

BITE_BYTES = 48_000  # about 400 events: 5 ms to decode and fold
SLICE_S = 0.012  # reading time before the screen may draw and take keys again


@dataclass(frozen=True)
class Publishing:
    """What MLflow's copy lacks, from the publisher's own note; `error` is "" while the store answers."""

    behind_bytes: int = 0
    error: str = ""


class StudyTail:
    def __init__(self, folder: StudyFolder) -> None:
        self.folder = folder
        self.snapshot = Snapshot(study=folder.name)
        self.size = 0  # of the journal when last looked at, bytes
        self.touched = 0.0  # when it last grew, seconds since the epoch
        self.caught_up = True  # all that was whole on disk at the last look is in the snapshot
        self.gone = False  # the folder was deleted under us; the last snapshot stays to be looked at
        self._reader = JournalReader(folder.journal)

    def glance(self) -> None:
        """See how much there is to read, without reading."""
        try:
            stat = self.folder.journal.stat()
        except OSError:
            self.size, self.gone = 0, not self.folder.path.is_dir()
            return
        self.gone = False
        if stat.st_size != self.size:
            self.caught_up = False
        self.size, self.touched = stat.st_size, stat.st_mtime

    def advance(self, slice_s: float = SLICE_S) -> bool:
        """Read on for at most about `slice_s` seconds; return whether the snapshot is a new one."""
        self.glance()
        if self.gone or self.caught_up:
            return False
        if self.size < self._reader.offset:  # another study under the old name
            self._reader = JournalReader(self.folder.journal)
            self.snapshot = Snapshot(study=self.folder.name)
        before = self.snapshot.version
        deadline = time.monotonic() + slice_s
        while True:
            events = self._reader.read(BITE_BYTES)
            if not events:  # nothing whole is left: a torn last line is "not yet"
                self.caught_up = True
                break
            self.snapshot = fold_all(self.snapshot, events)
            if time.monotonic() > deadline:
                self.caught_up = self._reader.offset >= self.size
                break
        return self.snapshot.version != before

    @property
    def share_read(self) -> float:
        """How much of the journal is in the snapshot, 0 to 1."""
        return self._reader.offset / self.size if self.size else 1.0

    def state(self) -> State:
        return self.folder.state(self.snapshot)

    def publishing(self) -> Publishing | None:
        """How MLflow's copy stands; None when no publisher ever wrote of it."""
        try:
            note = json.loads(self.folder.publisher_state.read_text())
            return Publishing(max(0, self.size - int(note.get("offset", 0))), str(note.get("error") or ""))
        except (OSError, ValueError, TypeError, AttributeError):
            return None
