"""The report other programs read; `machine.py` promises its shape."""

from __future__ import annotations

from pathlib import Path

from ...sources.source import Files
from ...study.snapshot import Snapshot
from ..machine import write_json


def write(snapshot: Snapshot, path: Path, files: Files | None) -> None:
    """Raises ReportNotWritten."""
    write_json(snapshot, path)
