"""A JUnit file, which CI services show as a list of tests."""

from __future__ import annotations

from pathlib import Path

from ...sources.source import Files
from ...study.snapshot import Snapshot
from ..junit import write_junit


def write(snapshot: Snapshot, path: Path, files: Files | None) -> None:
    """Raises ReportNotWritten."""
    write_junit(snapshot, path, files)
