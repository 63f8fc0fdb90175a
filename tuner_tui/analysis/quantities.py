"""What `--fail-if` compares: values and metrics of the finished trials, times, and counts of how trials ended."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean, median, pstdev

from ..study.outcomes import Outcome
from ..study.snapshot import Counts, Snapshot, Trial
from ..study.state import State
from .best import best_trials
from .pace import elapsed, trial_seconds

# Of the objective's values, over the finished trials.
VALUES = ("best", "worst", "median", "mean", "std")
COUNTS = ("finished", "unfinished", "no_start", "failed")
SECONDS = "seconds"  # how long the study took; with a statistic around it, how long its finished trials took
STATISTICS: dict[str, Callable[[Sequence[float]], float]] = {
    "min": min,
    "max": max,
    "mean": fmean,
    "median": median,
    "std": pstdev,  # over all trials there are: it is 0 for one
}


@dataclass(frozen=True)
class Quantity:
    """Something that a study has one number of.

    `name` is one of VALUES, COUNTS, `seconds` or a metric, which is then the best trial's last reading of it.
    With a `statistic` it is a metric or `seconds` over all finished trials.
    """

    name: str
    statistic: str = ""  # one of STATISTICS

    @property
    def is_count(self) -> bool:
        """Whether it counts trials."""
        return not self.statistic and self.name in COUNTS


@dataclass(frozen=True)
class Value:
    """A number, how many finished trials it was taken from, and the trial that has it, where one trial does."""

    value: float
    of: int
    trial: Trial | None = None


def value_of(snapshot: Snapshot, quantity: Quantity) -> Value | None:
    """The quantity in a study, which may be nan; None when no finished trial tells it. Counts always have a value."""
    if quantity.is_count:
        return Value(float(count_of(snapshot.counts, quantity.name)), snapshot.counts.ended)
    ranked = best_trials(snapshot, len(snapshot.trials))
    if quantity.name == SECONDS and not quantity.statistic:
        took = elapsed(snapshot, State.DONE, 0.0)  # DONE: to its last event, also while it runs
        return None if took is None else Value(took, len(ranked))
    if quantity.name in VALUES:
        values = [trial.value for trial in ranked if trial.value is not None]
        if quantity.name in STATISTICS:
            return _over(values, quantity.name)
        place = 0 if quantity.name == "best" else -1
        return Value(values[place], len(values), ranked[place]) if values else None
    if quantity.statistic:
        return _over(_readings(ranked, quantity.name), quantity.statistic)
    value = ranked[0].latest.get(quantity.name) if ranked else None
    return None if value is None else Value(value, len(ranked), ranked[0])


def _readings(trials: Iterable[Trial], name: str) -> list[float]:
    if name == SECONDS:
        return [seconds for trial in trials if (seconds := trial_seconds(trial)) is not None]
    return [trial.latest[name] for trial in trials if name in trial.latest]


def _over(values: Sequence[float], statistic: str) -> Value | None:
    if not values:
        return None
    broken = any(map(math.isnan, values))  # min and max would pass over it or not, as the order has it
    return Value(math.nan if broken else STATISTICS[statistic](values), len(values))


def metrics_of(snapshot: Snapshot) -> tuple[str, ...]:
    """The names of all that the finished trials measured, sorted."""
    finished = [trial for trial in snapshot.trials.values() if trial.outcome is Outcome.FINISHED]
    return tuple(sorted({name for trial in finished for name in trial.latest}))


def count_of(counts: Counts, name: str) -> int:
    """How many trials are `finished`, `unfinished`, `no_start`, or `failed` (both of the last two)."""
    failed = counts.unfinished + counts.no_start
    return failed if name == "failed" else counts.tally[Outcome(name)]
