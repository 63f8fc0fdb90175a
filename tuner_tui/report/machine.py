"""The report that scripts read: JSON.

The JSON is strict (no NaN, no Infinity) and its shape is a promise. `format` grows when a script that reads an
older report would misread a newer one; fields may be added without that:

    {format, study, search, objective, direction, seed, sampler, sampler_options, pruner, pruner_options, git_commit,
     versions, started, seconds,
     counts: {finished, unfinished, no_start, before}, best: {number, value, params} | null,
     trials: [{number, outcome, reason, message, value, metrics, params, seed, steps, seconds, source}]}

Trials from before the study (`tuner sweep --from`) have the study that ran them as their `source`, and are counted as
`before` and nowhere else.

`value` is null where a trial never had a finite loss, `reason` for a finished trial; `outcome`, `reason` and
`seconds` for one that still ran. `metrics` are the last readings.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..analysis.pace import elapsed, trial_seconds
from ..search.search import UNKNOWN
from ..study.events import decode_number, encode_number
from ..study.outcomes import Outcome
from ..study.snapshot import Snapshot, Trial
from ..study.state import State
from .atomic import write_text

FORMAT = 1


def to_json(snapshot: Snapshot) -> dict[str, Any]:
    """The report as values that strict JSON can hold; trials in the order of their numbers."""
    counts, best, search = snapshot.counts, snapshot.best, snapshot.search
    return {
        "format": FORMAT,
        "study": snapshot.study,
        "search": search.name,
        "objective": search.objective,
        "direction": search.direction,
        "seed": search.seed,
        "sampler": search.sampler,
        "sampler_options": dict(search.sampler_options),
        "pruner": search.pruner,
        "pruner_options": dict(search.pruner_options),
        "git_commit": snapshot.git_commit,
        "versions": dict(snapshot.versions),
        "started": snapshot.opened_at,
        "seconds": _rounded(elapsed(snapshot, State.DONE, 0.0)),
        "counts": {
            "finished": counts.finished,
            "unfinished": counts.unfinished,
            "no_start": counts.no_start,
            "before": counts.before,
        },
        "best": None
        if best is None
        else {"number": best.number, "value": best.value, "params": _strict(best.params)},
        "trials": [_trial(t) for t in sorted(snapshot.trials.values(), key=lambda t: t.number)],
    }


def write_json(snapshot: Snapshot, path: Path | str) -> None:
    """Raises ReportNotWritten."""
    write_text(path, json.dumps(to_json(snapshot), indent=2, allow_nan=False, ensure_ascii=False) + "\n")


def from_json(report: Mapping[str, Any]) -> Snapshot:
    """As much of the study as its report tells: ends, values, metrics, times, parameters.

    Raises ValueError with a sentence for what is no such report.
    """
    if report.get("format") != FORMAT:
        found = report.get("format", "none")
        raise ValueError(f"not a report of this version: its format is {found}, not {FORMAT}; write it again")
    search = {key: report[key] for key in ("objective", "direction", "seed", "sampler")} | {
        "name": report["search"]
    }
    began = float(report["started"] or 0.0)
    trials = {record["number"]: _read_trial(record, began) for record in report["trials"]}
    seconds = report["seconds"]
    return Snapshot(
        study=report["study"],
        search=UNKNOWN.from_json(UNKNOWN.to_json() | search),
        trials=trials,
        planned=sum(not trial.source for trial in trials.values()),
        opened_at=None if seconds is None else began,
        closed_at=None if seconds is None else began + seconds,
        git_commit=report["git_commit"],
        versions=report["versions"],
    )


def _trial(trial: Trial) -> dict[str, Any]:
    return {
        "number": trial.number,
        "outcome": None if trial.outcome is None else str(trial.outcome),
        "reason": None if trial.reason is None else str(trial.reason),
        "message": trial.message,
        "value": trial.value if trial.value is None or math.isfinite(trial.value) else None,
        "metrics": _strict(dict(trial.latest)),
        "params": _strict(trial.params),
        "seed": trial.seed,
        "steps": trial.steps,
        "seconds": _rounded(trial_seconds(trial)),
        "source": trial.source or None,
    }


def _read_trial(record: Mapping[str, Any], began: float) -> Trial:
    return Trial(
        number=record["number"],
        params=record["params"],
        seed=record["seed"],
        started_at=began,
        ended_at=None if record["seconds"] is None else began + record["seconds"],
        outcome=None if record["outcome"] is None else Outcome(record["outcome"]),
        reason=record["reason"],
        message=record["message"],
        value=record["value"],
        latest={name: decode_number(value) for name, value in record["metrics"].items()},
        steps=record["steps"],
        source=record.get("source") or "",
    )


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)


def _strict(value: Any) -> Any:
    """A value with numbers that JSON lacks spelled as in the journal: "nan", "inf", "-inf"."""
    if isinstance(value, float):
        return encode_number(value)
    if isinstance(value, dict):
        return {str(key): _strict(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_strict(item) for item in value]
    return value
