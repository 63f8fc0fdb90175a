"""How long a study has gone on, and how long it will: estimates from the snapshot alone."""

from __future__ import annotations

from ..study.folder import State
from ..study.snapshot import Snapshot

_RECENT = 50  # trials the estimate looks back over: a search's later trials resemble each other most


def last_event_at(snapshot: Snapshot) -> float | None:
    """The newest moment the journal knows of (seconds since the epoch)."""
    moments = [snapshot.opened_at, snapshot.closed_at]
    for trial in snapshot.trials.values():
        moments += (trial.started_at, trial.measured_at, trial.ended_at)
    return max((at for at in moments if at is not None), default=None)


def elapsed(snapshot: Snapshot, state: State, now: float) -> float | None:
    """Seconds from the first opening to now, or to the last event when nobody runs it."""
    if snapshot.opened_at is None:
        return None
    end = now if state is State.RUNNING else last_event_at(snapshot)
    return max(0.0, (end or now) - snapshot.opened_at)


def remaining(snapshot: Snapshot, now: float) -> float | None:
    """Seconds until every planned trial has ended, from the mean length of recent ones; None: no idea yet."""
    ended = [t for t in snapshot.trials.values() if t.ended_at is not None]
    if not ended:
        return None
    recent = sorted(ended, key=lambda t: t.ended_at or 0.0)[-_RECENT:]
    mean = sum(t.seconds(now) for t in recent) / len(recent)
    running = [t for t in snapshot.trials.values() if t.running]
    work = mean * snapshot.counts.waiting + sum(max(0.0, mean - t.seconds(now)) for t in running)
    lanes = max(1, len(running), snapshot.search.parallel)
    return work / lanes
