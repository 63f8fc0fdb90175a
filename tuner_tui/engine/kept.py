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


class Pause:
    """Why a sweep does not go on at the moment: told to viewers by the lock's file, which needs no room, and to
    `note`, which hears of the beginning and the end."""

    def __init__(self, lock: StudyLock, note: Callable[[str], None]) -> None:
        self._lock = lock
        self._note = note
        self._reasons: dict[str, str] = {}

    def because(self, what: str, why: str) -> None:
        """`what` can't go on because of `why`; "" when it can again."""
        before = self._told()
        self._reasons[what] = why
        if (now := self._told()) == before:
            return
        self._lock.say(now and f"paused: {now}")
        self._note(f"paused: {now}; it goes on when that is over" if now else "going on")

    def _told(self) -> str:
        return next(filter(None, self._reasons.values()), "")


class KeptJournal:
    """Appends events through `writer`; `pause` hears when that stops and starts working."""

    def __init__(self, writer: JournalWriter, pause: Pause) -> None:
        self._writer = writer
        self._pause = pause
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
            self.trouble = str(error)
            self._pause.because("journal", self.trouble)
            return
        self._pending = []
        self.trouble = ""
        self._pause.because("journal", "")

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
        finally:
            self._pending = []  # it is said once
        return f"{what}; they are in {rescue.name}: once there is room, append it to {self._writer.path}"

    @property
    def path(self) -> Path:
        """Of the journal."""
        return self._writer.path
