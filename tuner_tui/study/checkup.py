"""What is wrong with a journal, line by line, and what each damaged line costs; and a repair that keeps a copy."""

from __future__ import annotations

import re
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from .events import Event, decode
from .folder import StudyFolder, StudyLock
from .snapshot import Snapshot, fold_all
from .whole_file import write_alone

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
    kept: bytes  # the journal without its damaged lines and its torn end

    @property
    def healthy(self) -> bool:
        """Whether nothing has to be repaired."""
        return not self.damages and not self.torn


def checkup(folder: StudyFolder) -> Checkup:
    """Look at every line of a study's journal. Raises OSError when it can't be read."""
    data = folder.journal.read_bytes()
    end = data.rfind(b"\n") + 1
    damages: list[Damage] = []
    events: list[Event] = []
    kept: list[bytes] = []
    lines = data[:end].splitlines(keepends=True)
    for number, line in enumerate(lines, start=1):
        try:
            event = decode(line.decode()) if line.strip() else None
        except ValueError as error:
            damages.append(Damage(number, _why(line, error), _cost(line)))
            continue
        kept.append(line)
        if event is not None:
            events.append(event)
    snapshot = fold_all(Snapshot(study=folder.name), events)
    return Checkup(len(lines), tuple(damages), len(data) - end, snapshot, b"".join(kept))


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
        write_alone(folder.journal, found.kept)
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
