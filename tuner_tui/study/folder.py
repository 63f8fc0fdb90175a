"""Where a study is stored on disk, and whether an engine is running it.

    mlruns/
      mlflow.db, artifacts/          the published copy
      <study>/
        search.toml                  what was asked, as it was read
        journal.jsonl                what happened
        requests.jsonl               what viewers ask of the engine
        lock                         held by the engine while it lives
        engine.log, publisher.json   the engine's output; the publisher's position
        trials/<number>/log.txt      standard output and error of a trial
        trials/<number>/traceback.txt
        trials/<number>/out/         files the trial left: its artifacts

A running engine holds an OS lock, which the kernel releases when the engine exits or is killed.
"""

from __future__ import annotations

import fcntl
import os
import re
import time
from dataclasses import dataclass
from pathlib import Path

from .journal import JournalReader
from .snapshot import Snapshot, fold_all
from .state import State
from .text import printable

_PROBE_S = 1.0  # a viewer's probe holds the lock for microseconds; an engine waits this long for it
_TAIL_BYTES = 65536
_LONGEST_STEM = 100  # file systems take names of 255 bytes; a number and MLflow's own prefixes join it


class StudyBusy(Exception):
    """Another engine runs this study."""


@dataclass(frozen=True)
class StudyFolder:
    """The paths inside the folder of one study, and what can be read from them."""

    path: Path

    @property
    def name(self) -> str:
        """The study's name, which is the folder's name."""
        return self.path.name

    @property
    def journal(self) -> Path:
        """The event log, journal.jsonl."""
        return self.path / "journal.jsonl"

    @property
    def search_file(self) -> Path:
        """The copy of the search file."""
        return self.path / "search.toml"

    @property
    def requests(self) -> Path:
        """The file in which viewers put requests for the engine."""
        return self.path / "requests.jsonl"

    @property
    def lock_file(self) -> Path:
        """The file on which a running engine holds a lock."""
        return self.path / "lock"

    @property
    def engine_log(self) -> Path:
        """The output of a detached engine."""
        return self.path / "engine.log"

    @property
    def publisher_state(self) -> Path:
        """The file that says how much of the journal has been published to MLflow."""
        return self.path / "publisher.json"

    def trial(self, number: int) -> Path:
        """The folder of trial `number`."""
        return self.path / "trials" / str(number)

    def log(self, number: int) -> Path:
        """The trial's standard output and standard error."""
        return self.trial(number) / "log.txt"

    def traceback(self, number: int) -> Path:
        """The traceback of the trial's exception; the file is missing if there was none."""
        return self.trial(number) / "traceback.txt"

    def out(self, number: int) -> Path:
        """The folder that the trial gets as `out`; its files become the trial's artifacts."""
        return self.trial(number) / "out"

    def log_tail(self, number: int, lines: int = 20) -> list[str]:
        """The last lines a trial printed, safe for a terminal: no control characters, no bad bytes."""
        try:
            with self.log(number).open("rb") as file:
                file.seek(0, os.SEEK_END)
                file.seek(max(0, file.tell() - _TAIL_BYTES))
                text = file.read().decode("utf-8", errors="replace")
        except FileNotFoundError:
            return []
        return [printable(line) for line in text.splitlines()[-lines:]]

    def snapshot(self) -> Snapshot:
        """Read the whole journal and fold it."""
        return fold_all(Snapshot(study=self.name), JournalReader(self.journal).read_all())

    def engine_alive(self) -> bool:
        """Whether an engine holds the lock at this moment."""
        return is_locked(self.lock_file)

    def let_go(self, within: float) -> bool:
        """Whether the lock is free, or falls within so many seconds."""
        deadline = time.monotonic() + within
        while self.engine_alive():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        return True

    def state(self, snapshot: Snapshot) -> State:
        """Whether the study runs, and otherwise how it ended. `snapshot` is of this folder's journal."""
        if self.engine_alive():
            return State.RUNNING
        if snapshot.opened_at is None:
            return State.EMPTY
        counts = snapshot.counts
        if counts.running == 0 and counts.waiting == 0:
            return State.DONE
        # An engine that let go in good order said so; one that was killed could not.
        return {"stopped": State.STOPPED, "failed": State.FAILED}.get(snapshot.closed_why, State.INTERRUPTED)


class StudyLock:
    """The engine's lock on a study. Released when the process ends; not inherited by child processes."""

    def __init__(self, folder: StudyFolder) -> None:
        """Raises StudyBusy when another engine holds it."""
        self._fd = os.open(folder.lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        deadline = time.monotonic() + _PROBE_S
        while True:
            try:
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    holder = os.pread(self._fd, 32, 0).decode(errors="replace").strip()
                    os.close(self._fd)
                    raise StudyBusy(
                        f"{folder.name}: an engine (process {holder or 'unknown'}) is running this study"
                    ) from None
                time.sleep(0.02)
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)

    @property
    def held(self) -> bool:
        """Whether this object holds the lock now."""
        return self._fd >= 0

    def release(self) -> None:
        """Give the lock up. Does nothing if it is not held."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def is_locked(path: Path) -> bool:
    """Whether a process holds the lock on this file; the look itself holds it for microseconds."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return False
    except BlockingIOError:
        return True
    finally:
        os.close(fd)


def list_studies(root: Path) -> list[StudyFolder]:
    """All studies under `root` (mlruns/), the one touched last first."""
    if not root.is_dir():
        return []
    found = [StudyFolder(path) for path in root.iterdir() if (path / "journal.jsonl").is_file()]
    return sorted(found, key=lambda folder: folder.journal.stat().st_mtime, reverse=True)


def create_study(root: Path, name: str) -> StudyFolder:
    """A new folder `<name>-<k>` with the first free k. Safe when two start at once."""
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", name)[:_LONGEST_STEM].strip("-.") or "study"
    root.mkdir(parents=True, exist_ok=True)
    taken = [int(m[1]) for p in root.iterdir() if (m := re.fullmatch(re.escape(stem) + r"-(\d+)", p.name))]
    k = max(taken, default=0) + 1
    while True:
        try:
            (root / f"{stem}-{k}").mkdir()
            return StudyFolder(root / f"{stem}-{k}")
        except FileExistsError:
            k += 1
