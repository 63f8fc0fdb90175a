"""In which parameters trials differ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..study.snapshot import Snapshot, Trial

_ABSENT = object()


def differing(snapshot: Snapshot, trials: Sequence[Trial]) -> tuple[str, ...]:
    """The names whose values are not the same in all of the trials, in the order of the search file."""
    names = dict.fromkeys((*snapshot.space.names, *(name for trial in trials for name in trial.params)))
    return tuple(
        name
        for name in names
        if any(_differ(trials[0].params.get(name, _ABSENT), t.params.get(name, _ABSENT)) for t in trials[1:])
    )


def _differ(one: Any, other: Any) -> bool:
    return one != other or isinstance(one, bool) != isinstance(other, bool)


def settings(trial: Trial, spell: Any) -> str:
    """The trial's parameters as options of `tuner sweep`, quoted for a shell: `--set lr=0.01 --set kind=conv`."""
    from shlex import quote

    return " ".join(f"--set {quote(f'{name}={spell(value)}')}" for name, value in trial.params.items())
