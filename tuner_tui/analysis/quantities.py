"""What `--fail-if` and the reports compare: values of the finished trials, and counts of how trials ended."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median

from ..study.outcomes import Outcome
from ..study.snapshot import Counts, Snapshot, Trial
from .best import best_trials

VALUES = ("best", "median", "worst")
COUNTS = ("finished", "unfinished", "no_start", "failed")


@dataclass(frozen=True)
class Value:
    """A value of the finished trials; `trial` has it, where one trial does."""

    value: float
    of: int  # finished trials it was taken from
    trial: Trial | None = None


def value_of(snapshot: Snapshot, name: str) -> Value | None:
    """The best, median or worst value of the finished trials; None when none finished."""
    ranked = best_trials(snapshot, len(snapshot.trials))
    values = [trial.value for trial in ranked if trial.value is not None]
    if not values:
        return None
    if name == "median":
        return Value(median(values), len(values))
    place = 0 if name == "best" else -1
    return Value(values[place], len(values), ranked[place])


def count_of(counts: Counts, name: str) -> int:
    """How many trials are `finished`, `unfinished`, `no_start`, or `failed` (both of the last two)."""
    failed = counts.unfinished + counts.no_start
    return failed if name == "failed" else counts.tally[Outcome(name)]
