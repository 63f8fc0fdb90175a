"""Names and labels cut to a number of cells, safe for a terminal.

Hyperparameter names and options come from files and journals: they may hold escape codes, tabs, or letters
two cells wide. A cell grid holds one character per cell, so a wide letter is followed by FILLER, which is left
out when the cells are joined.
"""

from __future__ import annotations

from functools import lru_cache

FILLER = "\0"
CUT = "…"


@lru_cache(maxsize=4096)
def clean(text: str) -> str:
    """One character for every cell: wide letters with FILLER behind them, unprintable ones as "?"."""
    from wcwidth import wcwidth  # late: 30 ms of tables, needed only for text that is not plain

    if text.isascii() and text.isprintable():
        return text
    cells: list[str] = []
    for letter in text:
        width = wcwidth(letter) if letter.isprintable() else -1
        if width == 1:
            cells.append(letter)
        elif width == 2 and not _joins(letter):
            cells += (letter, FILLER)
        elif width != 0:
            cells.append("?")
    return "".join(cells)


def _joins(letter: str) -> bool:
    """Flags and skin tones take other widths beside each other than alone."""
    return 0x1F1E6 <= ord(letter) <= 0x1F1FF or 0x1F3FB <= ord(letter) <= 0x1F3FF


def cut(cells: str, width: int) -> str:
    """Cells of `clean`, at most `width` of them."""
    if len(cells) <= width:
        return cells
    if width <= 0:
        return ""
    kept = cells[: width - 1]
    if cells[width - 1] == FILLER:  # never half a wide letter
        kept = kept[:-1] + " "
    return kept + CUT


def fit(text: str, width: int) -> str:
    """Text exactly `width` cells wide, as it is printed."""
    return cut(clean(text), width).ljust(width).replace(FILLER, "")


def shorten(labels: list[str], width: int) -> list[str]:
    """Labels of at most `width` cells that still differ where they can.

    `straight_dilated` beside `straight` becomes `…dilated`: what options share is dropped before what tells
    them apart.
    """
    cells = [clean(label) for label in labels]
    if all(len(label) <= width for label in cells):
        return cells
    return [label if len(label) <= width else _without_shared(label, cells, width) for label in cells]


def _without_shared(label: str, others: list[str], width: int) -> str:
    shared = max((_shared_words(label, other) for other in others if other != label), default=0)
    rest = CUT + label[shared:] if shared else label
    return cut(rest, width)


def _shared_words(label: str, other: str) -> int:
    """The length of the start that two labels share, up to the end of a word."""
    if label.startswith(other) and label[len(other) : len(other) + 1] in tuple("_-./ "):
        return len(other) + 1
    same = 0
    for a, b in zip(label, other, strict=False):
        if a != b:
            break
        same += 1
    return max((i + 1 for i in range(same) if label[i] in "_-./ "), default=0)
