"""The report that scripts read: JSON.

The JSON is strict (no NaN, no Infinity) and its shape is a promise:

    {study, counts: {finished, unfinished, no_start}, best: {number, value, params} | null,
     trials: [{number, outcome, reason, message, value, params, steps, seconds}]}

`value` is null where a trial never had a finite loss, `reason` for a finished trial; `outcome`, `reason` and
`seconds` for one that still ran.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from ..analysis.pace import trial_seconds
from ..study.events import encode_number
from ..study.snapshot import Snapshot, Trial
from .atomic import write_text


def to_json(snapshot: Snapshot) -> dict[str, Any]:
    """The report as values that strict JSON can hold; trials in the order of their numbers."""
    counts, best = snapshot.counts, snapshot.best
    return {
        "study": snapshot.study,
        "counts": {
            "finished": counts.finished,
            "unfinished": counts.unfinished,
            "no_start": counts.no_start,
        },
        "best": None
        if best is None
        else {"number": best.number, "value": best.value, "params": _strict(best.params)},
        "trials": [_trial(t) for t in sorted(snapshot.trials.values(), key=lambda t: t.number)],
    }


def write_json(snapshot: Snapshot, path: Path | str) -> None:
    """Raises ReportNotWritten."""
    write_text(path, json.dumps(to_json(snapshot), indent=2, allow_nan=False, ensure_ascii=False) + "\n")


def _trial(trial: Trial) -> dict[str, Any]:
    seconds = trial_seconds(trial)
    return {
        "number": trial.number,
        "outcome": None if trial.outcome is None else str(trial.outcome),
        "reason": None if trial.reason is None else str(trial.reason),
        "message": trial.message,
        "value": trial.value if trial.value is None or math.isfinite(trial.value) else None,
        "params": _strict(trial.params),
        "steps": trial.steps,
        "seconds": None if seconds is None else round(seconds, 3),
    }


def _strict(value: Any) -> Any:
    """A parameter's value with numbers that JSON lacks spelled as in the journal: "nan", "inf", "-inf"."""
    if isinstance(value, float):
        return encode_number(value)
    if isinstance(value, dict):
        return {str(key): _strict(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_strict(item) for item in value]
    return value
