"""What the learning curves of the best trials do late: the Tuning Playbook's questions, each as a count of trials.

A curve is cut into fifths by its readings, and the median of a fifth stands for it. Each question asks whether a
difference of two fifths, better or worse, exceeds MARGIN in more than half of the best trials. Where it does not,
each of them exceeds it with at most the chance of one half, so the number that do is judged by the binomial
distribution (the sign test): it needs neither a model of the curves nor independent readings within one, only trials
that are independent of each other.

The best are chosen by their last reading, which is then rather too good than too bad. The choice must not answer the
question, so where better late is the alarm (`improving`) they are chosen by the last two fifths together.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise
from statistics import median

from ..study.outcomes import Outcome
from ..study.snapshot import Snapshot, Trial

LEVEL = 0.05  # the chance of an alarm where there is no more than MARGIN of it
MARGIN = 0.01  # of the value, as in the tuning curve: less is rarely worth a change
BEST = 10  # trials that are looked at: nine of ten are no accident
SHARE = 4  # ... and at most the best quarter
FEWEST = 5  # of them: five of five have p = 0.03
READINGS = 10  # of a curve: two in each fifth
PARTS = 5


@dataclass(frozen=True)
class Sign:
    """In `trials` of the `of` best the answer was yes; `chance`: of so many, if no more than half would."""

    trials: int
    of: int
    size: float  # the median difference over the `of`, as a share of the value (or of the spread)
    chance: float
    part: int = 0  # the fifth that the last one was compared with, where there was a choice of them: 1 to 4
    choices: int = 1

    @property
    def needed(self) -> int:
        """How many would be told; more than `of` where not even all would."""
        many = range(self.of + 1)
        return next((k for k in many if self.choices * _at_least(k, self.of) <= LEVEL), self.of + 1)

    @property
    def told(self) -> bool:
        """Whether most of such trials do it."""
        return self.chance <= LEVEL


@dataclass(frozen=True)
class LateTraining:
    """The answers. One is None where too few of the best trials have what it asks for."""

    overfitting: Sign | None  # ends worse than an earlier fifth
    improving: Sign | None  # ... better than the fifth before it
    saturated: Sign | None  # not even MARGIN was gained after the second fifth
    noisy: Sign | None  # from reading to reading in the last two fifths
    rising: Sign | None  # the training value itself ends worse than an earlier fifth
    best: tuple[Trial, ...]  # the trials looked at, the best first
    of_spread: bool  # the margin is of the distance between quartiles: the values have both signs


def late_training(snapshot: Snapshot) -> LateTraining:
    """Looks only at trials that finished."""
    finished = [
        t for t in snapshot.own.trials.values() if t.outcome is Outcome.FINISHED and t.value is not None
    ]
    finished = sorted((t for t in finished if t.number not in snapshot.reruns), key=snapshot.rank)
    sign = snapshot.search.sign
    most = min(BEST, len(finished) // SHARE)
    best = tuple(finished[:most])
    if most < FEWEST:
        return LateTraining(None, None, None, None, None, best, False)
    scores = [sign * t.value for t in finished if t.value is not None]
    of_spread = scores[0] <= 0 <= scores[-1]
    spread = scores[len(scores) * 3 // 4] - scores[len(scores) // 4]

    def unit(score: float) -> float:
        return spread if of_spread else abs(score)

    curves = [curve for t in finished if (curve := _curve(t, sign))]
    late = sorted(curves, key=lambda curve: curve.parts[3] + curve.parts[4])[:most]
    looked = [curve for t in best if (curve := _curve(t, sign))]
    rises = [c for t in best if (c := _cut([sign * r for r in t.training]))]
    apart = (scores[most - 1] - scores[0]) / (most - 1)  # the mean gap between neighbours among the best
    return LateTraining(
        overfitting=_worse(looked, unit),
        improving=_sign([(c.parts[3] - c.parts[4], unit(c.parts[4])) for c in late]),
        saturated=_less([(c.parts[1] - c.parts[4], unit(c.parts[4])) for c in looked]),
        noisy=_sign([(c.noise, unit(c.parts[4])) for c in looked], least=apart),
        rising=_worse(rises, abs if not of_spread else unit),
        best=best,
        of_spread=of_spread,
    )  # fmt: skip


@dataclass(frozen=True)
class _Curve:
    parts: tuple[float, ...]  # the median of each fifth; smaller is better
    noise: float  # from reading to reading, in the last two fifths: a standard deviation


def _curve(trial: Trial, sign: int) -> _Curve | None:
    return _cut([sign * loss for _, loss in trial.curve])


def _cut(readings: Sequence[float]) -> _Curve | None:
    finite = [reading for reading in readings if math.isfinite(reading)]
    n = len(finite)
    if n < READINGS:
        return None
    parts = tuple(median(finite[n * i // PARTS : n * (i + 1) // PARTS]) for i in range(PARTS))
    late = finite[n * 3 // PARTS :]
    steps = [(b - a) ** 2 for a, b in pairwise(late)]
    return _Curve(parts, math.sqrt(sum(steps) / len(steps) / 2))


def _worse(curves: Sequence[_Curve], unit: Callable[[float], float]) -> Sign | None:
    """Whether the last fifth is worse than one of the four before it: the one in which most trials were better."""
    signs = [_sign([(c.parts[4] - c.parts[i], unit(c.parts[i])) for c in curves]) for i in range(PARTS - 1)]
    asked = [(part, sign) for part, sign in enumerate(signs, 1) if sign is not None]
    if not asked:
        return None
    part, worst = min(asked, key=lambda pair: (pair[1].chance, -pair[1].size))
    return replace(worst, chance=min(1.0, len(asked) * worst.chance), part=part, choices=len(asked))


def _sign(differences: Sequence[tuple[float, float]], least: float = 0.0) -> Sign | None:
    """(difference, unit) of each trial: how many exceed MARGIN of their unit, and `least`."""
    if len(differences) < FEWEST:
        return None
    many = sum(d > max(MARGIN * unit, least) for d, unit in differences)
    return Sign(many, len(differences), _size(differences), _at_least(many, len(differences)))


def _less(differences: Sequence[tuple[float, float]]) -> Sign | None:
    """How many do not reach MARGIN of their unit."""
    if len(differences) < FEWEST:
        return None
    many = sum(d < MARGIN * unit for d, unit in differences)
    return Sign(many, len(differences), _size(differences), _at_least(many, len(differences)))


def _size(differences: Sequence[tuple[float, float]]) -> float:
    return median(d / unit if unit else 0.0 for d, unit in differences)


@lru_cache(maxsize=128)
def _at_least(many: int, of: int) -> float:
    """The chance of at least `many` heads in `of` throws of a fair coin."""
    return sum(math.comb(of, k) for k in range(many, of + 1)) / 2**of
