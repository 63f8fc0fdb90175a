"""Reports by suffix: each module here is named after the suffix of the files it writes.

To add a format: one file with a function `write(snapshot, path, files)`. `files` is the study's folder, for
logs, or None. A writer raises ReportNotWritten when the file can't be written.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from ...sources.source import Files
from ...study.snapshot import Snapshot

Writer = Callable[[Snapshot, Path, Files | None], None]


def suffixes() -> tuple[str, ...]:
    """`.csv`, `.html`, ...: what `writer_for` knows."""
    return tuple(sorted(f".{module.name}" for module in pkgutil.iter_modules(__path__)))


def writer_for(suffix: str) -> Writer:
    """The writer for files of this suffix. Raises ValueError with a sentence that names those there are."""
    if suffix.lower() not in suffixes():
        raise ValueError(f"no report has this suffix; use {', '.join(suffixes())}")
    return import_module(suffix.lower(), __name__).write
