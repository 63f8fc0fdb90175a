"""Markdown, for a pull request or a CI job's summary."""

from __future__ import annotations

from pathlib import Path

from ...sources.source import Files
from ...study.snapshot import Snapshot
from ..markdown import write_markdown


def write(snapshot: Snapshot, path: Path, files: Files | None) -> None:
    """Raises ReportNotWritten."""
    write_markdown(snapshot, path)
