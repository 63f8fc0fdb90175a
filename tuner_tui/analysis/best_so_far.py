"""The best value so far, over the trials in the order in which they ended: is it still worth going on?"""

from __future__ import annotations

from dataclasses import dataclass

from ..study.outcomes import Outcome
from ..study.snapshot import Snapshot


@dataclass(frozen=True)
class BestSoFar:
    """`values`: (how many trials had ended, value) of each finished trial. `bests`: those that were a new best,
    with the trial's number."""

    values: tuple[tuple[int, float], ...]
    bests: tuple[tuple[int, float, int], ...]
    ended: int

    @property
    def since(self) -> int:
        """How many trials have ended since the best was found."""
        return self.ended - self.bests[-1][0]


def best_so_far(snapshot: Snapshot) -> BestSoFar | None:
    """None before two trials have finished: one value is no development."""
    ended = sorted(
        (trial for trial in snapshot.trials.values() if trial.ended_at is not None),
        key=lambda trial: (trial.ended_at or 0.0, trial.number),
    )
    values: list[tuple[int, float]] = []
    bests: list[tuple[int, float, int]] = []
    leader = None
    for count, trial in enumerate(ended, 1):
        if trial.outcome is not Outcome.FINISHED or trial.value is None:
            continue
        values.append((count, trial.value))
        if leader is None or snapshot.rank(trial)[0] < snapshot.rank(leader)[0]:
            leader = trial
            bests.append((count, trial.value, trial.number))
    return BestSoFar(tuple(values), tuple(bests), len(ended)) if len(values) > 1 else None
