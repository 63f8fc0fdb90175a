"""The scatterplots as a drawing that scales."""

from __future__ import annotations

from pathlib import Path

from ...sources.source import Files
from ...study.snapshot import Snapshot
from ..picture import write_picture


def write(snapshot: Snapshot, path: Path, files: Files | None) -> None:
    """Raises ReportNotWritten."""
    write_picture(snapshot, path)
