"""Which sampler finds the better loss in the same number of trials, and how sure that is.

Each run is a sweep of one sampler on one problem; runs of one repeat share the problem's instance. Samplers are
ranked by their best loss within each repeat. Intervals of mean ranks are percentiles of bootstrap samples of repeats,
drawn within each problem; those of shares are Wilson's, over all repeats. They say how much another set of repeats of
these problems would differ, and nothing of other problems.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, inf, sqrt
from statistics import NormalDist

from .effect import mean_ranks

RESAMPLES = 2000  # of the bootstrap: the ends of a 95 % interval are then the 50th of 2000 from either side
_CONFIDENCE = 0.95
YARDSTICKS = ("random", "random2x")


@dataclass(frozen=True)
class Run:
    """One sweep. `losses`: of its trials in order, smaller is better, None for one without a result."""

    problem: str
    sampler: str
    repeat: int
    losses: tuple[float | None, ...]

    def best_so_far(self, trials: int) -> float:
        """The best of the first trials; infinite where none had a result. random2x has two trials for one."""
        count = trials * (2 if self.sampler == "random2x" else 1)
        return min((loss for loss in self.losses[:count] if loss is not None), default=inf)


@dataclass(frozen=True)
class Share:
    """An estimate with a 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Band:
    """Best so far over the repeats of one sampler on one problem: its quartiles after so many trials."""

    trials: int
    low: float
    median: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """How samplers did. `ranks`: mean over all problems and repeats, 1 is the best. `wins`: (sampler, yardstick) ->
    share of the repeats in which the sampler's best loss is better, equal ones counted half."""

    samplers: tuple[str, ...]  # the best mean rank first
    problems: tuple[str, ...]
    repeats: int
    trials: int
    bands: Mapping[tuple[str, str], tuple[Band, ...]]  # (problem, sampler)
    ranks: Mapping[str, Share]
    wins: Mapping[tuple[str, str], Share]
    failed: Mapping[str, float]  # share of trials without a result


def compare(runs: Sequence[Run], trials: int) -> Comparison:
    """The comparison of runs; each sampler must have every repeat of every problem."""
    from numpy import array, percentile
    from numpy.random import default_rng

    samplers = tuple(dict.fromkeys(run.sampler for run in runs))
    problems = tuple(dict.fromkeys(run.problem for run in runs))
    repeats = sorted({run.repeat for run in runs})
    at = {(run.problem, run.sampler, run.repeat): run for run in runs}
    best = {key: run.best_so_far(trials) for key, run in at.items()}
    rng = default_rng(0)
    # [problems, repeats] per sampler or pair; the same resamples for all of them
    drawn = rng.integers(len(repeats), size=(RESAMPLES, len(problems), len(repeats)))

    def share(table: list[list[float]]) -> Share:
        values = array(table)
        means = values[array(range(len(problems)))[None, :, None], drawn].mean(axis=(1, 2))
        low, high = percentile(means, [100 * (1 - _CONFIDENCE) / 2, 100 * (1 + _CONFIDENCE) / 2])
        return Share(float(values.mean()), float(low), float(high))

    ranked = {
        (problem, repeat): mean_ranks([best[problem, sampler, repeat] for sampler in samplers])
        for problem in problems
        for repeat in repeats
    }
    ranks = {
        sampler: share([[ranked[problem, repeat][k] for repeat in repeats] for problem in problems])
        for k, sampler in enumerate(samplers)
    }
    wins = {
        (sampler, rival): wilson(
            [_won(best[p, sampler, r], best[p, rival, r]) for r in repeats for p in problems]
        )
        for rival in YARDSTICKS
        if rival in samplers
        for sampler in samplers
        if sampler != rival
    }
    bands = {
        (problem, sampler): tuple(
            _band([at[problem, sampler, r].best_so_far(count) for r in repeats], count)
            for count in _counts(trials)
        )
        for problem in problems
        for sampler in samplers
    }
    failed = {sampler: _share_failed([run for run in runs if run.sampler == sampler]) for sampler in samplers}
    order = tuple(sorted(samplers, key=lambda sampler: ranks[sampler].value))
    return Comparison(order, problems, len(repeats), trials, bands, ranks, wins, failed)


def wilson(wins: Sequence[float]) -> Share:
    """The share of wins with Wilson's score interval, which is not empty where all are won. Halves are ties."""
    n, share, z = len(wins), sum(wins) / len(wins), NormalDist().inv_cdf((1 + _CONFIDENCE) / 2)
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return Share(share, max(0.0, middle - half), min(1.0, middle + half))


def _won(ours: float, theirs: float) -> float:
    return 1.0 if ours < theirs else 0.5 if ours == theirs else 0.0


def _band(values: list[float], count: int) -> Band:
    ordered = sorted(values)  # without interpolation: there may be infinite ones
    low, median, high = (ordered[ceil(share * len(ordered)) - 1] for share in (0.25, 0.5, 0.75))
    return Band(count, low, median, high)


def _counts(trials: int) -> list[int]:
    """A fifth of the trials, two fifths, ... all of them."""
    return sorted({max(1, round(trials * k / 5)) for k in range(1, 6)})


def _share_failed(runs: Sequence[Run]) -> float:
    losses = [loss for run in runs for loss in run.losses]
    return sum(loss is None for loss in losses) / len(losses)
