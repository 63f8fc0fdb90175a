"""A sweep of thirty trials, a third of them sabotaged, and the check that MLflow tells the same of each."""

from __future__ import annotations

from tuner_tui.record.plan import mlflow_status
from tuner_tui.study.folder import StudyFolder

SEARCH = """
name = "story"
target = "ways_to_end:fated"
trials = 30
parallel = 2
seed = 2
[space.optimizer]
x = { log = [0.1, 10.0] }
[space.model]
fate = { int = [0, 29] }
[limits]
trial_seconds = 8
grace_seconds = 0.5
memory_gb = 0.3
"""


def agrees_with_mlflow(folder: StudyFolder, uri: str) -> None:
    """Every trial of the journal has one run in MLflow, which tells the same of it."""
    from support.recorded import recorded_study

    trials = folder.snapshot().trials
    recorded = recorded_study(uri, folder.name, folder.path.parent)
    assert recorded is not None and recorded.status == "FINISHED"
    assert [run.number for run in recorded.trials] == sorted(trials)
    for run in recorded.trials:
        trial = trials[run.number]
        assert trial.outcome is not None
        assert run.status == mlflow_status(trial.outcome, trial.reason)
        assert (run.outcome, run.reason) == (trial.outcome, trial.reason)
        assert run.value == trial.value
