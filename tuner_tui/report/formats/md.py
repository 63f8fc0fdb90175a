"""Markdown, for a pull request or a CI job's summary."""

from __future__ import annotations

from pathlib import Path

from ...study.folder import StudyFolder
from ...study.snapshot import Snapshot
from ..markdown import write_markdown


def write(snapshot: Snapshot, path: Path, files: StudyFolder | None) -> None:
    """Raises ReportNotWritten."""
    write_markdown(snapshot, path)
