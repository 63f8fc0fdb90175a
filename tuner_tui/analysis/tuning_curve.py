"""What a random search of k trials can expect as its best value, and whether more trials are worth it.

Every ended trial counts: one that did not finish (never started, diverged, timed out, pruned) counts as the worst,
because another draw can end so again. Without them a curve promises the best of k trials that finish, which takes
more than k trials. Left out are only ends that say nothing of the hyperparameters (stopped, interrupted) and repeats
of earlier trials, which were chosen and not drawn.

- The curve: with a chance of one half, the best of k trials is `median` or better. It is the quantile 1 - 0.5^(1/k)
  of the values of single trials. The band is where that quantile lies with 95 % confidence, for all k at once,
  whatever the distribution and with ties (Dvoretzky, Kiefer & Wolfowitz 1956 with the constant of Massart 1990; used
  for tuning curves by Lourie, Cho & He, arXiv 2311.09480).
- The chance to improve with m more trials after n: how often, over all orders of these n trials, the last
  m n / (n + m) of them improved on those before by more than MARGIN. It assumes that the next trials relate to those
  so far as the later of these relate to the earlier; for any improvement at all it is m / (n + m), exact for values
  without ties. It is an average over searches like this one, and too high where losses crowd near the best there is
  (docs/tuning-curve.md).
- At most: a bound for this very search. The share of draws better than the best of n is below 1 - 0.05^(1/n) with
  95 % confidence, whatever the distribution, so the chance that one of m improves is below 1 - 0.05^(m/n).

All of it holds for independent draws from one space only; `tuning_curve` says where trials are not.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

from ..search.search import RATE_FINDER
from ..study.outcomes import Outcome
from ..study.snapshot import Snapshot, Trial
from .draws import Obstacle, counted, obstacle_of

CONFIDENCE = 0.95
MARGIN = 0.01  # a smaller improvement is rarely worth trials, and often within the noise between seeds
FEWEST = 20  # trials: with fewer, the band of a single trial is wider than from the best to the worst fifth
POINTS = 200  # numbers of trials at which the curve is computed: more than a screen has columns
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
    half = math.sqrt(math.log(2 / (1 - CONFIDENCE)) / (2 * n))
    most = [round(n ** (i / (POINTS - 1))) for i in range(POINTS)] if n > POINTS else range(1, n + 1)

    def quantile(share: float) -> float:
        if share <= 0:
            return -sign * math.inf
        place = math.ceil(share * n - 1e-9)  # rounding must not move an exact place up
        return sign * (scores[place - 1] if place <= n else math.inf)

    points: list[Point] = []
    for k in dict.fromkeys(most):
        share = 1 - 0.5 ** (1 / k)
        points.append(Point(k, quantile(share), quantile(share - half), quantile(share + half)))
    return tuple(points)


def outlook(scores: Sequence[float], more: int) -> Outlook:
    """`scores` as for `curve`."""
    n = len(scores)
    at_most = 1 - (1 - CONFIDENCE) ** (more / n)
    finite = scores[: bisect_left(scores, math.inf)]
    if not finite:
        return Outlook(more, None, at_most, False)
    of_spread = finite[0] <= 0 <= finite[-1]  # a percentage needs a zero that no value reaches
    spread = finite[len(finite) * 3 // 4] - finite[len(finite) // 4]
    best = finite[0]

    def improves_on(old: float) -> bool:
        return best < old - MARGIN * (spread if of_spread else abs(old))

    # The trials that the best of all would not have improved on: all of them must have come late.
    near = next((i for i, old in enumerate(finite) if improves_on(old)), len(finite))
    late = n * more / (n + more)
    chance = 1.0
    for i in range(near):
        chance *= max(0.0, late - i) / (n - i)
        if not chance:
            break
    return Outlook(more, chance, at_most, of_spread)


def _score(trial: Trial, sign: int) -> float:
    finished = trial.outcome is Outcome.FINISHED and trial.value is not None
    return sign * trial.value if finished and trial.value is not None else math.inf
