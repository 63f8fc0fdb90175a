"""The legend under every grid: what the signs mean, and how many trials have each.

The counts are of the whole study, so they agree with every other place that counts trials. The notes say what
a look at the points alone would miss: trials at an edge of the chart, or in no panel yet.
"""

from __future__ import annotations

from ..study.snapshot import Snapshot
from . import signs
from .draw import Line, Run
from .loss import Edges, edges
from .words import best_words, count_words


def legend(snapshot: Snapshot, *, color: bool = True) -> Line:
    """`● 17 finished  ▲ 4 unfinished  │ 3 never started  ○ 2 running  ★ best 0.42 (trial 7)`."""
    entries = [(signs.OUTCOME_SIGNS[outcome], words) for outcome, words in count_words(snapshot.counts)]
    if diverged := edges(snapshot).diverged:
        entries.append((signs.DIVERGED, f"{diverged} diverged"))
    if before := snapshot.before:
        entries.append((signs.BEFORE, f"{before} from before"))
    if best := snapshot.best:
        entries.append((signs.BEST, f"best {best_words(best)}"))
    runs: list[Run] = []
    for sign, words in entries:
        runs.append(Run(sign.glyph, sign.style if color else ""))
        runs.append(Run(f" {words}  ", ""))
    return (*runs[:-1], Run(runs[-1].text.rstrip(), ""))


def notes(snapshot: Snapshot) -> tuple[str, ...]:
    """One sentence for everything a reader of the points could not see."""
    found = edges(snapshot)
    said: list[str] = []
    if found.diverged:
        said.append(f"{_trials(found.diverged)} diverged: × at the last finite loss{_infinite(found)}")
    if found.not_positive:
        said.append(f"{_trials(found.not_positive)} at or below zero: ↓ at the bottom edge of a log axis")
    if found.above:
        said.append(f"{_trials(found.above)} far above the others: ↑ at the top edge")
    if found.below:
        said.append(f"{_trials(found.below)} far below the others: ↓ at the bottom edge")
    return tuple(said)


def _infinite(found: Edges) -> str:
    if not found.infinite:
        return ""
    if found.infinite == found.diverged:
        return ", ∞ at the top edge above it"
    return f", ∞ at the top edge above the {found.infinite} where nan or infinity followed"


def _trials(count: int) -> str:
    return f"{count} trial" if count == 1 else f"{count} trials"
