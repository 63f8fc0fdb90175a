"""What the publisher writes, read back as a study: nothing that matters is lost on the way."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from support.patience import PATIENCE_S
from support.record_tools import Diary, uri_of

from tuner_tui.record.publisher import publish
from tuner_tui.sources import find_source, studies_at
from tuner_tui.sources.source import Wanted
from tuner_tui.study.outcomes import Reason

pytestmark = pytest.mark.xdist_group("mlflow-server")  # one server, however many workers


def every_end(root: Path) -> Diary:
    diary = Diary(root, "back-1").open(trials=20)
    for number, reason in enumerate([None, *Reason]):
        measured = number % 3 != 1
        diary.start(number, {"lr": 10.0 ** -(number + 1), "kind": "ab"[number % 2]})
        if measured:
            diary.measure(number, 5, 0.5 + number).measure(number, 6, 0.25 + number, accuracy=0.5)
        if reason is Reason.DIVERGED:
            diary.measure(number, 7, math.nan)
        diary.end(number, reason, finite=measured, message="" if reason is None else f"because: {reason}.")
    return diary.close()


@pytest.mark.parametrize("store", ["file", "server"])
def test_a_published_study_opened_from_mlflow_is_the_study(store, tmp_path, request):
    diary = every_end(tmp_path)
    uri = uri_of(diary) if store == "file" else request.getfixturevalue("server").uri
    assert publish(diary.folder, uri, patience=PATIENCE_S) == 0
    ours = diary.folder.snapshot()
    source = find_source(
        tmp_path, f"mlflow:{uri}", "back-1"
    )  # neither objective nor direction has to be said
    theirs = source.snapshot()
    assert (theirs.objective, theirs.direction) == (ours.objective, ours.direction)
    assert theirs.trials.keys() == ours.trials.keys()
    for number, trial in ours.trials.items():
        again = theirs.trials[number]
        for field in ("outcome", "reason", "message", "value", "seed", "device", "params", "exit_code"):
            assert getattr(again, field) == getattr(trial, field), (number, field)
        assert str(again.curve) == str(trial.curve)  # str: nan equals itself there
        assert again.latest.keys() == trial.latest.keys()
        assert again.ended_at == pytest.approx(trial.ended_at, abs=0.002)
    assert theirs.best is not None and ours.best is not None and theirs.best.number == ours.best.number
    inside = find_source(tmp_path, "mlflow:back-1", "back-1", Wanted(tracking_uri=uri))
    assert len(inside.snapshot().trials) == len(ours.trials)
    assert [s.name for s in studies_at("mlflow:back-1", tmp_path, Wanted(tracking_uri=uri))] == ["back-1"]


def test_one_of_several_studies_in_an_experiment(tmp_path):
    """As where an experiment was renamed, or holds the studies of a project."""
    from mlflow.tracking import MlflowClient

    diary = every_end(tmp_path)
    uri = uri_of(diary)
    assert publish(diary.folder, uri, patience=PATIENCE_S) == 0
    client = MlflowClient(uri)
    found = client.get_experiment_by_name("back-1")
    assert found is not None
    client.rename_experiment(found.experiment_id, "project")
    other = client.create_run(found.experiment_id, run_name="by hand")
    client.log_metric(other.info.run_id, "loss/valid", 0.125)
    client.set_terminated(other.info.run_id)
    wanted = Wanted(tracking_uri=uri)
    whole = find_source(tmp_path, "mlflow:project", None, wanted).snapshot()
    part = find_source(tmp_path, "mlflow:project", "back", wanted).snapshot()
    assert len(whole.trials) == len(part.trials) + 1 and part.study == "back-1"
    assert whole.best is not None and whole.best.value == 0.125
    assert part.best is not None and part.best.number == 0
