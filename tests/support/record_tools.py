"""Journals written event by event, for tests of the copy in MLflow."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

from support.questions import opened
from support.recorded import RecordedStudy, recorded_study
from tuner_tui.record.plan import mlflow_status
from tuner_tui.record.uri import tracking_uri
from tuner_tui.search.search import Limits
from tuner_tui.study.events import (
    StudyClosed,
    TrialConfirmed,
    TrialEnded,
    TrialMeasured,
    TrialSampled,
    TrialStarted,
)
from tuner_tui.study.folder import StudyFolder
from tuner_tui.study.journal import JournalWriter
from tuner_tui.study.outcomes import Reason, judge

LOSS = "loss/valid"
START = 1_700_000_000.0


class Diary:
    """A study's folder and its journal, with a clock of its own."""

    def __init__(self, root: Path, name: str = "sweep-1", start: float = START) -> None:
        self.folder = StudyFolder(root / name)
        self.folder.path.mkdir(parents=True, exist_ok=True)
        self._clock = itertools.count(start, 0.25)
        self._journal = JournalWriter(self.folder.journal)

    def now(self) -> float:
        return next(self._clock)

    def open(
        self, *, trials: int = 10, resumed: bool = False, commit: str | None = "a" * 40, limits: Limits = Limits(),
    ) -> Diary:  # fmt: skip
        event = opened(
            self.now(), self.folder.name, objective=LOSS, trials=trials, seed=7, host="box", resumed=resumed,
            git_commit=commit, versions={"torch": "2.9"}, limits=limits,
        )  # fmt: skip
        self._journal.append([event])
        return self

    def start(self, trial: int, params: dict[str, Any] | None = None) -> Diary:
        params = {"lr": 0.01 * trial} if params is None else params
        self._journal.append([TrialStarted(self.now(), trial, params, seed=1000 + trial, device="cuda:0")])
        return self

    def measure(self, trial: int, step: int, loss: float | None = None, **values: float) -> Diary:
        taken = values if loss is None else {LOSS: loss, **values}
        self._journal.append([TrialMeasured(self.now(), trial, step, taken)])
        return self

    def sample(self, trial: int, step: int, **values: float) -> Diary:
        named = {f"system/{name}": value for name, value in values.items()}
        self._journal.append([TrialSampled(self.now(), trial, step, named)])
        return self

    def end(
        self, trial: int, reason: Reason | None = None, *, finite: bool = True, message: str = ""
    ) -> Diary:
        self._journal.append([TrialEnded(self.now(), trial, judge(reason, finite), reason, message)])
        return self

    def confirm(self, trial: int, study: str, runs: int, *losses: float) -> Diary:
        self._journal.append([TrialConfirmed(self.now(), trial, study, runs, losses)])
        return self

    def close(self, why: str = "completed") -> Diary:
        self._journal.append([StudyClosed(self.now(), why)])
        return self

    def trial(self, number: int, losses: int = 3) -> Diary:
        """A whole trial that finished."""
        self.start(number)
        for step in range(losses):
            self.measure(number, step, 1.0 / (number + step + 1))
        return self.end(number)


def read(diary: Diary, uri: str | None = None) -> RecordedStudy:
    found = recorded_study(uri or uri_of(diary), diary.folder.name, diary.folder.path.parent)
    assert found is not None
    return found


def uri_of(diary: Diary) -> str:
    return tracking_uri(diary.folder.path.parent, f"sqlite:///{diary.folder.path.parent / 'mlflow.db'}")


def history(uri: str, run_id: str, key: str) -> list[tuple[int, float, int]]:
    """(step, value, ms) of every row MLflow has, by step and time."""
    from mlflow.tracking import MlflowClient

    rows = MlflowClient(uri).get_metric_history(run_id, key)
    return sorted((row.step, row.value, row.timestamp) for row in rows)


def assert_agrees(diary: Diary, uri: str | None = None, *, rows: bool = True) -> None:
    """MLflow and the journal tell the same of every trial: none lost, none doubled, none left RUNNING."""
    uri = uri or uri_of(diary)
    snapshot = diary.folder.snapshot()
    trials = read(diary, uri).trials
    recorded = {trial.number: trial for trial in trials}
    assert [trial.number for trial in trials] == sorted(snapshot.trials)
    for number, trial in snapshot.trials.items():
        copy = recorded[number]
        assert copy.params == {name: str(value) for name, value in trial.params.items()}
        assert copy.started_ms == round(trial.started_at * 1000)
        if trial.outcome is None:
            assert copy.status == "RUNNING"
            continue
        assert copy.status == mlflow_status(trial.outcome, trial.reason)
        assert copy.outcome == trial.outcome and copy.reason == trial.reason
        assert copy.value == trial.value
        assert copy.ended_ms == round((trial.ended_at or 0) * 1000)
        if rows:
            stored = [(step, value) for step, value, _ in history(uri, copy.run_id, LOSS)]
            assert stored == sorted(trial.curve)
