"""Means of a few runs and how sure they are, by Student's t: runs of one configuration that differ in their seed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, variance

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Interval:
    """An estimate and the interval that holds the truth with CONFIDENCE; infinite with too little to say."""

    mean: float
    half: float

    @property
    def low(self) -> float:
        """Its lower end."""
        return self.mean - self.half

    @property
    def high(self) -> float:
        """Its upper end."""
        return self.mean + self.half


def interval(values: Sequence[float]) -> Interval:
    """Of the mean that so many runs would have on average. Not for an empty list."""
    n = len(values)
    if n < 2:
        return Interval(fmean(values), math.inf)
    return Interval(fmean(values), student(n - 1) * math.sqrt(variance(values) / n))


def difference(a: Sequence[float], b: Sequence[float]) -> tuple[Interval, float]:
    """(mean of `a` less mean of `b`, two-sided p that there is none), by Welch's test, each of at least two runs."""
    from scipy.special import stdtr

    parts = [variance(values) / len(values) for values in (a, b)]
    gap, error = fmean(a) - fmean(b), math.sqrt(sum(parts))
    if error == 0:
        return Interval(gap, 0.0), 0.0 if gap else 1.0
    freedom = sum(parts) ** 2 / sum(part**2 / (len(v) - 1) for part, v in zip(parts, (a, b), strict=True))
    p = 2 * float(stdtr(freedom, -abs(gap) / error))
    return Interval(gap, student(freedom) * error), p


def holm(ps: Mapping[int, float]) -> set[int]:
    """Which of several tests are significant together: Holm's correction (1979)."""
    found: set[int] = set()
    for rank, k in enumerate(sorted(ps, key=ps.__getitem__)):
        if ps[k] > (1 - CONFIDENCE) / (len(ps) - rank):
            break
        found.add(k)
    return found


def student(freedom: float) -> float:
    """The quantile of Student's t that an interval reaches to, in standard errors."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, (1 + CONFIDENCE) / 2))
