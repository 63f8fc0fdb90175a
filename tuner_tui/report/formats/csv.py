"""One row for each trial, for spreadsheets and data frames: how it ended, its value, its parameters."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from ...analysis.pace import trial_seconds
from ...sources.source import Files
from ...study.snapshot import Snapshot
from ..atomic import write_text

COLUMNS = ("number", "outcome", "reason", "value", "steps", "seconds", "device", "seed", "message", "source")


def write(snapshot: Snapshot, path: Path, files: Files | None) -> None:
    """Raises ReportNotWritten."""
    trials = sorted(snapshot.trials.values(), key=lambda trial: trial.number)
    names = dict.fromkeys([*snapshot.space.names, *(name for trial in trials for name in trial.params)])
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow([*COLUMNS, *(f"params.{name}" for name in names)])
    for trial in trials:
        seconds = trial_seconds(trial)
        rows.writerow([
            trial.number, trial.outcome, trial.reason, trial.value, trial.steps,
            None if seconds is None else round(seconds, 3), trial.device, trial.seed, trial.message, trial.source,
            *(trial.params.get(name) for name in names),
        ])  # fmt: skip
    write_text(path, text.getvalue())
