"""What has to be painted again: the part of a line that differs. Over a slow connection every cell counts."""

from __future__ import annotations

from rich.cells import cell_len
from rich.style import Style
from textual.strip import Strip


def changed(old: Strip | None, new: Strip) -> tuple[int, int] | None:
    """The first differing cell of a line and the one behind the last; None where both are the same."""
    if old is None or old.cell_length != new.cell_length:
        return 0, new.cell_length
    if old == new:
        return None
    before, after = _cells(old), _cells(new)
    differing = [i for i, (a, b) in enumerate(zip(before, after, strict=True)) if a != b]
    return (differing[0], differing[-1] + 1) if differing else None


def _cells(strip: Strip) -> list[tuple[str, Style | None]]:
    """Character and style of each cell; a character two cells wide stands in both."""
    return [
        (letter, segment.style)
        for segment in strip
        for letter in segment.text
        for _ in range(cell_len(letter))
    ]
