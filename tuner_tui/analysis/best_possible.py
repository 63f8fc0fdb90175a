"""How good the best loss is that this space allows: an interval from the best losses of a random search.

Near its optimum a smooth loss is about quadratic. Of random draws with g hyperparameters that matter there, the
share with a mean loss below y is then proportional to (y - a)^(g/2), where a is the loss at the optimum. Noise
between seeds is added to that, taken as normal with deviation s (the noisy quadratic of Lourie et al.,
Hyperparameter Loss Surfaces Are Simple Near their Optima, arXiv 2510.02721, in its limit near the optimum). So

    F(y) is proportional to h_g((y - a) / s),    h_g(t) = E[max(0, t + e)^(g/2)],    e normal,

which is a parabolic cylinder function. The likelihood is that of the best K losses, given that they are better than
the next; a is in the interval where, with the best g and s for it, the likelihood is near the largest. What is near,
and the other constants, were set by simulation: the usual asymptotics do not hold at the end of a distribution.

g goes up to twice the number of ranges: with a cusp |x| instead of x^2 each counts twice. docs/tuning-curve.md has
how often the interval misses, and on which losses it does not hold.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING

from ..search.space import Choice
from ..study.outcomes import Outcome
from ..study.snapshot import Snapshot
from .draws import counted, obstacle_of
from .varied import varied

if TYPE_CHECKING:
    from numpy import ndarray

FEWEST = 100  # finished trials: with fewer, the 15 best reach too far from the optimum
# ... for each range squared: with fewer, most intervals say nothing, and of the few that seem to, too many miss.
FOR_RANGES = 20
SHARE = 20  # one of so many is among the best: further off a loss is not quadratic
LEAST, MOST = 15, 40  # of the best: fewer say nothing; more only reach further from the optimum
NEAR = 5.0  # of the log likelihood; 1.92 would be the asymptotic one, which misses up to one in three
DISTINCT = 0.9  # the share of the best that must differ: losses that are rounded have no density
MOST_POWER = 20  # of g, where there are more ranges: a space in which more than 10 matter equally is rare
EDGE = 20.0  # of the table of h, in deviations of the noise; beyond it asymptotic series do


class Unsaid(StrEnum):
    """Why there is no interval."""

    TOO_FEW = "too_few"  # trials; also where the interval is so wide that it says nothing
    EQUAL = "equal"  # losses among the best


@dataclass(frozen=True)
class BestPossible:
    """The mean loss at the optimum lies between `good` and `bad`, in the unit of the objective. `bad` is None where
    noise may have made all of the best trials look better than the optimum is."""

    good: float
    bad: float | None
    best: float  # so far


def best_possible(snapshot: Snapshot) -> BestPossible | Unsaid | None:
    """None where trials are no independent draws, or no range of numbers is varied."""
    if obstacle_of(snapshot):
        return None
    names = set(varied(snapshot))
    ranges = sum(h.name in names and not isinstance(h.distribution, Choice) for h in snapshot.space)
    if not ranges:
        return None
    sign = snapshot.search.sign
    finished = [trial for trial in counted(snapshot) if trial.outcome is Outcome.FINISHED]
    losses = [sign * trial.value for trial in finished if trial.value is not None]
    found = interval(losses, ranges)
    if isinstance(found, Unsaid):
        return found
    return BestPossible(sign * found.good, None if found.bad is None else sign * found.bad, sign * found.best)


def interval(losses: Sequence[float], ranges: int) -> BestPossible | Unsaid:
    """`losses`: of the finished trials, smaller is better. `ranges`: how many ranges of numbers are varied."""
    import numpy as np  # late: the first paint needs neither numpy nor scipy

    y = np.sort(np.asarray(losses, float))
    n = len(y)
    if n < max(FEWEST, FOR_RANGES * ranges**2):
        return Unsaid.TOO_FEW
    count = min(MOST, max(LEAST, n // SHARE))
    best, width = float(y[0]), float(y[count]) - float(y[0])
    if len(np.unique(y[:count])) < DISTINCT * count or not 0 < width < math.inf:
        return Unsaid.EQUAL
    optima = np.concatenate([-np.geomspace(8, 0.01, 40), [0.0], np.linspace(0.03, 1.5, 30)])
    # Noise smaller than the distance between neighbours can't be seen, and makes the density infinite at the end.
    noises = np.geomspace(1 / count, 1.5, 12)
    x = (y[:count] - best) / width  # the next one is at 1
    powers = range(min(2 * ranges, MOST_POWER) + 1)
    likely = np.max([_log_likelihood(x, g, optima[:, None], noises) for g in powers], axis=(0, 2))
    near = np.flatnonzero(likely > likely.max() - NEAR)
    good = best + width * float(optima[max(near[0] - 1, 0)])
    if best - good >= float(np.median(y)) - best:
        return Unsaid.TOO_FEW
    last = near[-1] + 1
    return BestPossible(good, best + width * float(optima[last]) if last < len(optima) else None, best)


def _log_likelihood(x: ndarray, g: int, optimum: ndarray, noise: ndarray) -> ndarray:
    """Of x [K] below 1, for each optimum [A, 1] and noise [S]: [A, S]."""
    import numpy as np

    t = (x - optimum[..., None]) / noise[:, None]  # [A, S, K]
    density = -t * t / 2 - math.log(2 * math.pi) / 2 if g == 0 else math.log(g / 2) + _log_h(g - 2, t)
    return density.sum(-1) - len(x) * (np.log(noise) + _log_h(g, (1 - optimum) / noise))


def _log_h(g: int, t: ndarray) -> ndarray:
    """log E[max(0, t + e)^(g/2)] for g >= -1, e normal."""
    import numpy as np

    a = g / 2
    at, values = _table(g)
    high, low = np.maximum(t, EDGE), np.minimum(t, -EDGE)
    above = a * np.log(high / EDGE) + a * (a - 1) / 2 * (high**-2.0 - EDGE**-2.0)
    below = -(low * low - EDGE * EDGE) / 2 - (a + 1) * np.log(-low / EDGE)
    return np.interp(t, at, values) + above + below  # each of them is 0 on the table


@lru_cache(maxsize=MOST_POWER + 2)
def _table(g: int) -> tuple[ndarray, ndarray]:
    """Points from -EDGE to EDGE and log h_g there: Gamma(a + 1) / sqrt(2 pi) exp(-t^2 / 4) D_{-a-1}(-t), a = g/2
    (Gradshteyn & Ryzhik 3.462.1)."""
    import numpy as np
    from scipy.special import gammaln, pbdv

    t = np.linspace(-EDGE, EDGE, 2001)
    a = g / 2
    return t, gammaln(a + 1) - math.log(2 * math.pi) / 2 - t * t / 4 + np.log(pbdv(-a - 1, -t)[0])
