"""The scatterplots as a PNG or SVG file, written so that a reader never sees half of it."""

from __future__ import annotations

import os
from pathlib import Path

from ..study.snapshot import Snapshot
from .atomic import ReportNotWritten


def write_picture(snapshot: Snapshot, path: Path) -> None:
    """Raises ReportNotWritten."""
    from ..view.picture import save_picture

    # Drawn outside a summary folder that is published, under a name whose ending still says which format.
    beside = path.absolute().parent.parent / f".{os.getpid()}-{path.name}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_picture(snapshot, beside)
        beside.replace(path)
    except OSError as error:
        raise ReportNotWritten(f"{path}: this report could not be written ({error.strerror})") from error
    finally:
        beside.unlink(missing_ok=True)
