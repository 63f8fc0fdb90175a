"""An output stream that tolerates closed pipes and encodings other than UTF-8.

A problem with the output must not affect the sweep: a closed pipe, a lost SSH connection or a full disk behind
standard output ends the printing and nothing else.
"""

from __future__ import annotations

import os
from functools import cache
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.style import Style


# What a stream that can't say ● gets in its place.
_ASCII = str.maketrans({
    "●": "o", "▲": "^", "│": "|", "○": ".", "–": "-", "—": "-", "…": "~", "·": ".", "━": "=", "─": "-", "★": "*",
})  # fmt: skip


class Output:
    """Writes text until the reader has gone; `gone` says whether it has."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.gone = False
        try:
            "●▲│○–…━─".encode(stream.encoding or "utf-8")
            self._plain = ""
        except (UnicodeEncodeError, LookupError, AttributeError):
            self._plain = getattr(stream, "encoding", None) or "ascii"

    def write(self, text: str) -> None:
        """Write and flush. Never raises."""
        if self.gone:
            return
        if self._plain:
            text = text.translate(_ASCII).encode(self._plain, "replace").decode(self._plain)
        try:
            self._stream.write(text)
            self._stream.flush()
        except BlockingIOError:
            pass  # a full pipe that somebody made non-blocking: these words are lost, the next may not be
        except (OSError, ValueError):  # ValueError: the stream was closed on our side
            self.gone = True
            self._silence()

    def _silence(self) -> None:
        # What is left in the stream's buffer would be flushed at exit, fail again, and turn our exit code
        # into 120.
        try:
            void = os.open(os.devnull, os.O_WRONLY)
            os.dup2(void, self._stream.fileno())
            os.close(void)
        except (OSError, ValueError, AttributeError):
            pass

    def columns(self) -> int:
        """The terminal's width; 80 where there is none."""
        try:
            return os.get_terminal_size(self._stream.fileno()).columns or 80
        except (OSError, ValueError, AttributeError):
            return 80


def is_terminal(stream: TextIO) -> bool:
    """Whether a line on this stream can be drawn again in place."""
    try:
        return stream.isatty() and os.environ.get("TERM") != "dumb"
    except (ValueError, AttributeError):
        return False


def wants_color(stream: TextIO) -> bool:
    """A terminal, unless NO_COLOR says otherwise (https://no-color.org)."""
    return is_terminal(stream) and not os.environ.get("NO_COLOR")


def paint(text: str, style: str, color: bool) -> str:
    """`text` in a rich style ("bold", "#3f8fe8"), in as many colours as the terminal says it has."""
    if not color or not text:
        return text
    from rich.color import ColorSystem

    many = os.environ.get("COLORTERM", "").lower() in ("truecolor", "24bit")
    system = ColorSystem.TRUECOLOR if many else ColorSystem.EIGHT_BIT
    return _style(style).render(text, color_system=system)


@cache
def _style(style: str) -> Style:
    from rich.style import Style

    return Style.parse(style)
