"""Writing a file so that a reader finds the old one or the new one, never half of one."""

from __future__ import annotations

import os
from pathlib import Path


def write_whole(path: Path, data: bytes) -> None:
    """Replace `path` by a file of `data`. Raises OSError; what was there is then still there."""
    _replace(path, path.with_name(f".{path.name}.{os.getpid()}.tmp"), data, 0o666)


def write_alone(path: Path, data: bytes) -> None:
    """As `write_whole`, for a file of a study that only the holder of a lock writes, readable by its owner alone.
    What a writer that was killed has left beside it, the next one replaces."""
    _replace(path, path.with_name(f".{path.name}.tmp"), data, 0o600)


def _replace(path: Path, beside: Path, data: bytes, mode: int) -> None:
    try:
        fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
        with os.fdopen(fd, "wb") as file:
            file.write(data)
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
