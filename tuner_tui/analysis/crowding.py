"""At which ends of the hyperparameters' ranges the best trials crowd: the optimum may then lie beyond.

For each number and each end: how many of the best trials are among the finished tenth that lies nearest to that end.
Where the hyperparameter has no effect each set of trials is as likely to be the best, so the count is hypergeometric,
whatever the values and with ties; an optimum inside the range makes it smaller. Corrected over all ends (Benjamini &
Hochberg 1995, without the ends at which nothing could show: Tarone 1990).

Two ends look alike here and mean different things: the end of the range that was searched, which can be moved, and
the edge of a region where trials fail, which has to be understood. `Crowd.frontier` tells them apart.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..search.space import Choice, Distribution, Float, Hyperparameter, Int
from ..study.outcomes import Outcome
from ..study.snapshot import Snapshot, Trial
from .crash_bias import SAYS_NOTHING, readable
from .draws import counted
from .two_groups import at_least, can_tell, corrected

LEVEL = 0.05  # the chance that any end is named where none has an effect
FEWEST = 20  # finished trials that have the hyperparameter
BEST = 10  # the best tenth, at least FEWEST_BEST of them
FEWEST_BEST = 5
STRIP = 0.1  # of the finished trials, at either end
WIDEST = 1 / 3  # with ties a strip may be wider; beyond that "at the end" says little
OUTSIDE = 3  # failed trials beyond all finished ones, and most of those there: an edge that failures make


@dataclass(frozen=True)
class Crowd:
    """`inside` of the `best` best trials lie among the `strip` of `finished` nearest to an end of `name`."""

    name: str
    upper: bool  # the upper end, or the lower
    inside: int
    best: int
    strip: int
    finished: int
    edge: float  # beyond it lies the strip
    end: float  # of the range; for a frontier a value beyond which no trial finished
    corrected: float  # the chance of so many, over all ends
    frontier: bool  # beyond the finished trials there are failed ones
    testable: bool = True  # whether it would show if all that can be were inside

    @property
    def told(self) -> bool:
        """Whether so many are no accident."""
        return self.corrected <= LEVEL


def crowds(snapshot: Snapshot) -> tuple[Crowd, ...]:
    """Every end that was tested, the most surprising first; () where there are too few trials."""
    trials = counted(snapshot)
    finished = [t for t in trials if t.outcome is Outcome.FINISHED and t.value is not None]
    finished.sort(key=snapshot.rank)
    failed = [t for t in trials if t.failed and t.reason not in SAYS_NOTHING]
    found = [
        crowd
        for h in snapshot.space
        if not isinstance(h.distribution, Choice)
        for upper in (True, False)
        if (crowd := _crowd(h, h.distribution, upper, finished, failed))
    ]
    chances = [at_least(c.finished, c.strip, c.best) for c in found]
    ps = [float(chance[c.inside]) for c, chance in zip(found, chances, strict=True)]
    takes_part = can_tell(
        [float(chance[min(c.best, c.strip)]) for c, chance in zip(found, chances, strict=True)], LEVEL
    )
    parts = [i for i, takes in enumerate(takes_part) if takes]
    right = dict(zip(parts, corrected([ps[i] for i in parts]), strict=True))
    told = [
        replace(crowd, corrected=right.get(i, 1.0), testable=takes_part[i]) for i, crowd in enumerate(found)
    ]
    return tuple(sorted(told, key=lambda crowd: (crowd.corrected, -crowd.inside)))


def _crowd(
    h: Hyperparameter,
    distribution: Distribution,
    upper: bool,
    finished: Sequence[Trial],
    failed: Sequence[Trial],
) -> Crowd | None:
    """`finished`: the best first."""
    if isinstance(distribution, Choice):
        return None
    sign = 1 if upper else -1
    values = sign * np.array([v for t in finished if (v := _number(t, h.name)) is not None])
    n = len(values)
    if n < FEWEST or values.min() == values.max():
        return None
    edge = float(np.sort(values)[n - math.ceil(STRIP * n)])
    in_strip = values >= edge
    if in_strip.sum() > WIDEST * n:
        return None
    before, outermost = float(values[~in_strip].max()), float(values.max())
    beyond = [sign * v for t in failed if (v := _number(t, h.name)) is not None and sign * v > outermost]
    frontier = len(beyond) >= OUTSIDE
    end = float(distribution.high if upper else distribution.low)
    if frontier:
        end = _between(outermost, min(beyond), distribution, upper)
    best = max(FEWEST_BEST, math.ceil(n / BEST))
    return Crowd(
        h.name, upper, int(in_strip[:best].sum()), best, int(in_strip.sum()), n,
        _between(before, edge, distribution, upper), end, 1.0, frontier,
    )  # fmt: skip


def _between(inner: float, outer: float, distribution: Float | Int, upper: bool) -> float:
    """A short number that parts two values; both turned round where it is about the lower end."""
    low, high = (inner, outer) if upper else (-outer, -inner)
    return readable(low, high, distribution, above=upper)


def _number(trial: Trial, name: str) -> float | None:
    value = trial.params.get(name)
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return None
    return float(value) if abs(value) < 1e300 else None  # a hand-written journal may hold anything
