"""Which hyperparameters a study varies: the columns of its tables, in the order of the search file."""

from __future__ import annotations

from ..search.space import Choice, Distribution
from ..study.snapshot import Snapshot


def varied(snapshot: Snapshot) -> tuple[str, ...]:
    """Names of the hyperparameters that trials may differ in; as first met where the space is not known."""
    space = snapshot.space
    if not len(space):
        fixed = snapshot.search.fixed
        names = dict.fromkeys(name for trial in snapshot.trials.values() for name in trial.params)
        return tuple(name for name in names if name not in fixed)
    return tuple(h.name for h in space if not _constant(h.distribution))


def _constant(distribution: Distribution) -> bool:
    if isinstance(distribution, Choice):
        return len(distribution.options) < 2
    return distribution.low == distribution.high
