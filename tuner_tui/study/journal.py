"""The journal: an append-only file of events, one JSON line each. It is the source of truth of a study.

A line is complete once its line end is on disk. An engine can be killed in the middle of a write, so readers
ignore an incomplete last line, and the next writer removes it. The file is never rewritten otherwise.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from .events import FORMAT, Event, decode, encode
from .snapshot import Snapshot

# Lines survive the death of any process the moment they are written; the sync guards against a power cut,
# and once a second bounds what one can cost without making every trial wait for the disk.
SYNC_S = 1.0
# Folded at once when all of a journal is read: 50 MB of memory. Each fold copies the curves that it makes longer.
FOLD_EVENTS = 100_000
READ_BYTES = 1 << 20  # a viewer attaching to a long study reads in bites and can draw in between


class JournalNotWritten(OSError):
    """The disk is full or gone; str() says what to do."""


class JournalMoved(JournalNotWritten):
    """The file is no longer where it was: its folder was removed or moved; str() says which."""


class NewerFormat(Exception):
    """A newer version of tuner wrote the journal; str() says so."""


def check_writable(snapshot: Snapshot) -> None:
    """Raise NewerFormat when this version would write to a journal that it does not understand."""
    if snapshot.format > FORMAT:
        raise NewerFormat(
            f"{snapshot.study}: its journal has format {snapshot.format}, written by a newer version of tuner; "
            f"this one knows format {FORMAT} and can show the study, but not run it: install the newer version"
        )


class JournalWriter:
    """Appends events. Only the holder of the study's lock may have one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        self._size = _cut_torn_line(self._fd)
        self._synced_at = time.monotonic()
        self._unsynced = b""  # written since the last sync
        self._doubtful = False  # a sync failed: nobody knows what the disk has of it

    def append(self, events: Iterable[Event]) -> None:
        """Write all events or none. Raises JournalNotWritten with the file as it was before, JournalMoved when the
        file is not at its path any more."""
        data = "".join(encode(event) + "\n" for event in events).encode()
        if not data:
            return
        self._check_place()
        keep = self._size
        try:
            if self._doubtful:
                keep -= len(self._unsynced)
                os.ftruncate(self._fd, keep)
                self._write(self._unsynced)
                self._doubtful, keep = False, self._size
            self._write(data)
            self._unsynced += data
            if time.monotonic() - self._synced_at >= SYNC_S:
                self._sync()
        except OSError as error:
            self._unsynced = self._unsynced.removesuffix(data)
            try:
                os.ftruncate(self._fd, keep)
            except OSError:
                pass  # a torn last line: readers pass over it, and the next writer cuts it off
            raise _not_written(self.path, error) from error
        self._size += len(data)

    def _write(self, data: bytes) -> None:
        while data:
            data = data[os.write(self._fd, data) :]

    def _sync(self) -> None:
        """Some file systems look for room only now. Then all since the last sync is in doubt, and written again."""
        try:
            os.fdatasync(self._fd)
        except OSError:
            self._doubtful = True
            raise
        self._synced_at = time.monotonic()
        self._unsynced = b""

    def _check_place(self) -> None:
        """An engine that writes to a file nobody can open any more would report success and leave nothing."""
        ours = os.fstat(self._fd)
        try:
            there = self.path.stat()
        except (FileNotFoundError, NotADirectoryError):
            there = None
        except OSError as error:  # nobody knows: a file server that is away, a permission that was taken
            raise _not_written(self.path, error) from error
        if there is not None and (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino):
            return
        folder = self.path.parent
        if ours.st_nlink:
            try:
                now = f" to {self._link().readlink().parent}"
            except OSError:
                now = ""
            raise JournalMoved(f"{folder} was moved{now} while the study ran")
        raise JournalMoved(f"{folder} was removed while the study ran")

    def _link(self) -> Path:
        return Path(f"/proc/self/fd/{self._fd}")

    def restore(self) -> None:
        """After JournalMoved: go on in a new file at the old path if the file was removed, else in the file itself,
        wherever it is. Raises JournalNotWritten."""
        if os.fstat(self._fd).st_nlink:
            self.path = self._link().readlink()
            return
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
            at = 0
            while block := os.pread(self._fd, READ_BYTES, at):
                at += os.write(fd, block)
        except OSError as error:
            raise JournalNotWritten(f"{self.path} can't be written again: {error.strerror}") from error
        os.close(self._fd)
        self._fd = fd

    def close(self) -> None:
        """Sync the file to the disk and close it."""
        if self._fd >= 0:
            try:
                os.fdatasync(self._fd)
            except OSError:
                pass  # the disk is full or gone: what was written is as safe as it can be
            os.close(self._fd)
            self._fd = -1


class JournalReader:
    """Reads events from where it last stopped. `offset` is a whole number of lines and can be kept.

    `damaged` counts whole lines that are not events (a hand edit, a bad disk): passed over, never fatal.
    """

    def __init__(self, path: Path, offset: int = 0) -> None:
        self.path = path
        self.offset = offset
        self.damaged = 0

    def read(self, limit: int = READ_BYTES) -> list[Event]:
        """The next events, at most about `limit` bytes of them; empty when there is nothing new yet."""
        return [event for event, _ in self.read_with_offsets(limit)]

    def read_all(self) -> list[Event]:
        """All events behind the offset."""
        events: list[Event] = []
        while batch := self.read():
            events += batch
        return events

    def batches(self) -> Iterator[list[Event]]:
        """All events behind the offset, about FOLD_EVENTS at a time: a journal may be larger than the memory."""
        events: list[Event] = []
        while batch := self.read():
            events += batch
            if len(events) >= FOLD_EVENTS:
                yield events
                events = []
        if events:
            yield events

    def read_with_offsets(self, limit: int = READ_BYTES) -> list[tuple[Event, int]]:
        """As `read`, each event with the offset just behind it (what a publisher keeps)."""
        pairs: list[tuple[Event, int]] = []
        while not pairs:
            lines = self._lines(limit)
            if not lines:
                return []
            for line in lines:
                self.offset += len(line)
                if not line.strip():
                    continue
                try:
                    event = decode(line.decode())
                except ValueError:
                    self.damaged += 1
                    continue
                if event is not None:
                    pairs.append((event, self.offset))
        return pairs

    def _lines(self, limit: int) -> list[bytes]:
        try:
            with self.path.open("rb") as file:
                file.seek(self.offset)
                data = file.read(limit)
                end = data.rfind(b"\n") + 1
                while not end and len(data) >= limit:  # one line longer than the bite
                    more = file.read(limit)
                    data, limit = data + more, limit + len(more)
                    end = data.rfind(b"\n") + 1
                    if not more:
                        break
        except FileNotFoundError:
            return []
        return [
            line + b"\n" for line in data[:end].split(b"\n")[:-1]
        ]  # a \r would be no end of a line for others


def _not_written(path: Path, error: OSError) -> JournalNotWritten:
    return JournalNotWritten(
        f"{path} can't be written: {error.strerror}; make room, or see to its permissions"
    )


def _cut_torn_line(fd: int) -> int:
    """Drop what stands behind the last line end; return the size of what remains."""
    size = os.fstat(fd).st_size
    position, keep = size, 0
    while position > 0:
        start = max(0, position - 65536)
        block = os.pread(fd, position - start, start)
        if (found := block.rfind(b"\n")) >= 0:
            keep = start + found + 1
            break
        position = start
    if keep < size:
        os.ftruncate(fd, keep)
    return keep
