"""Whether the trials of a study are independent draws from one space, and which of them count as such.

What is estimated from trials as from a sample holds only then: not where a sampler learns from earlier trials, where
a filter has chosen them, or where the space was changed.
"""

from __future__ import annotations

from enum import StrEnum

from ..study.outcomes import Reason
from ..study.snapshot import Snapshot, Trial

# Ends that a person or the engine brought about. Other than in crash_bias.py a pruned trial counts: its values led to
# that, and would again.
LEFT_OUT = frozenset({Reason.STOPPED, Reason.INTERRUPTED})


class Obstacle(StrEnum):
    """Why an estimate can't be made."""

    FILTERED = "filtered"
    CHANGED = "changed"  # the space
    LEARNS = "learns"  # the sampler, from earlier trials
    SPREAD = "spread"  # evenly over the space, by the sampler
    UNKNOWN = "unknown"  # how they were drawn
    TOO_FEW = "too_few"


def obstacle_of(snapshot: Snapshot) -> Obstacle | None:
    """Why these trials are no independent draws from one space; None where they are. It does not count them."""
    search = snapshot.search
    if snapshot.part_of is not None:
        return Obstacle.FILTERED
    if search.sampler in ("qmc", "grid"):
        return Obstacle.SPREAD
    if search.sampler != "random":
        return Obstacle.LEARNS if search.sampler else Obstacle.UNKNOWN
    # What an Optuna objective draws itself becomes known bit by bit; the space was the same all the time.
    given = [
        [h for h in space if h.name not in search.suggested] for space in (*snapshot.earlier, search.space)
    ]
    return Obstacle.CHANGED if any(space != given[-1] for space in given) else None


def counted(snapshot: Snapshot) -> list[Trial]:
    """The ended trials, without ends that say nothing of the hyperparameters and repeats of chosen trials."""
    return [
        trial
        for trial in snapshot.own.trials.values()  # how another study drew its trials is not known
        if trial.outcome is not None and trial.reason not in LEFT_OUT and trial.number not in snapshot.reruns
    ]
