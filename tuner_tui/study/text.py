"""Text from other people's code, made safe for a terminal: messages, names, values, logs."""

from __future__ import annotations

import re

MESSAGE_CHARS = 160  # of a message in a list: two lines of a terminal; the whole of it is in the log


def printable(text: str) -> str:
    """`text` without what could move a terminal's cursor or change its colours."""
    without_escapes = re.sub(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b[@-_]", "", text)
    return "".join(c if c.isprintable() else " " if c == "\t" else "·" for c in without_escapes)


def one_line(text: str, limit: int = MESSAGE_CHARS) -> str:
    """`text` on one line, safe for a terminal, at most `limit` characters."""
    text = printable(" ".join(text.split()))
    return text if len(text) <= limit else text[: limit - 1] + "…"
