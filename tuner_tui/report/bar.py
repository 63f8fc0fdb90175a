"""The progress bar as one line of text that fits the terminal, whatever its width.

The bar itself shows how the trials ended, in the colours of the scatterplots; the counts beside it say the
same with shapes and numbers. When room is short the bar shrinks, then words go, the least needed first.
"""

from __future__ import annotations

from ..study.outcomes import Outcome
from ..study.snapshot import Counts
from ..view.signs import OUTCOME_SIGNS
from .output import paint

WIDEST = 40  # cells; beyond that a bar tells no more
NARROWEST = 8


def bar_line(counts: Counts, *, best: str, outlook: str, columns: int, color: bool) -> str:
    """`12/30 ━━━━━━──── ● 9 ▲ 2 │ 1 ○ 2  best 0.0123 (trial 7)  ETA 3m20s`, at most `columns` cells."""
    planned = max(counts.planned, counts.ended + counts.running)
    tally = counts.tally
    head = f"{counts.ended}/{planned}"
    signs = [
        (f"{OUTCOME_SIGNS[outcome].glyph} {n}", OUTCOME_SIGNS[outcome].style) for outcome, n in tally.items()
    ]
    tails = [f"best {best}", outlook]
    while tails and _length(head, signs, tails) > columns:
        tails.pop()
    if _length(head, signs, tails) > columns:
        signs = []
    if len(head) > columns:
        return head[: max(0, columns)]
    room = min(columns - _length(head, signs, tails) - 1, WIDEST)
    parts = [head]
    if room >= NARROWEST:
        parts.append(_bar(tally, planned, room, color))
    if signs:
        parts.append(" ".join(paint(text, style, color) for text, style in signs))
    return " ".join(parts) + "".join(f"  {tail}" for tail in tails)


def _length(head: str, signs: list[tuple[str, str]], tails: list[str]) -> int:
    return len(head) + sum(1 + len(text) for text, _ in signs) + sum(2 + len(tail) for tail in tails)


def _bar(tally: dict[Outcome | None, int], planned: int, width: int, color: bool) -> str:
    text, before, drawn = "", 0, 0
    for outcome in (Outcome.FINISHED, Outcome.UNFINISHED, Outcome.NO_START):
        before += tally[outcome]
        upto = before * width // max(1, planned)
        text += paint("━" * (upto - drawn), OUTCOME_SIGNS[outcome].style, color)
        drawn = upto
    return text + paint("─" * (width - drawn), "dim", color)
