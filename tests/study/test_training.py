"""Which measurement is the training's twin of the objective, and that it is folded into the trial."""

from __future__ import annotations

import pytest
from support import studies

from tuner_tui.study.events import TrialMeasured, TrialRetried
from tuner_tui.study.snapshot import Snapshot, fold_all
from tuner_tui.study.training import twins


@pytest.mark.parametrize(
    ("objective", "twin"),
    [
        ("loss/valid", "loss/train"),
        ("val_loss", "train_loss"),
        ("val_loss", "loss"),
        ("eval_loss", "loss"),
        ("validation/acc", "train/acc"),
        ("test accuracy", "train accuracy"),
        ("metrics.val.loss", "metrics.train.loss"),
        ("loss", "train_loss"),
        ("loss", "loss/train"),
    ],
)
def test_twins(objective, twin):
    assert twin in twins(objective) and objective not in twins(objective)


def test_a_training_objective_has_no_twin():
    assert twins("train/loss") == twins("loss/train") == ()


def test_it_is_folded_beside_the_curve_and_forgotten_by_a_retry():
    made = [studies.Made({}, (3.0, 2.0, 1.0), running=True, extra={"loss/train": 0.5, "other": 1.0})]
    events = studies.events_of(studies.SMALL_SPACE, made)
    snapshot = fold_all(Snapshot(), events)
    assert snapshot.trials[0].training == (0.5, 0.5, 0.5)
    assert fold_all(snapshot, events).trials[0].training == (0.5, 0.5, 0.5)  # repeats change nothing
    at = max(event.at for event in events if isinstance(event, TrialMeasured))
    retried = fold_all(snapshot, [TrialRetried(at + 1.0, 0, "signal", "killed")])
    assert retried.trials[0].training == ()
