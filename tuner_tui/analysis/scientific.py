"""Which value of a scientific hyperparameter is better once the others are tuned for it.

The best trial of each value is no fair comparison: who was drawn more often has the better best. In a random search
the trials of one value are themselves a random search over everything else, so each value has a tuning curve of its
own (Dodge et al. 2019), and values are compared after the same number of trials, `budget`: how often the best of so
many trials of one beats the best of so many of the other. Trials that did not finish count as the worst, as there.

Whether that can be told from chance: random draws are exchangeable where the hyperparameter has no effect, so p is
the part of all assignments of its values to the trials in which one beats the other as clearly, from seeded
ones. It is multiplied by the number of all pairs of values (Bonferroni), because the best one was chosen among them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..search.search import RATE_FINDER
from ..search.space import SCIENTIFIC, Choice, Hyperparameter, frozen
from ..study.outcomes import Outcome
from ..study.snapshot import Snapshot, Trial
from .draws import Obstacle, counted, obstacle_of
from .tuning_curve import Point, curve
from .two_groups import Array

LEVEL = 0.05  # the chance that any pair is told apart where none differs
FEWEST = 12  # trials of a value: a budget of 3
SHARE = 4  # of the trials of the rarest value: the best of so many is known from four such searches
MOST_VALUES = 6  # a number with more is cut into PARTS of as many trials
PARTS = 3
DRAWS = 1_999  # the least p is 1/2,000: below LEVEL shared among 15 pairs of six values
FEWEST_DRAWS = (
    499  # the least p is 1/500, which is below that too; for thousands of trials, which take long to deal
)
CELLS = 1_000_000  # labels dealt for one pair, beyond which there are fewer draws
SEED = 20170501  # any constant: the same study must get the same answer twice


@dataclass(frozen=True)
class Arm:
    """One value, or a range of a number from `low` to `high`, and what the best of `budget` trials of it reach."""

    low: Any
    high: Any  # the same as `low` for a value
    trials: int
    failed: int
    point: Point  # of its tuning curve, at the budget, with its 95 % band


@dataclass(frozen=True)
class Comparison:
    """A value against the best one: how often the best one's best of `budget` beats it, ties counted half."""

    arm: Arm
    beaten: float
    corrected: float  # the chance of so clear a difference, over all pairs of the study

    @property
    def told(self) -> bool:
        """Whether it can be told from chance."""
        return self.corrected <= LEVEL


@dataclass(frozen=True)
class Question:
    """One scientific hyperparameter. `best` has the best median at the budget; `too_few`: values left out."""

    name: str
    budget: int
    best: Arm | None  # None where fewer than two values have FEWEST trials
    others: tuple[Comparison, ...]
    too_few: tuple[Any, ...]


def scientific(snapshot: Snapshot) -> tuple[Question, ...] | Obstacle | None:
    """None where the search file gives no hyperparameter the role."""
    asked = [h for h in snapshot.search.space if h.role == SCIENTIFIC]
    if not asked or snapshot.search.kind == RATE_FINDER:
        return None
    if obstacle := obstacle_of(snapshot):
        return obstacle
    trials = counted(snapshot)
    found = [_question(h, trials, snapshot.search.sign) for h in asked]
    pairs = sum(math.comb(len(question.others) + 1, 2) for question in found)

    def corrected(comparison: Comparison) -> Comparison:
        return replace(comparison, corrected=min(1.0, pairs * comparison.corrected))

    return tuple(replace(question, others=tuple(map(corrected, question.others))) for question in found)


def _question(h: Hyperparameter, trials: Sequence[Trial], sign: int) -> Question:
    having = [t for t in trials if h.name in t.params]
    arms: list[tuple[Any, Any, list[float]]] = []
    too_few: list[Any] = []
    for low, high, members in _arms(h, having):
        if len(members) < FEWEST:
            too_few.append(low)
        else:
            arms.append((low, high, sorted(_score(trial, sign) for trial in members)))
    if len(arms) < 2:
        return Question(h.name, 0, None, (), tuple(too_few))
    budget = min(len(scores) for *_, scores in arms) // SHARE
    made = [
        (Arm(low, high, len(scores), sum(map(math.isinf, scores)), _at(scores, sign, budget)), scores)
        for low, high, scores in arms
    ]
    made.sort(key=lambda pair: (sign * pair[0].point.median, pair[0].failed / pair[0].trials))
    (best, scores), *rest = made
    others = tuple(Comparison(arm, *beats(scores, of, budget)) for arm, of in rest)
    return Question(h.name, budget, best, others, tuple(too_few))


def _arms(h: Hyperparameter, trials: Sequence[Trial]) -> list[tuple[Any, Any, list[Trial]]]:
    """(low, high, trials) of each option in the file's order, of each number where there are few, or of each part."""
    if isinstance(h.distribution, Choice):
        by_option: dict[str, tuple[Any, list[Trial]]] = {repr(o): (o, []) for o in h.distribution.options}
        for trial in trials:
            value = frozen(trial.params[h.name])
            by_option.setdefault(repr(value), (value, []))[1].append(trial)
        return [(value, value, members) for value, members in by_option.values()]
    numbered = sorted(
        ((t.params[h.name], t.number, t) for t in trials if isinstance(t.params[h.name], int | float)),
        key=lambda item: item[:2],
    )
    values = sorted({value for value, *_ in numbered})
    if len(values) <= MOST_VALUES:
        return [(value, value, [t for v, _, t in numbered if v == value]) for value in values]
    edges = [numbered[len(numbered) * part // PARTS][0] for part in range(1, PARTS)]
    parts = [
        [item for item in numbered if sum(item[0] >= edge for edge in edges) == part] for part in range(PARTS)
    ]
    return [(part[0][0], part[-1][0], [t for *_, t in part]) for part in parts if part]


def _score(trial: Trial, sign: int) -> float:
    """Smaller is better; infinite for one that did not finish."""
    finished = trial.outcome is Outcome.FINISHED and trial.value is not None
    return sign * trial.value if finished and trial.value is not None else math.inf


def _at(scores: Sequence[float], sign: int, budget: int) -> Point:
    return next(point for point in curve(scores, sign) if point.trials >= budget)


def beats(one: Sequence[float], other: Sequence[float], budget: int) -> tuple[float, float]:
    """(how often the best of `budget` of `one` beats that of `other`, p two-sided). Ties count half."""
    pooled = np.array([*one, *other])
    order = np.argsort(pooled, kind="stable")
    ends = np.flatnonzero(
        np.append(np.diff(_finite(pooled[order])) != 0, True)
    )  # the last place of each value
    of_one = (np.arange(len(pooled)) < len(one))[order]
    found = float(_chance(of_one[None, :], ends, budget)[0])
    rng = np.random.default_rng((SEED, len(one), len(other)))
    draws = min(DRAWS, max(FEWEST_DRAWS, CELLS // len(pooled)))
    rows = max(1, CELLS // len(pooled))  # at once: 8 MB
    chances = np.concatenate([
        _chance(rng.permuted(np.tile(of_one, (min(rows, draws - at), 1)), axis=1), ends, budget)
        for at in range(0, draws, rows)
    ])  # fmt: skip
    middle = float(np.median(chances))  # one half only where both have as many trials
    drawn = int(np.count_nonzero(np.abs(chances - middle) >= abs(found - middle) - 1e-9))
    return found, (1 + drawn) / (1 + draws)


def _finite(scores: Array) -> Array:
    """inf - inf is no number: the failed get a place behind all others."""
    finite = scores[np.isfinite(scores)]
    return np.where(np.isfinite(scores), scores, (finite.max() + 1.0) if len(finite) else 0.0)


def _chance(of_one: Array, ends: Array, budget: int) -> Array:
    """For each row of labels: P(best of one < best of other) + P(equal) / 2, with draws from the shares."""
    places = of_one.shape[1]
    sizes = of_one[0].sum()
    ones = np.cumsum(of_one, axis=1)[:, ends]
    left_one = (1 - ones / sizes) ** budget  # the chance that no draw of one is so good
    left_other = (1 - (ends + 1 - ones) / (places - sizes)) ** budget
    here = -np.diff(left_one, axis=1, prepend=1.0)
    there = -np.diff(left_other, axis=1, prepend=1.0)
    return (here * (left_other + there / 2)).sum(axis=1)
