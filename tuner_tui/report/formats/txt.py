"""What a headless sweep prints at its end."""

from __future__ import annotations

from pathlib import Path

from ...sources.source import Files
from ...study.snapshot import Snapshot
from ..atomic import write_text
from ..text import COLUMNS, summary


def write(snapshot: Snapshot, path: Path, files: Files | None) -> None:
    """Raises ReportNotWritten."""
    write_text(path, summary(snapshot, width=COLUMNS, color=False, files=files))
