"""What a random search of k trials can expect as its best value, and whether more trials are worth it.

Every ended trial counts: one that did not finish (never started, diverged, timed out, pruned) counts as the worst,
because another draw can end so again. Without them a curve promises the best of k trials that finish, which takes
more than k trials. Left out are only ends that say nothing of the hyperparameters (stopped, interrupted) and repeats
of earlier trials, which were chosen and not drawn.

- The curve: with a chance of one half, the best of k trials is `median` or better. It is the quantile 1 - 0.5^(1/k)
  of the values of single trials. The band is where that quantile lies with 95 % confidence, for all k at once,
  whatever the distribution: the share of all draws that are at most the i-th best of n is a beta variable, and lies
  between two of its quantiles, chosen so that all n do so together with a chance of 95 % (Aldor-Noiman et al., The
  power to see, American Statistician 67 (2013); exact without ties, wider than it need be with them. Lourie, Cho &
  He, arXiv 2311.09480, showed that bootstrap bands do not hold).
- The chance to improve with m more trials after n: how often, over all orders of N of these trials, the last
  N m / (n + m) of them improved on those before by more than MARGIN; for any improvement at all it is m / (n + m),
  exact for values without ties. It is wanted for N = n + m and can be counted up to N = n. Where losses crowd near
  the best there is, it falls with N: as much further as from N = n/2 to n, for each doubling. An average over
  searches like this one (docs/tuning-curve.md has how well it holds).
- At most: a bound for this very search. The share of draws better than the best of n is below 1 - 0.05^(1/n) with
  95 % confidence, whatever the distribution, so the chance that one of m improves is below 1 - 0.05^(m/n).

All of it holds for independent draws from one space only; `tuning_curve` says where trials are not.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..search.search import RATE_FINDER
from ..study.outcomes import Outcome
from ..study.snapshot import Snapshot, Trial
from .draws import Obstacle, counted, obstacle_of

CONFIDENCE = 0.95
MARGIN = 0.01  # a smaller improvement is rarely worth trials, and often within the noise between seeds
FEWEST = 20  # trials: with fewer, the band of a single trial is wider than from the best to the worst fifth
# Of n order statistics, each lies outside of its own interval with this chance, where any does with 1 - CONFIDENCE:
# exact at these n (tests/support/local_level.py), between them a straight line of the logarithms.
LEVELS = {
    20: 0.00477069,
    25: 0.00420478,
    32: 0.00368462,
    50: 0.00295778,
    71: 0.00252825,
    100: 0.00219527,
    141: 0.00192599,
    200: 0.00170285,
    500: 0.00128425,
    1000: 0.00107111,
    2000: 0.000912926,
    5000: 0.000758957,
    10000: 0.000670738,
}
POINTS = 200  # numbers of trials at which the curve is computed: more than a screen has columns
SMALL = 1e-9  # what rounding may make of 0
AGAIN = 4  # where no trials are left of the plan, a quarter more than there were


@dataclass(frozen=True)
class Point:
    """The best of `trials` trials, in the unit of the objective, with a band from `good` to `bad`.

    `good` is infinite where it can be better than all that was seen; the others, and `good` too, where no trial
    finishes: on the side of what is worse.
    """

    trials: int
    median: float
    good: float
    bad: float


@dataclass(frozen=True)
class Outlook:
    """What `more` trials after these may bring. `chance` is None where no trial finished."""

    more: int
    chance: float | None
    at_most: float
    of_spread: bool  # MARGIN is of the distance between the quartiles of the finished, not of the best value


@dataclass(frozen=True)
class TuningCurve:
    """`points` for 1 to `trials` trials. `failed` of the `trials` count as the worst; `left_out` are not in them."""

    points: tuple[Point, ...]
    outlook: Outlook
    trials: int
    failed: int
    left_out: int

    def at(self, trials: int) -> Point:
        """The point at `trials`, or the next there is."""
        return next((point for point in self.points if point.trials >= trials), self.points[-1])


def tuning_curve(snapshot: Snapshot) -> TuningCurve | Obstacle | None:
    """None where there is nothing to ask: before a second trial has ended, and for a rate finder."""
    ended = [trial for trial in snapshot.trials.values() if trial.outcome is not None]
    if len(ended) < 2 or snapshot.search.kind == RATE_FINDER:
        return None
    if obstacle := obstacle_of(snapshot):
        return obstacle
    sign = snapshot.search.sign
    scores = sorted(_score(trial, sign) for trial in counted(snapshot))
    if len(scores) < FEWEST:
        return Obstacle.TOO_FEW
    waiting = snapshot.counts.planned - len(ended)
    # Half as many as there were: further ahead the chance told is too high where losses crowd at the best.
    more = min(waiting, math.ceil(len(scores) / 2)) if waiting > 0 else math.ceil(len(scores) / AGAIN)
    return TuningCurve(
        curve(scores, sign), outlook(scores, more), len(scores), sum(map(math.isinf, scores)),
        len(ended) - len(scores),
    )  # fmt: skip


def curve(scores: Sequence[float], sign: int = 1) -> tuple[Point, ...]:
    """`scores`: of all trials, ascending, smaller is better, inf for a failed one. `sign`: -1 turns the values of the
    points, where larger is better."""
    n = len(scores)
    most = [round(n ** (i / (POINTS - 1))) for i in range(POINTS)] if n > POINTS else range(1, n + 1)
    trials = list(dict.fromkeys(most))
    shares = [1 - 0.5 ** (1 / k) for k in trials]

    def ranked(place: int) -> float:
        """The value of the place-th best."""
        return sign * (-math.inf if place < 1 else scores[place - 1] if place <= n else math.inf)

    # Rounding must not move an exact place up.
    medians = [ranked(math.ceil(share * n - 1e-9)) for share in shares]
    return tuple(
        Point(k, median, ranked(good), ranked(bad))
        for k, median, (good, bad) in zip(trials, medians, places(n, shares), strict=True)
    )


def places(n: int, shares: Sequence[float]) -> list[tuple[int, int]]:
    """(good, bad) for each share: the quantile lies from the good-th to the bad-th best of `n` trials. 0: below all;
    n + 1: above all."""
    from scipy.special import betainc  # late: the first paint needs neither scipy nor numpy

    half = local_level(n) / 2

    def last(q: float, chance: float) -> int:
        """The last place i, from 0, at which the i-th of n uniform draws is at most `q` with more than `chance`."""
        low, high = 0, n + 1
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if betainc(middle, n + 1 - middle, q) > chance else (low, middle)
        return low

    return [(last(share, 1 - half), last(share, half) + 1) for share in shares]


def local_level(n: int) -> float:
    """See LEVELS. Beyond the last of them the line goes on, which makes bands wider than they need be."""
    sizes = sorted(LEVELS)
    at = min(max(1, bisect_left(sizes, n)), len(sizes) - 1)
    left, right = sizes[at - 1], sizes[at]
    slope = math.log(LEVELS[right] / LEVELS[left]) / math.log(right / left)
    return LEVELS[left] * (max(n, sizes[0]) / left) ** slope


def outlook(scores: Sequence[float], more: int) -> Outlook:
    """`scores` as for `curve`."""
    n = len(scores)
    at_most = 1 - (1 - CONFIDENCE) ** (more / n)
    finite = scores[: bisect_left(scores, math.inf)]
    if not finite:
        return Outlook(more, None, at_most, False)
    of_spread = finite[0] <= 0 <= finite[-1]  # a percentage needs a zero that no value reaches
    spread = finite[len(finite) * 3 // 4] - finite[len(finite) // 4]

    def improves(new: float, old: float) -> bool:
        return new < old - MARGIN * (spread if of_spread else abs(old))

    late = more / (n + more)
    here, before = (_improving(finite, n, size, late, improves) for size in (n, n / 2))
    ahead = here - math.log2((n + more) / n) * (before - here)
    return Outlook(more, max(0.0, min(here, ahead)), at_most, of_spread)


def _improving(
    finite: Sequence[float], n: int, size: float, late: float, improves: Callable[[float, float], bool]
) -> float:
    """How often, over all orders of `size` of `n` trials, the last share `late` of them improves on those before.

    `finite`: the values of the finished ones, ascending. The sum is over the best of the late ones, the j-th of all:
    the better ones were not among the `size`, and those that it does not improve on were not early.
    """
    last = size * late
    early = size - last
    ways = _log_ways(n, early) + _log_ways(n - early, last)
    chance, near = 0.0, 0
    for j, best in enumerate(finite):
        if size >= n - j + 1 or (1 - size / n) ** j < SMALL:
            break
        near = max(near, j)
        while near < len(finite) and not improves(best, finite[near]):
            near += 1
        chance += math.exp(_log_ways(n - near, early) + _log_ways(n - j - 1 - early, last - 1) - ways)
    return min(1.0, chance)


def _log_ways(n: float, k: float) -> float:
    """The logarithm of the number of ways to choose k of n, which need not be whole."""
    if k < -SMALL or n - k < -SMALL:
        return -math.inf
    return math.lgamma(n + 1) - math.lgamma(max(k, 0.0) + 1) - math.lgamma(max(n - k, 0.0) + 1)


def _score(trial: Trial, sign: int) -> float:
    finished = trial.outcome is Outcome.FINISHED and trial.value is not None
    return sign * trial.value if finished and trial.value is not None else math.inf
