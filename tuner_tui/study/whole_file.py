"""Writing a file so that a reader finds the old one or the new one, never half of one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import BinaryIO


def write_whole(path: Path, data: bytes) -> None:
    """Replace `path` by a file of `data`. Raises OSError; what was there is then still there."""
    with _replacing(path, path.with_name(f".{path.name}.{os.getpid()}.tmp"), 0o666) as file:
        file.write(data)


def write_alone(path: Path, data: bytes) -> None:
    """As `write_whole`, for a file of a study that only the holder of a lock writes, readable by its owner alone.
    What a writer that was killed has left beside it, the next one replaces."""
    with writing_alone(path) as file:
        file.write(data)


def writing_alone(path: Path) -> AbstractContextManager[BinaryIO]:
    """As `write_alone`, for data that comes piece by piece: they replace the file when the context is left."""
    return _replacing(path, path.with_name(f".{path.name}.tmp"), 0o600)


@contextmanager
def _replacing(path: Path, beside: Path, mode: int) -> Iterator[BinaryIO]:
    try:
        fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
        with os.fdopen(fd, "wb") as file:
            yield file
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
