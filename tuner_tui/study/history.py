"""The trials of another study as the first events of a new one: what is known before its own trials start.

They keep their parameters, values, curves, ends and times, and say which study ran them (`TrialStarted.source`). They
are never run again. Samplers that learn are told them, plots show them with signs of their own, and counts name them
apart.
"""

from __future__ import annotations

from collections.abc import Iterator

from .events import Event, TrialEnded, TrialMeasured, TrialStarted
from .snapshot import Snapshot, Trial

_TICK_S = 1e-6  # between two readings of a trial: a snapshot keeps no time of each


def history(snapshot: Snapshot, address: str, objective: str) -> list[Event]:
    """The ended trials of a study, numbered from 0 in their order. Running ones are left out: nobody here would hear
    how they end.

    `address`: where they come from. `objective`: what the new study calls the loss.
    """
    ended = sorted((t for t in snapshot.trials.values() if not t.running), key=lambda t: t.number)
    return [
        event
        for number, trial in enumerate(ended)
        for event in _events(trial, number, trial.source or address, snapshot.objective, objective)
    ]


def _events(trial: Trial, number: int, source: str, theirs: str, objective: str) -> Iterator[Event]:
    at = trial.started_at
    yield TrialStarted(
        at, number, trial.params, trial.seed, device=trial.device, host=trial.host, source=source
    )
    others = {name: value for name, value in trial.latest.items() if name != theirs}
    readings = [(step, {objective: loss}) for step, loss in trial.curve]
    if readings:
        step, values = readings[-1]
        readings[-1] = step, others | values
    elif others:
        readings = [(trial.last_step or 0, others)]
    for step, values in readings:
        at += _TICK_S
        yield TrialMeasured(at, number, step, values)
    assert trial.outcome is not None
    ended_at = max(at + _TICK_S, trial.ended_at or 0.0)
    yield TrialEnded(ended_at, number, trial.outcome, trial.reason, trial.message, trial.exit_code)
