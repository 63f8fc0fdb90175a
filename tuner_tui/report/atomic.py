"""Writing a report so that a reader never sees half of it.

A CI job or a colleague's script may pick the file up at any moment: it is written beside its place and
renamed into it. What is not a plain file (/dev/stdout, a named pipe) is written to directly; renaming over
it would replace the device.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from ..study.whole_file import write_whole


class ReportNotWritten(OSError):
    """A report could not be written; its text is a sentence that names the path."""


def write_text(path: Path | str, text: str) -> None:
    """Write `text` (UTF-8) to `path`, all or nothing; folders above it are made.

    Raises ReportNotWritten.
    """
    # A lone surrogate (a file name of undecodable bytes, say) has no UTF-8; it must not cost the report.
    write_bytes(path, text.encode("utf-8", "replace"))


def write_bytes(path: Path | str, data: bytes) -> None:
    """As `write_text`."""
    path = Path(path)
    try:
        if _is_special(path):
            path.write_bytes(data)
            return
        place = Path(os.path.realpath(path))  # a link stays a link
        place.parent.mkdir(parents=True, exist_ok=True)
        if place.is_dir():
            raise IsADirectoryError(0, "it is a folder")
        write_whole(place, data)
    except OSError as error:
        raise ReportNotWritten(f"{path}: this report could not be written ({error.strerror})") from error


def _is_special(path: Path) -> bool:
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)
