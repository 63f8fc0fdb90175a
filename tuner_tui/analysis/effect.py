"""How much of the differences between finished trials goes with each hyperparameter alone.

The losses are ranked, so that neither a log scale nor an outlier matters; the trials are put into groups by the value
of the hyperparameter; and the share of the ranks' variance that lies between the groups is taken, less what chance
alone would bring (epsilon squared: Kelley, An unbiased correlation ratio measure, PNAS 21 (1935)). 0: none that can
be told from chance; 1: the loss follows from this hyperparameter. It sees any shape, a V as well as a slope, but no
interplay of two hyperparameters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..search.space import Choice, Hyperparameter
from ..study.outcomes import Outcome
from ..study.snapshot import Snapshot

ENOUGH = 20  # finished trials with the hyperparameter; with fewer chance is all there is
MOST_GROUPS = 8  # of a number's values: a V shows, and each still has trials enough


def effects(snapshot: Snapshot) -> Mapping[str, float]:
    """Share, 0 to 1, for each hyperparameter; those with fewer than ENOUGH finished trials are left out."""
    finished = [t for t in snapshot.trials.values() if t.outcome is Outcome.FINISHED and t.value is not None]
    found: dict[str, float] = {}
    for hyperparameter in snapshot.space:
        name = hyperparameter.name
        having = [(t.params[name], t.value) for t in finished if name in t.params and t.value is not None]
        if len(having) < ENOUGH:
            continue
        values = [value for value, _ in having]
        found[name] = epsilon_squared(
            mean_ranks([loss for _, loss in having]), groups(hyperparameter, values)
        )
    return found


def groups(hyperparameter: Hyperparameter, values: Sequence[Any]) -> list[int]:
    """The group of each of its values, from 0: one for each option, or up to MOST_GROUPS from small to large."""
    return _by_option(values) if isinstance(hyperparameter.distribution, Choice) else _by_size(values)


def epsilon_squared(ranks: Sequence[float], groups: Sequence[int]) -> float:
    """The share of the variance of `ranks` between `groups` (a group's number for each), without chance's part."""
    share, k = between(ranks, groups)
    return without_chance(share, k, len(ranks)) if 1 < k < len(ranks) else 0.0


def between(ranks: Sequence[float], groups: Sequence[int]) -> tuple[float, int]:
    """The share of the variance of `ranks` between `groups` as it is, and how many groups there are."""
    mean = sum(ranks) / len(ranks)
    total = sum((rank - mean) ** 2 for rank in ranks)
    members: dict[int, list[float]] = {}
    for rank, group in zip(ranks, groups, strict=True):
        members.setdefault(group, []).append(rank)
    if not total:
        return 0.0, len(members)
    return sum(len(of) * (sum(of) / len(of) - mean) ** 2 for of in members.values()) / total, len(members)


def without_chance(share: float, groups: int, trials: int) -> float:
    """A share of the variance that lies between groups, less what chance alone would bring; at least 0."""
    return max(0.0, share - (groups - 1) * (1 - share) / (trials - groups))


def mean_ranks(values: Sequence[float]) -> list[float]:
    """Ranks from 1; equal values share the mean of theirs."""
    order = sorted(range(len(values)), key=values.__getitem__)
    ranks = [0.0] * len(values)
    start = 0
    while start < len(order):
        end = start
        while end < len(order) and values[order[end]] == values[order[start]]:
            end += 1
        for at in order[start:end]:
            ranks[at] = (start + end + 1) / 2
        start = end
    return ranks


def _by_option(values: Sequence[Any]) -> list[int]:
    seen: dict[str, int] = {}
    return [seen.setdefault(repr(value), len(seen)) for value in values]


def _by_size(values: Sequence[Any]) -> list[int]:
    numbers = [float(v) if isinstance(v, (int, float)) else 0.0 for v in values]
    if len(set(numbers)) <= MOST_GROUPS:
        return _by_option(numbers)
    return [int((rank - 0.5) / len(numbers) * MOST_GROUPS) for rank in mean_ranks(numbers)]
