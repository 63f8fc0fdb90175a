"""A JUnit file, which CI services show as a list of tests."""

from __future__ import annotations

from pathlib import Path

from ...study.folder import StudyFolder
from ...study.snapshot import Snapshot
from ..junit import write_junit


def write(snapshot: Snapshot, path: Path, files: StudyFolder | None) -> None:
    """Raises ReportNotWritten."""
    write_junit(snapshot, path, files)
