"""Where a study is stored on disk, and whether an engine is running it.

    mlruns/
      mlflow.db, artifacts/          the published copy
      <study>/
        search.toml                  what was asked, as it was read
        journal.jsonl                what happened
        requests.jsonl               what viewers ask of the engine
        lock                         held by the engine while it lives
        fold.json                    the fold of a long journal, so that it opens at once
        engine.log, publisher.json   the engine's output; the publisher's position
        trials/<number>/log.txt      standard output and error of a trial
        trials/<number>/traceback.txt
        trials/<number>/out/         files the trial left: its artifacts

The engine holds an OS lock on the folder, which the operating system releases when the engine ends. So whether an
engine runs is always known.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from .journal import JournalReader
from .snapshot import Snapshot, fold_all
from .state import State

_PROBE_S = 1.0  # a viewer's probe holds the lock for microseconds; an engine waits this long for it
_LOCK_BYTES = 512  # of the lock's file: the engine's pid and a sentence
_LONGEST_STEM = 100  # file systems take names of 255 bytes; a number and MLflow's own prefixes join it


class StudyBusy(Exception):
    """Another engine runs this study."""


@dataclass(frozen=True)
class StudyFolder:
    """The paths of one study, and whether an engine runs it."""

    path: Path

    @property
    def name(self) -> str:
        """The name of the study."""
        return self.path.name

    @property
    def journal(self) -> Path:
        """The journal of events."""
        return self.path / "journal.jsonl"

    @property
    def search_file(self) -> Path:
        """The search file as it was read."""
        return self.path / "search.toml"

    @property
    def requests(self) -> Path:
        """What viewers asked of the engine."""
        return self.path / "requests.jsonl"

    @property
    def lock_file(self) -> Path:
        """Locked by the engine while it lives."""
        return self.path / "lock"

    @property
    def engine_log(self) -> Path:
        """What a detached engine printed."""
        return self.path / "engine.log"

    @property
    def publisher_state(self) -> Path:
        """The publisher's notes."""
        return self.path / "publisher.json"

    def trial(self, number: int) -> Path:
        """The folder of one trial."""
        return self.path / "trials" / str(number)

    def log(self, number: int) -> Path:
        """Standard output and error of a trial."""
        return self.trial(number) / "log.txt"

    def traceback(self, number: int) -> Path:
        """The traceback of a trial that ended with an exception."""
        return self.trial(number) / "traceback.txt"

    def out(self, number: int) -> Path:
        """The files that a trial left: its artifacts."""
        return self.trial(number) / "out"

    def snapshot(self) -> Snapshot:
        """All that the journal says now. Reads the whole of it."""
        snapshot = Snapshot(study=self.name)
        for events in JournalReader(self.journal).batches():
            snapshot = fold_all(snapshot, events)
        return snapshot

    def engine_alive(self) -> bool:
        """Whether an engine holds the lock at this moment."""
        return is_locked(self.lock_file)

    def trouble(self) -> str:
        """What keeps a running engine from going on, such as a full disk; "" when nothing does."""
        try:
            text = self.lock_file.read_text(errors="replace") if self.engine_alive() else ""
        except OSError:
            return ""
        return text.partition("\n")[2].strip()

    def let_go(self, within: float) -> bool:
        """Whether the lock is free, or falls within so many seconds."""
        deadline = time.monotonic() + within
        while self.engine_alive():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        return True

    def state(self, snapshot: Snapshot) -> State:
        """How the study stands, given what its journal says."""
        if self.engine_alive():
            return State.RUNNING
        if snapshot.opened_at is None:
            return State.EMPTY
        counts = snapshot.counts
        if counts.running == 0 and counts.waiting == 0 and not snapshot.retriable:
            return State.DONE
        # An engine that let go in good order said so; one that was killed could not.
        return {"stopped": State.STOPPED, "failed": State.FAILED}.get(snapshot.closed_why, State.INTERRUPTED)


class StudyLock:
    """The engine's lock on a study. Released when the process ends; not inherited by child processes."""

    def __init__(self, folder: StudyFolder) -> None:
        """Raises StudyBusy when another engine holds it."""
        self._fd = os.open(folder.lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        deadline = time.monotonic() + _PROBE_S
        while True:
            try:
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    holder = os.pread(self._fd, 32, 0).decode(errors="replace").partition("\n")[0]
                    os.close(self._fd)
                    raise StudyBusy(
                        f"{folder.name}: an engine (process {holder or 'unknown'}) is running this study"
                    ) from None
                time.sleep(0.02)
        self.say("")

    def say(self, sentence: str) -> None:
        """Leave a sentence for viewers, beside this process's number. The file keeps its size from the beginning on,
        so a word about a full disk needs no room on it. Never raises."""
        words = f"{os.getpid()}\n{' '.join(sentence.split())}".encode()[:_LOCK_BYTES]
        try:
            os.pwrite(self._fd, words.ljust(_LOCK_BYTES), 0)
        except OSError:
            pass

    @property
    def held(self) -> bool:
        """Whether it has not been released."""
        return self._fd >= 0

    def release(self) -> None:
        """Let another engine have the study; a second call changes nothing."""
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


def delete_study(folder: StudyFolder) -> None:
    """Remove a study with its logs and artifacts. Raises StudyBusy while an engine or a publisher has it."""
    lock = StudyLock(folder)
    try:
        shutil.rmtree(folder.path)
    finally:
        lock.release()


def create_study(root: Path, name: str) -> StudyFolder:
    """A new folder `<name>-<k>` with the first free k. Safe when two start at once."""
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", name)[:_LONGEST_STEM].strip("-.") or "study"
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    taken = [int(m[1]) for p in root.iterdir() if (m := re.fullmatch(re.escape(stem) + r"-(\d+)", p.name))]
    k = max(taken, default=0) + 1
    while True:
        try:
            (root / f"{stem}-{k}").mkdir(mode=0o700)  # what it holds may be nobody else's business
            return StudyFolder(root / f"{stem}-{k}")
        except FileExistsError:
            k += 1
