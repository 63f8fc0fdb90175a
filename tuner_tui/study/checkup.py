"""What is wrong with a journal, line by line, and what each damaged line costs; and a repair that keeps a copy."""

from __future__ import annotations

import re
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from .events import Event, decode
from .folder import StudyFolder, StudyLock
from .journal import FOLD_EVENTS
from .snapshot import Snapshot, fold_all
from .whole_file import writing_alone

_KIND = re.compile(rb'"event"\s*:\s*"(\w+)"')
_TRIAL = re.compile(rb'"trial"\s*:\s*(\d+)')
_COSTS = {
    b"study_asked": "the question of the study, unless a later line repeats it",
    b"study_opened": "the question of the study, unless a later line repeats it",
    b"study_changed": "a change of the running study",
    b"study_closed": "how the study was closed",
    b"trial_started": "trial {}: its parameters, and with them all that it measured",
    b"trial_measured": "a measurement of trial {}",
    b"trial_ended": "how trial {} ended; it counts as running, and a resume ends it as interrupted",
}


@dataclass(frozen=True)
class Damage:
    """One line that is passed over."""

    line: int  # from 1
    why: str
    cost: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.why}; it cost {self.cost}"


@dataclass(frozen=True)
class Checkup:
    """What was found in a journal."""

    lines: int
    damages: tuple[Damage, ...]
    torn: int  # bytes behind the last line end
    snapshot: Snapshot

    @property
    def healthy(self) -> bool:
        """Whether nothing has to be repaired."""
        return not self.damages and not self.torn


def checkup(folder: StudyFolder, kept: BinaryIO | None = None) -> Checkup:
    """Look at every line of a study's journal; write those that are not damaged to `kept`. Raises OSError when it
    can't be read."""
    damages: list[Damage] = []
    events: list[Event] = []
    snapshot = Snapshot(study=folder.name)
    number = torn = 0
    with folder.journal.open("rb") as journal:
        for line in journal:
            if not line.endswith(b"\n"):
                torn = len(line)
                break
            number += 1
            try:
                event = decode(line.decode()) if line.strip() else None
            except ValueError as error:
                damages.append(Damage(number, _why(line, error), _cost(line)))
                continue
            if kept is not None:
                kept.write(line)
            if event is not None:
                events.append(event)
            if len(events) == FOLD_EVENTS:
                snapshot, events = fold_all(snapshot, events), []
    return Checkup(number, tuple(damages), torn, fold_all(snapshot, events))


def repair(folder: StudyFolder) -> tuple[Checkup, Path | None]:
    """Take damaged lines out of the journal; what was found, and where the journal as it was is kept (None: nothing
    had to be done). Raises StudyBusy while an engine runs the study, OSError when the copy can't be made."""
    lock = StudyLock(folder)
    try:
        found = checkup(folder)
        if found.healthy:
            return found, None
        copy = folder.path / f"journal.{time.strftime('%Y%m%d-%H%M%S')}.bak"
        shutil.copy2(folder.journal, copy)
        with writing_alone(folder.journal) as kept:
            checkup(folder, kept)
        return found, copy
    finally:
        lock.release()


def _why(line: bytes, error: ValueError) -> str:
    if b"\0" in line:
        return "it holds NUL bytes (a crash of the machine, or a bad disk)"
    if "checksum" in str(error):
        return "its checksum is another (a bad disk, or a hand edit: take the key crc out of a line edited by hand)"
    return "it is no event"


def _cost(line: bytes) -> str:
    kind, trial = _KIND.search(line), _TRIAL.search(line)
    cost = _COSTS.get(kind[1] if kind else b"", "nothing that can be told")
    return cost.format(trial[1].decode() if trial else "?")
