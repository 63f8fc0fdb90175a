"""How long a sweep will still take, as far as anybody can know.

Trials that crash at once and trials that train for an hour are different kinds: one median over both would
jump between the two. So each outcome has a median of its own, weighted by how often it has occurred.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable

from ..study.outcomes import Outcome, Reason
from ..study.snapshot import Trial
from .words import trial_seconds

# Such ends say when a person or a dead engine let go, not how long a trial takes.
_CUT_OFF = frozenset({Reason.STOPPED, Reason.INTERRUPTED})


class Pace:
    """Durations of ended trials, kept sorted: adding one costs microseconds also among thousands."""

    def __init__(self) -> None:
        self._durations: dict[Outcome, list[float]] = {outcome: [] for outcome in Outcome}

    def add(self, trial: Trial) -> None:
        seconds = trial_seconds(trial)
        if seconds is not None and trial.outcome is not None and trial.reason not in _CUT_OFF:
            insort(self._durations[trial.outcome], seconds)

    def typical(self) -> float | None:
        """Seconds of one trial, expected from those that have ended; None before the first."""
        total = sum(map(len, self._durations.values()))
        if not total:
            return None
        return sum(_median(d) * len(d) for d in self._durations.values() if d) / total

    def remaining(self, running: Iterable[Trial], waiting: int, parallel: int, now: float) -> float | None:
        """Seconds until the last planned trial ends; None when there is nothing to judge by.

        That is so before the first trial has ended, and when only trials remain that are past the typical
        time already.
        """
        typical = self.typical()
        if typical is None:
            return None
        left = [max(0.0, typical - trial.seconds(now)) for trial in running]
        if not waiting and left and not any(left):
            return None
        work = sum(left) + waiting * typical
        # However many run at once, the last one started still takes its time.
        last = typical if waiting else max(left, default=0.0)
        return max(work / max(1, parallel), last)


def _median(ordered: list[float]) -> float:
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2
