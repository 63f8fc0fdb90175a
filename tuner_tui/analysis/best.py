"""The best trials of a study, and the one that would be best had it not ended early."""

from __future__ import annotations

from ..study.outcomes import Outcome
from ..study.snapshot import Snapshot, Trial


def best_trials(snapshot: Snapshot, count: int) -> list[Trial]:
    """The best finished trials, best first: an unreliable result is never called best."""
    finished = [t for t in snapshot.trials.values() if t.outcome is Outcome.FINISHED and t.value is not None]
    return sorted(finished, key=snapshot.rank)[:count]


def better_but_unfinished(snapshot: Snapshot) -> Trial | None:
    """The unfinished trial that had the best value of all when it ended; worth a second look."""
    unfinished = [
        t for t in snapshot.trials.values() if t.outcome is Outcome.UNFINISHED and t.value is not None
    ]
    candidate = min(unfinished, key=snapshot.rank, default=None)
    best = snapshot.best
    if candidate is None or (best is not None and snapshot.rank(best) <= snapshot.rank(candidate)):
        return None
    return candidate
