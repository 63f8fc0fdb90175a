"""How long a study has run, and an estimate of the time left.

Trials that crash at once and trials that train for an hour are different kinds: one median over both would
jump between the two. So each outcome has a median of its own, weighted by how often it has occurred.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable

from ..study.outcomes import Outcome, Reason
from ..study.snapshot import Snapshot, Trial
from ..study.state import State

# Such ends say when a person or a dead engine let go, not how long a trial takes.
_CUT_OFF = frozenset({Reason.STOPPED, Reason.INTERRUPTED})


class Pace:
    """Durations of ended trials, kept sorted: adding one costs microseconds also among thousands."""

    def __init__(self, trials: Iterable[Trial] = ()) -> None:
        self._durations: dict[Outcome, list[float]] = {outcome: [] for outcome in Outcome}
        for trial in trials:
            if (seconds := _whole_seconds(trial)) is not None and trial.outcome is not None:
                self._durations[trial.outcome].append(seconds)
        for durations in self._durations.values():
            durations.sort()

    def add(self, trial: Trial) -> None:
        """Take an ended trial into account; a running one changes nothing."""
        if (seconds := _whole_seconds(trial)) is not None and trial.outcome is not None:
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


def _whole_seconds(trial: Trial) -> float | None:
    """How long a trial took; None if it was stopped from outside, or ran elsewhere, before this study."""
    return None if trial.source or trial.reason in _CUT_OFF else trial_seconds(trial)


def trial_seconds(trial: Trial) -> float | None:
    """How long an ended trial ran; None while it runs."""
    return None if trial.ended_at is None else trial.seconds(trial.ended_at)


def remaining(snapshot: Snapshot, now: float) -> float | None:
    """Seconds until every planned trial has ended; None when there is no telling, or no new ones start."""
    trials = snapshot.trials.values()
    running = [trial for trial in trials if trial.running]
    return time_left(Pace(trials), snapshot, running, snapshot.counts.waiting, now)


def time_left(
    pace: Pace, snapshot: Snapshot, running: Iterable[Trial], waiting: int, now: float
) -> float | None:
    """As `remaining`, for a viewer that has kept count and need not look at every trial again."""
    if snapshot.paused or snapshot.stopping:
        return None
    return pace.remaining(running, waiting, snapshot.search.parallel, now)


def is_finishing(snapshot: Snapshot) -> bool:
    """Whether every planned trial has ended: what an engine still does is no part of the sweep."""
    counts = snapshot.counts
    return bool(counts.ended) and not counts.running and not counts.waiting


def last_event_at(snapshot: Snapshot) -> float | None:
    """The newest moment the journal knows of (seconds since the epoch)."""
    moments = [snapshot.opened_at, snapshot.closed_at]
    for trial in snapshot.trials.values():
        moments += (trial.started_at, trial.measured_at, trial.ended_at)
    return max((at for at in moments if at is not None), default=None)


def elapsed(snapshot: Snapshot, state: State, now: float) -> float | None:
    """Seconds from the first opening to now, or to the last event when no engine runs it."""
    if snapshot.opened_at is None:
        return None
    end = now if state is State.RUNNING and not is_finishing(snapshot) else last_event_at(snapshot)
    return max(0.0, (end or now) - snapshot.opened_at)
