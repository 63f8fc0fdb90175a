"""What MLflow has recorded of a study, as plain values: for checking the copy against the journal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tuner_tui.record.names import RENAMED
from tuner_tui.record.opening import open_client, prepare_environment
from tuner_tui.record.store import PAGE


@dataclass(frozen=True)
class RecordedTrial:
    """One trial as MLflow has it."""

    number: int
    run_id: str
    status: str  # MLflow's: RUNNING, FINISHED, FAILED, KILLED
    outcome: str | None  # None while it runs
    reason: str | None
    value: float | None  # the last finite objective
    sortable: float | None  # the same, as a metric
    params: Mapping[str, str]  # under the names the search gave them
    metrics: Mapping[str, float]  # the last reading of each, under the names the target gave them
    tags: Mapping[str, str]
    started_ms: int
    ended_ms: int | None


@dataclass(frozen=True)
class RecordedStudy:
    """A study as MLflow has it: its parent run and its trials."""

    run_id: str  # of the parent run
    experiment_id: str
    status: str
    tags: Mapping[str, str]
    metrics: Mapping[str, float]
    trials: list[RecordedTrial] = field(default_factory=list)  # by number; a double would show as two


def recorded_study(uri: str, study: str, root: Path = Path("mlruns")) -> RecordedStudy | None:
    """The study of this name that began last; None when MLflow has none. Raises `errors.Away`."""
    prepare_environment()
    client = open_client(uri, root)
    experiment = client.get_experiment_by_name(study)
    if experiment is None:
        return None
    parents = list(_search(client, experiment.experiment_id, f"tags.`tuner.study` = '{study}'", parents=True))
    if not parents:
        return None
    parent = max(parents, key=lambda run: run.info.start_time)
    children = _search(
        client, experiment.experiment_id, f"tags.`mlflow.parentRunId` = '{parent.info.run_id}'"
    )
    trials = [_trial(run) for run in children if "tuner.trial" in run.data.tags]
    return RecordedStudy(
        run_id=parent.info.run_id, experiment_id=experiment.experiment_id, status=parent.info.status,
        tags=parent.data.tags, metrics=parent.data.metrics,
        trials=sorted(trials, key=lambda trial: trial.number),
    )  # fmt: skip


def recorded(uri: str, study: str, root: Path = Path("mlruns")) -> list[RecordedTrial]:
    """All trials MLflow has of the study, by number."""
    found = recorded_study(uri, study, root)
    return found.trials if found else []


def _search(client: Any, experiment_id: str, condition: str, *, parents: bool = False):
    token = None
    while True:  # a search without a page token stops silently at 1000 runs
        page = client.search_runs([experiment_id], condition, max_results=PAGE, page_token=token)
        yield from (run for run in page if not (parents and "mlflow.parentRunId" in run.data.tags))
        token = page.token
        if not token:
            return


def _trial(run: Any) -> RecordedTrial:
    tags = run.data.tags
    original = {key.removeprefix(RENAMED): value for key, value in tags.items() if key.startswith(RENAMED)}
    value = tags.get("tuner.value") or None
    return RecordedTrial(
        number=int(tags["tuner.trial"]), run_id=run.info.run_id, status=run.info.status,
        outcome=tags.get("tuner.outcome") or None, reason=tags.get("tuner.reason") or None,
        value=None if value is None else float(value),
        params={original.get(key, key): text for key, text in run.data.params.items()},
        metrics={
            original.get(key, key): number for key, number in run.data.metrics.items() if key != "tuner.value"
        },
        sortable=run.data.metrics.get("tuner.value"), tags=tags,
        started_ms=run.info.start_time, ended_ms=run.info.end_time,
    )  # fmt: skip
