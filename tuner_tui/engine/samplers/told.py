"""What a sampler that learns is told of a trial: its loss, that it was as bad as the worst so far, or nothing."""

from __future__ import annotations

import math
from collections.abc import Iterable

from ...search.sampling import SAMPLERS, option
from ...search.search import Search
from ...study.outcomes import Outcome, Reason
from ...study.snapshot import Trial

# Ends that a person or the engine brought about say nothing of the hyperparameters.
NO_VERDICT = frozenset({Reason.STOPPED, Reason.INTERRUPTED})


def as_they_ended(past: Iterable[Trial]) -> list[Trial]:
    """The ended trials of an earlier engine in the order in which they ended: what a failure is told as depends on
    what ended before it."""
    return sorted((t for t in past if not t.running), key=lambda t: (t.ended_at or 0.0, t.number))


class Told:
    """Turns ends of trials into values. A loss from before a crash is not what the hyperparameters are worth, so only
    finished trials are told with their own."""

    def __init__(self, search: Search) -> None:
        learns = "failures" in SAMPLERS[search.sampler]
        self.imputes = learns and option(search.sampler, search.sampler_options, "failures") == "worst"
        self.sign = search.sign
        self.worst: float | None = None  # of the finished trials so far
        self.held: list[Trial] = []  # failed before one has finished
        self.numbers: set[int] = set()

    def hear(self, trial: Trial) -> list[tuple[Trial, float | None]]:
        """What to tell now: (trial, value), None for a trial that is worth nothing; () for one that was told before.

        With `failures = "worst"` a trial that failed is told as the worst that has finished so far, and waits until
        one has: samplers that pass over it would propose the same point again.
        """
        if trial.number in self.numbers:
            return []
        self.numbers.add(trial.number)
        value = trial.value
        if trial.outcome is Outcome.FINISHED and value is not None and math.isfinite(value):
            ranked = [self.sign * v for v in (self.worst, value) if v is not None]
            self.worst = self.sign * max(ranked)
            held, self.held = self.held, []
            return [(trial, value), *((failed, self.worst) for failed in held)]
        if not self.imputes or trial.reason in NO_VERDICT:
            return [(trial, None)]
        if self.worst is None:
            self.held.append(trial)
            return []
        return [(trial, self.worst)]
