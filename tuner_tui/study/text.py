"""Text from other people's code, made safe for a terminal: messages, names, values, logs."""

from __future__ import annotations

import os
import re
from pathlib import Path

MESSAGE_CHARS = 160  # of a message in a list: two lines of a terminal; the whole of it is in the log
_TAIL_BYTES = 65536  # of a file: more lines than anybody scrolls through


def printable(text: str) -> str:
    """`text` without what could move a terminal's cursor or change its colours."""
    if text.isprintable():  # nearly always, and a study asks for thousands of messages
        return text
    without_escapes = re.sub(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b[@-_]", "", text)
    return "".join(c if c.isprintable() else " " if c == "\t" else "·" for c in without_escapes)


def one_line(text: str, limit: int = MESSAGE_CHARS) -> str:
    """`text` on one line, safe for a terminal, at most `limit` characters."""
    text = printable(" ".join(text.split()))
    return text if len(text) <= limit else text[: limit - 1] + "…"


def last_lines(path: Path, amount: int) -> list[str]:
    """The last lines of a file, safe for a terminal; [] when there is none; why, when it can't be read."""
    try:
        with path.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - _TAIL_BYTES))
            text = file.read().decode("utf-8", errors="replace")
    except FileNotFoundError:
        return []
    except OSError as error:
        return [f"{path}: this file could not be read ({error.strerror})"]
    return [printable(line) for line in text.splitlines()[-amount:]]
