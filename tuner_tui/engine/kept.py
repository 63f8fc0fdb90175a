"""A journal that never loses an event: what can't be written now is kept in memory and written later.

A disk that is full, a quota, a file system that became read-only: the engine starts no more trials while `trouble` is
set, and goes on when there is room. A study whose folder is removed or moved under a running engine can't go on; its
journal is written again where it was, so that what was measured is not lost with it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from ..study.events import Event, TrialEnded, encode
from ..study.folder import StudyLock
from ..study.journal import JournalMoved, JournalNotWritten, JournalWriter


class KeptJournal:
    """Appends events through `writer`; `note` hears when that stops and starts working, and the lock's file, which
    needs no room, says so to viewers."""

    def __init__(self, writer: JournalWriter, lock: StudyLock, note: Callable[[str], None]) -> None:
        self._writer = writer
        self._lock = lock
        self._note = note
        self._pending: list[Event] = []
        self.trouble = ""  # why events wait in memory; "" while they are on disk
        self.lost = ""  # why the study can't go on at all

    def append(self, events: Iterable[Event]) -> None:
        """Write the events, or keep them until they can be written. Never raises."""
        self._pending += events
        self.flush()

    def flush(self) -> None:
        """Try again what waits."""
        if not self._pending:
            return
        try:
            try:
                self._writer.append(self._pending)
            except JournalMoved as moved:
                self.lost = self.lost or str(moved)
                self._writer.restore()
                self._writer.append(self._pending)
        except JournalNotWritten as error:
            if not self.trouble:
                self.trouble = str(error)
                self._lock.say(f"paused: {error}")
                self._note(f"paused: {error}; it goes on when it can be written")
            return
        self._pending = []
        if self.trouble:
            self.trouble = ""
            self._lock.say("")
            self._note("the journal is written again; going on")

    def close(self) -> str:
        """Close the file. Returns what is not on disk, as a sentence for a person; "" when everything is."""
        self.flush()
        self._writer.close()
        if not self._pending:
            return ""
        lines = "".join(encode(event) + "\n" for event in self._pending)
        ends = sum(isinstance(event, TrialEnded) for event in self._pending)
        what = f"{len(self._pending)} events ({ends} ends of trials) are not in the journal: {self.trouble}"
        try:
            with tempfile.NamedTemporaryFile("w", prefix="tuner-", suffix=".jsonl", delete=False) as rescue:
                rescue.write(lines)
        except OSError:
            return f"{what}; they are:\n{lines}"
        return f"{what}; they are in {rescue.name}: once there is room, append it to {self._writer.path}"

    @property
    def path(self) -> Path:
        """Of the journal."""
        return self._writer.path
