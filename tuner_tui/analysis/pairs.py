"""Which two hyperparameters matter together, beyond what each explains alone.

The ranks of the finished losses are freed of what each hyperparameter explains by itself. Of what is left, a pair
explains what lies between the cells of a grid, SIDE groups of one by SIDE of the other, beyond their margins. The
best of all pairs is compared with the best of all pairs when what is left is dealt to the trials at random
(Freedman & Lane, A nonstochastic interpretation of reported significance levels, J. Business & Economic
Statistics 1 (1983)), so that looking at many pairs makes no false alarm.

It is about ranks: where two effects add up in the loss, a grid of ranks may still bend at its ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from ..search.space import Choice, Hyperparameter
from ..study.snapshot import Trial
from .effect import groups, mean_ranks
from .two_groups import Array

FEWEST = 60  # finished trials: six or seven in a cell
SIDE = 3  # groups of a number
MOST_OPTIONS = 4  # of a choice: more make cells of single trials
LEVEL = 0.05  # the chance that any pair is named where none matters together
LEAST = 0.02  # share: two effects that add up in the loss bend a grid of ranks by up to 1 %, measured
DRAWS = 499  # the least p is 1/500
SWEEPS = (
    2  # over all hyperparameters: they are drawn independently, so what each explains alone settles at once
)
WORK = 8e8  # multiplications: about a second. With more, the first trials are taken, as good a sample as any
SEED = 20170501  # any constant: the same study must get the same answer twice


@dataclass(frozen=True)
class Pair:
    """The two that explain most together.

    `share`, 0 to 1, of the differences in rank, beyond what each explains alone; `by_chance`: what the best pair
    exceeds by chance in one of 20 studies.
    """

    names: tuple[str, str]
    share: float
    by_chance: float
    p: float

    @property
    def told(self) -> bool:
        """Whether it can be told from chance, and is worth a look."""
        return self.p <= LEVEL and self.share >= LEAST


def best_pair(space: Sequence[Hyperparameter], finished: Sequence[Trial]) -> Pair | None:
    """`finished`: independent draws with a value. None where too few of them, or of hyperparameters that all have."""
    varied = [
        (h, [t.params[h.name] for t in finished])
        for h in space
        if not h.when and all(h.name in t.params for t in finished)
    ]
    coarse = {h.name: found for h, values in varied if (found := _coarse(h, values)) is not None}
    pairs = list(combinations(coarse, 2))
    if not pairs or len(finished) < FEWEST:
        return None
    n = min(len(finished), int(WORK / DRAWS / (len(pairs) * SIDE**2)))
    ranks = np.array(mean_ranks([t.value for t in finished[:n] if t.value is not None]))
    total = float(((ranks - ranks.mean()) ** 2).sum())
    if n < FEWEST or not total:
        return None
    singles = [_marks(np.array(groups(h, values[:n]))) for h, values in varied]
    left = _without_single_effects((ranks - ranks.mean())[None, :], singles)
    coarse = {name: members[:n] for name, members in coarse.items()}
    dealt = np.random.default_rng((SEED, n)).permuted(np.tile(left, (DRAWS, 1)), axis=1)
    dealt = _without_single_effects(dealt, singles)
    length = float(np.linalg.norm(left))
    if not length:
        return None
    # What was dealt and freed of single effects once more has become smaller than what is left.
    dealt *= length / np.maximum(np.linalg.norm(dealt, axis=1, keepdims=True), 1e-300)
    rows = np.vstack((left, dealt))
    margins = {name: _between(rows, members) for name, members in coarse.items()}
    found = np.stack(
        [
            _between(rows, coarse[a] * (coarse[b].max() + 1) + coarse[b]) - margins[a] - margins[b]
            for a, b in pairs
        ]
    )  # [pairs, 1 + DRAWS]
    best = int(found[:, 0].argmax())
    most = found[:, 1:].max(axis=0)
    expected = float(found[best, 1:].mean())
    return Pair(
        pairs[best],
        max(0.0, (float(found[best, 0]) - expected) / total),
        max(0.0, (float(np.quantile(most, 1 - LEVEL)) - expected) / total),
        (1 + int(np.count_nonzero(most >= found[best, 0] - 1e-9 * total))) / (1 + DRAWS),
    )


def _coarse(h: Hyperparameter, values: Sequence[Any]) -> Array | None:
    """The group of each value, from 0: options, or SIDE groups by size. None where there are too many or one."""
    if isinstance(h.distribution, Choice):
        members = np.array(groups(h, values))
        return members if 0 < members.max(initial=0) < MOST_OPTIONS else None
    numbers = [float(v) if isinstance(v, (int, float)) else 0.0 for v in values]
    members = np.array([int((rank - 0.5) / len(numbers) * SIDE) for rank in mean_ranks(numbers)])
    members = np.unique(members, return_inverse=True)[1]
    return members if members.max(initial=0) > 0 else None


def _without_single_effects(rows: Array, singles: Sequence[Array]) -> Array:
    """What is left of each row when the mean of each group of each hyperparameter is taken away, in turns."""
    for _ in range(SWEEPS):
        for marks in singles:
            rows = rows - (rows @ marks) @ marks.T
    return rows


def _between(rows: Array, members: Array) -> Array:
    """The sum of squares between the groups, of each row."""
    return ((rows @ _marks(members)) ** 2).sum(axis=1)


def _marks(members: Array) -> Array:
    """[trials, groups], with columns of length 1."""
    cells, which, counts = np.unique(members, return_inverse=True, return_counts=True)
    marks = np.zeros((len(members), len(cells)))
    marks[np.arange(len(members)), which] = 1 / np.sqrt(counts)[which]
    return marks
