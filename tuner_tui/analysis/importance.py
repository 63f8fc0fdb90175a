"""Which hyperparameters the loss depends on, and which decide whether a trial finishes; each against chance.

The share is that of effect.py: of the variance of the ranks of the finished losses, what lies between groups of one
hyperparameter's values, less chance's part. Survival is measured the same way, with 1 for a trial that finished and 0
for one that did not.

Whether a share can be told from chance: random draws are exchangeable where the hyperparameter has no effect, so p is
the part of all assignments of the losses to the trials that have at least this share, from 4,999 seeded ones (the
test of Kruskal & Wallis 1952). Beyond MOST_DEALT trials its chi-square formula is close and is used for the loss.
Corrected over the hyperparameters by Benjamini & Hochberg. It sees any shape of one hyperparameter's effect; what two
explain together beyond that is in pairs.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ..study.outcomes import Outcome
from ..study.snapshot import Snapshot, Trial
from .draws import Obstacle, counted, obstacle_of
from .effect import ENOUGH, between, groups, mean_ranks, without_chance
from .pairs import Pair, best_pair
from .two_groups import Array, chi2_tail, corrected

LEVEL = 0.05  # the chance that any is named where none has an effect
DRAWS = 4_999  # the least p is 1/5,000: below LEVEL shared among 100 hyperparameters
MOST_DEALT = 200  # trials: groups of 25 then, for which the formula is close
# Trials that finished, and that did not, to ask what decides it. Four of 100 that all fall into one of MOST_GROUPS
# groups have p = 0.002, which is told among 13 hyperparameters; three have 0.015, which is not.
EACH = 4
SEED = 20170501  # any constant: the same study must get the same answer twice


@dataclass(frozen=True)
class Share:
    """One hyperparameter: its share, 0 to 1, and the share that chance alone exceeds in one of 20 studies.

    `at_most`: an upper bound of the share with 95 % confidence, for the loss; 1.0 for survival.
    """

    name: str
    share: float
    by_chance: float
    p: float
    corrected: float  # over all hyperparameters of the question
    at_most: float = 1.0

    @property
    def told(self) -> bool:
        """Whether it can be told from chance."""
        return self.corrected <= LEVEL


@dataclass(frozen=True)
class Importance:
    """The largest share first. A question with fewer than ENOUGH trials, or EACH of an end, has none;
    neither has a hyperparameter that fewer trials have, or that had one value."""

    finished: int
    unfinished: int
    loss: tuple[Share, ...]
    survival: tuple[Share, ...]
    pair: Pair | None = None  # of all pairs the one that explains most of the loss together


def importance(snapshot: Snapshot) -> Importance | Obstacle | None:
    """None where there is nothing to ask: no space, or no second ended trial."""
    trials = counted(snapshot)
    if len(trials) < 2 or not len(snapshot.space):
        return None
    if obstacle := obstacle_of(snapshot):
        return obstacle
    finished = [t for t in trials if t.outcome is Outcome.FINISHED and t.value is not None]
    losses = [t.value for t in finished if t.value is not None]
    survived = [float(t.outcome is Outcome.FINISHED) for t in trials]
    unfinished = len(trials) - len(finished)
    loss = _shares(snapshot, finished, losses, bounded=True)
    survival = _shares(snapshot, trials, survived) if min(len(finished), unfinished) >= EACH else ()
    if not loss and not survival:
        return Obstacle.TOO_FEW
    return Importance(len(finished), unfinished, loss, survival, best_pair(tuple(snapshot.space), finished))


def _shares(
    snapshot: Snapshot, trials: Sequence[Trial], values: Sequence[float], *, bounded: bool = False
) -> tuple[Share, ...]:
    """`bounded`: with an upper bound of each share."""
    tests: list[tuple[str, tuple[float, float, float], float]] = []
    for hyperparameter in snapshot.space:
        name = hyperparameter.name
        having = [
            (t.params[name], value) for t, value in zip(trials, values, strict=True) if name in t.params
        ]
        if len(having) < ENOUGH:
            continue
        members = groups(hyperparameter, [at for at, _ in having])
        ranks = mean_ranks([value for _, value in having])
        test = share_of(tuple(ranks), members)
        if test is not None:
            most = most_share(*between(ranks, members), len(ranks)) if bounded else 1.0
            tests.append((name, test, most))
    right = corrected([test[2] for _, test, _ in tests])
    shares = [Share(name, *test, p, most) for (name, test, most), p in zip(tests, right, strict=True)]
    return tuple(sorted(shares, key=lambda share: (not share.told, -share.share, share.corrected)))


def share_of(ranks: tuple[float, ...], members: Sequence[int]) -> tuple[float, float, float] | None:
    """(share, what chance alone exceeds in one of 20, p); None where the ranks or the groups are all the same."""
    n = len(ranks)
    _, group, counts = np.unique(members, return_inverse=True, return_counts=True)
    k = len(counts)
    centred = np.array(ranks) - np.mean(ranks)
    total = float(centred @ centred)
    if not total or not 1 < k < n:
        return None
    which = np.eye(k)[group] / np.sqrt(counts)  # so that the squares of the sums add up to what lies between
    share = float(((centred @ which) ** 2).sum()) / total
    if len(set(ranks)) == 2:
        marked = centred > 0
        m = int(marked.sum())
        of_groups = np.random.default_rng((SEED, n, m)).multivariate_hypergeometric(
            counts, m, DRAWS, method="marginals"
        )
        drawn = ((of_groups - counts * (m / n)) ** 2 / counts).sum(axis=1) / (m * (n - m) / n)
    elif n <= MOST_DEALT:
        drawn = ((_dealt(ranks) @ which) ** 2).sum(axis=1) / total
    else:
        p = chi2_tail((n - 1) * share, k - 1)
        return without_chance(share, k, n), without_chance(_chi2_reached(k - 1) / (n - 1), k, n), p
    p = (1 + int(np.count_nonzero(drawn >= share - 1e-9))) / (1 + DRAWS)
    return without_chance(share, k, n), without_chance(float(np.quantile(drawn, 1 - LEVEL)), k, n), p


def most_share(share: float, groups: int, trials: int) -> float:
    """An upper bound of the share with 95 % confidence, from `share` of the ranks' variance between the groups.

    As in an analysis of variance (Steiger, Beyond the F test, Psychological Methods 9 (2004)), which for ranks is an
    approximation, checked by simulation in docs/importance.md. Steiger's bound is nearly 0 where the groups happen to
    be more alike than chance makes them; that chance is divided out (Read, J. Phys. G 28 (2002) 2693), so that the
    bound never says more than so many trials can.
    """
    from scipy.special import ncfdtr  # late: only who asks for importance waits for scipy

    inner, outer = groups - 1, trials - groups
    if share >= 1 or outer < 1:
        return 1.0
    f = (share / inner) / ((1 - share) / outer)
    if f <= 0:
        return 1.0
    by_chance = float(ncfdtr(inner, outer, 0.0, f))
    low, high = 0.0, 1.0
    for _ in range(20):  # to a millionth
        middle = (low + high) / 2
        chance = float(ncfdtr(inner, outer, middle / (1 - middle) * trials, f))
        low, high = (middle, high) if chance > LEVEL * by_chance else (low, middle)
    return high


@lru_cache(maxsize=4)  # the hyperparameters that all trials have share their ranks
def _dealt(ranks: tuple[float, ...]) -> Array:
    """DRAWS orders of the centred ranks, one a row."""
    centred = np.array(ranks) - np.mean(ranks)
    return np.random.default_rng((SEED, len(ranks))).permuted(np.tile(centred, (DRAWS, 1)), axis=1)


@lru_cache(maxsize=64)
def _chi2_reached(freedom: int) -> float:
    """What a chi-square exceeds with the chance LEVEL."""
    low, high = 0.0, 20.0 + 3.0 * freedom
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if chi2_tail(middle, freedom) > LEVEL else (low, middle)
    return high
