"""The scatterplots as the bytes of a PNG or SVG file."""

from __future__ import annotations

import tempfile
from pathlib import Path

from ..study.snapshot import Snapshot
from .atomic import write_bytes


def write_picture(snapshot: Snapshot, path: Path) -> None:
    """Write the kind of picture that the suffix of `path` says. Raises ReportNotWritten."""
    write_bytes(path, picture_bytes(snapshot, path.suffix))


def picture_bytes(snapshot: Snapshot, suffix: str) -> bytes:
    """The picture as a file of that suffix, .png or .svg, would hold it."""
    from ..view.picture import save_picture

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"picture{suffix}"
        save_picture(snapshot, path)
        return path.read_bytes()
