"""A trial's log within its limit: its first half, its end, and between them a line that says how much is missing.

The file is shortened in place, so that processes which have it open for appending write on behind what is kept. They
neither wait nor take part.
"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

_COPY_BYTES = 1 << 20
# The number has a fixed width: the line is written when all else has its place.
_MARK = "\n[tuner: {:>18} bytes of output are left out here; limits.log_mb in the search file is the limit]\n"
_MARK_BYTES = len(_MARK.format(0))
_MARKED = re.compile(re.escape(_MARK).replace(re.escape("{:>18}"), r" *(\d+)").encode())


def shorten(path: Path, limit: int) -> None:
    """Take out of a log's middle what is more than `limit` bytes. Half of `limit` is kept of its beginning and at
    least a quarter of its end, so that a file which grows on is not copied again at once.

    What is written in the microseconds between the last look and the cut is lost without being counted. What is no
    file, or can't be written, stays as it is.
    """
    try:
        if path.lstat().st_size <= limit:  # nearly always
            return
        fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if stat.S_ISREG(os.fstat(fd).st_mode):
            _shorten(fd, limit)
    except OSError:
        pass  # no room, or no such disk any more: the engine meets that at its journal, and says so
    finally:
        os.close(fd)


def _shorten(fd: int, limit: int) -> None:
    head = limit // 2
    before = _left_out(fd, head)
    first = head if before is None else head + _MARK_BYTES  # what is output behind the beginning
    at = os.fstat(fd).st_size - limit // 4
    to = head + _MARK_BYTES
    left_out = (before or 0) + at - first
    # Until it has caught up with those who write, or there is no more room for what they write.
    while to < limit and (data := os.pread(fd, min(_COPY_BYTES, limit - to), at)):
        at, to = at + len(data), to + os.pwrite(fd, data, to)
    left_out += os.fstat(fd).st_size - at
    os.pwrite(fd, _MARK.format(left_out).encode(), head)
    os.ftruncate(fd, to)


def left_out(path: Path, limit: int) -> int:
    """How many bytes of output a log of this limit lacks."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return 0
    try:
        return _left_out(fd, limit // 2) or 0
    except OSError:
        return 0
    finally:
        os.close(fd)


def _left_out(fd: int, head: int) -> int | None:
    """The number in the line behind the beginning; None where there is no such line."""
    found = _MARKED.fullmatch(os.pread(fd, _MARK_BYTES, head))
    return None if found is None else int(found[1])
