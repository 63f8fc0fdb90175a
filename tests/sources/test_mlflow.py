"""Experiments of MLflow as studies: real stores, written by MLflow's own client as other people's programs do."""

from __future__ import annotations

import hashlib
import math
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from support import mlflow_runs
from support.mlflow_runs import Lab, copy_of
from support.patience import wait_until

from tuner_tui import open_study
from tuner_tui.headless import check_baseline, parse_conditions
from tuner_tui.launch import BadInput
from tuner_tui.search.search import UNKNOWN
from tuner_tui.search.space import Choice, Float, Int
from tuner_tui.sources import find_source, mlflow, studies_at
from tuner_tui.sources.background import Background
from tuner_tui.sources.source import SourceError, Wanted
from tuner_tui.study.outcomes import Outcome, Reason
from tuner_tui.study.snapshot import Snapshot, fold_all
from tuner_tui.study.state import State

pytestmark = pytest.mark.xdist_group("mlflow-stores")  # importing MLflow takes seconds in each worker
ROOT = Path("mlruns")
LOSS = Wanted("val_loss")


@pytest.fixture(scope="module")
def empty(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("store") / "empty.db"
    Lab(f"sqlite:///{path}", "nothing")
    return path


@pytest.fixture
def uri(empty, tmp_path) -> str:
    return copy_of(empty, tmp_path)


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest) -> str:
    if request.param == "sqlite":
        return request.getfixturevalue("uri")
    url = request.getfixturevalue("postgresql")
    import psycopg

    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute("CREATE DATABASE mlflow")  # Optuna's tables would be in the way
    return url.replace("/postgres?", "/mlflow?")


def read(uri: str, name: str = "digits", wanted: Wanted = LOSS) -> Snapshot:
    return find_source(ROOT, f"mlflow:{uri}", name, wanted).snapshot()


def test_every_way_to_end(place):
    mlflow_runs.every_end(place)
    source = find_source(ROOT, f"mlflow:{place}", "digits", LOSS)
    snapshot = source.snapshot()
    assert (source.name, snapshot.study, snapshot.objective, snapshot.direction) == (
        "digits", "digits", "val_loss", "minimize",
    )  # fmt: skip
    ends = {n: (t.outcome, t.reason, t.value) for n, t in snapshot.trials.items()}
    assert ends == {
        0: (Outcome.FINISHED, None, 0.5),
        1: (Outcome.NO_START, Reason.EXIT, None),
        2: (Outcome.UNFINISHED, Reason.EXCEPTION, 0.6),
        3: (Outcome.NO_START, Reason.EXCEPTION, None),
        4: (Outcome.UNFINISHED, Reason.STOPPED, 0.7),
        5: (Outcome.UNFINISHED, Reason.DIVERGED, 0.4),
        6: (Outcome.NO_START, Reason.DIVERGED, None),
        7: (Outcome.UNFINISHED, Reason.DIVERGED, 0.6),
        8: (Outcome.FINISHED, None, 0.2),
        9: (Outcome.UNFINISHED, Reason.INTERRUPTED, 0.65),
        10: (None, None, 0.55),
    }
    assert "ended without the metric val_loss; it has acc" in snapshot.trials[1].message
    assert "MLflow still says RUNNING, but it last logged at 20" in snapshot.trials[9].message
    assert snapshot.trials[0].curve == ((1, 0.9), (2, 0.5)) and snapshot.trials[0].latest["acc"] == 0.8
    assert (snapshot.counts.running, snapshot.counts.waiting) == (1, 1)
    assert source.state(snapshot) is State.RUNNING and source.files is None and source.desk is None
    space = {h.name: h.distribution for h in snapshot.search.space}
    assert space == {"depth": Int(2, 8), "kind": Choice(("conv", "mlp")), "lr": Float(1e-5, 0.1, log=True)}
    assert snapshot.search.space["depth"].when == (("kind", ("conv",)),)
    assert snapshot.trials[0].params == {"depth": 4, "kind": "conv", "lr": 0.001}
    curves = source.measurements(0)
    assert [(e.step, e.values) for e in curves if "val_loss" in e.values] == [
        (1, {"val_loss": 0.9}), (2, {"val_loss": 0.5}),
    ]  # fmt: skip
    assert sum("acc" in e.values for e in curves) == 1


def test_a_misspelt_objective_is_refused_with_the_metrics_there_are(uri):
    lab = mlflow_runs.every_end(uri)
    with pytest.raises(SourceError) as refused:
        read(uri, wanted=Wanted("val_los"))
    assert "no run has a metric 'val_los'; the metrics are val_loss (9 runs), acc (2 runs)" in str(
        refused.value
    )
    assert "did you mean val_loss?" in str(refused.value)
    with pytest.raises(SourceError, match=r"say which metric is the loss with --objective; its metrics are"):
        read(uri, wanted=Wanted())
    with pytest.raises(SourceError, match="write minimize or maximize"):
        read(uri, wanted=Wanted("acc", "up"))
    only = Lab(lab.uri, "only one")
    only.run([2.0], metric="score")
    assert read(uri, "only one", Wanted(direction="maximize")).objective == "score"


def test_it_is_followed_while_another_process_adds_runs(uri):
    lab = mlflow_runs.every_end(uri)
    source = find_source(ROOT, f"mlflow:{uri}", "dig", LOSS)
    snapshot, place = Snapshot(), None
    while (batch := source.events(place)).events:
        snapshot, place = fold_all(snapshot, batch.events), batch.place
    runs = {run.info.start_time: run.info.run_id for run in lab.client.search_runs([lab.id])}
    late, waiting = sorted(runs)[-2:]
    program = [sys.executable, mlflow_runs.__file__, uri, "digits", "3"]
    subprocess.run(program, check=True, cwd=Path(__file__).parents[1], env=None)
    lab.client.log_metric(runs[late], "val_loss", 0.4, step=2)
    lab.client.log_metric(runs[waiting], "val_loss", 0.45, step=1)
    lab.client.set_terminated(runs[waiting], "FINISHED")
    snapshot = fold_all(snapshot, source.events(place).events)
    assert snapshot.trials[10].curve == ((1, 0.55), (2, 0.4)) and snapshot.trials[10].running
    new = [snapshot.trials[n] for n in range(11, 15)]
    assert sorted(t.value or 0 for t in new) == pytest.approx([0.1, 0.2, 0.3, 0.45])
    assert all(t.outcome is Outcome.FINISHED for t in new)
    again = read(uri)
    assert {(t.outcome, t.value, str(t.curve)) for t in again.trials.values()} == {
        (t.outcome, t.value, str(t.curve)) for t in snapshot.trials.values()
    }


def test_a_thread_reads_it_for_the_screen(uri):
    lab = Lab(uri)
    run_id = lab.run([0.5], status="RUNNING", at=int(time.time() * 1000), acc=0.1)
    source = Background(find_source(ROOT, f"mlflow:{uri}", "digits", LOSS))
    wait_until(lambda: source.extent().size, "the thread has read")
    assert source.snapshot().counts.running == 1
    lab.client.set_terminated(run_id)
    wait_until(lambda: source.snapshot().counts.finished == 1, "the thread has seen the end")
    assert [e.values for e in source.measurements(0)] == [{"val_loss": 0.5}, {"acc": 0.1}]
    lab.client.delete_experiment(lab.id)
    wait_until(lambda: source.extent().gone, "the thread has seen the experiment go")


def test_parents_hold_trials_or_are_trials(uri):
    lab = Lab(uri)
    sweep = lab.run([0.1], params={"model": "a"})  # logs the best of its children under the same name
    for loss in ([0.1], [0.3], []):
        lab.run(loss, params={"lr": 0.1}, parent=sweep, status="FINISHED" if loss else "FAILED")
    alone = lab.run([0.7], params={"lr": 0.2})  # its nested run evaluates something else
    lab.run([9.0], metric="bleu", parent=alone)
    snapshot = read(uri)
    assert [(t.outcome, t.value) for t in snapshot.trials.values()] == [
        (Outcome.FINISHED, 0.1), (Outcome.FINISHED, 0.3), (Outcome.NO_START, None), (Outcome.FINISHED, 0.7),
    ]  # fmt: skip
    assert "model" not in {name for t in snapshot.trials.values() for name in t.params}


def test_a_run_left_running_under_a_parent_that_ended_is_interrupted_after_ten_minutes(uri):
    lab = Lab(uri)
    parent = lab.run()
    lab.run([0.5], parent=parent, status="RUNNING", at=int((time.time() - 900) * 1000))
    lab.run([0.6], parent=parent, status="RUNNING", at=int((time.time() - 60) * 1000))
    first, second = read(uri).trials.values()
    assert (first.outcome, first.reason) == (Outcome.UNFINISHED, Reason.INTERRUPTED)
    assert "its parent run has ended and it last logged at" in first.message
    assert second.running


def test_a_search_file_corrects_the_space_the_objective_and_the_direction(uri, tmp_path):
    mlflow_runs.every_end(uri)
    file = tmp_path / "space.toml"
    file.write_text(
        'objective = "val_loss"\ndirection = "maximize"\n[space.model]\ndepth = ["2", "4", "8"]\n'
        "lr = { log = [1e-6, 1.0] }\n"
    )
    snapshot = read(uri, wanted=Wanted(space=file))
    assert (snapshot.objective, snapshot.direction) == ("val_loss", "maximize")
    assert [h.name for h in snapshot.search.space] == ["depth", "lr"]
    assert snapshot.search.space["lr"].distribution == Float(1e-6, 1.0, log=True)
    assert snapshot.trials[0].params["depth"] == "4"  # as the file says it, not as it looks
    file.write_text("[space]\nlr = { log = [0, 2] }\n")
    with pytest.raises(SourceError, match=r"space\.toml"):
        read(uri, wanted=Wanted(space=file))
    with pytest.raises(SourceError, match="can't be read"):
        read(uri, wanted=Wanted(space=tmp_path / "none.toml"))


def test_of_a_large_experiment_the_last_values_are_read_and_a_nan_all_the_same(uri, monkeypatch):
    monkeypatch.setattr(mlflow, "HISTORIES", 3)
    lab = Lab(uri)
    lab.run([0.4, math.nan])
    for number in range(4):
        lab.run([0.9, 0.5 + number / 1000])
    snapshot = read(uri)
    assert (snapshot.trials[0].outcome, snapshot.trials[0].value) == (Outcome.UNFINISHED, 0.4)
    assert snapshot.counts.finished == 4
    assert snapshot.trials[1].curve == ((2, 0.5),)


def test_nothing_is_written(uri, tmp_path):
    mlflow_runs.every_end(uri)
    path = tmp_path / "mlflow.db"
    before = hashlib.sha256(path.read_bytes()).hexdigest()
    read(uri)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == before
    assert [p.name for p in tmp_path.iterdir()] == ["mlflow.db"]


def test_the_stores_nearby_are_looked_in(uri, empty, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    Lab(uri).run([0.5])
    (tmp_path / "mlruns").mkdir()
    copy_of(empty, tmp_path / "mlruns")
    assert read_near("digits").counts.finished == 1
    assert {s.name for s in studies_at("mlflow:", ROOT)} >= {"digits", "nothing"}
    with pytest.raises(SourceError, match=r"no experiment 'digts' in .* nor in .*; did you mean digits\?"):
        read_near("digts")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with pytest.raises(SourceError, match=r"http://127\.0\.0\.1:9: no server answers here"):
        read_near("digits")
    snapshot = open_study("mlflow:digits", objective="val_loss", tracking_uri=uri).snapshot()
    assert snapshot.best is not None and snapshot.best.value == 0.5


def read_near(name: str) -> Snapshot:
    return find_source(ROOT, f"mlflow:{name}", wanted=LOSS).snapshot()


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("sqlite:///none.db", "sqlite:///none.db: no such file"),
        ("sqlite:///text.db", "this file is not a database"),
        ("mysql+nodriver://me:secret@h/x", "mysql+nodriver://me:***@h/x: "),
    ],
)
def test_what_is_no_store_is_refused_in_a_sentence(place, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("text.db").write_text("hello " * 99)
    with pytest.raises(SourceError) as refused:
        find_source(ROOT, f"mlflow:{place}", "digits", LOSS)
    assert said in str(refused.value) and "\n" not in str(refused.value)
    assert not Path("none.db").exists()


def test_options_for_mlflow_are_refused_elsewhere(tmp_path):
    with pytest.raises(SourceError, match="--objective is for studies in MLflow"):
        studies_at("", tmp_path, LOSS)
    with pytest.raises(SourceError, match="--tracking-uri: mlflow:http://x names a store already"):
        studies_at("mlflow:http://x", tmp_path, Wanted(tracking_uri="http://y"))


def test_a_baseline_from_an_experiment(uri, tmp_path):
    mlflow_runs.every_end(uri)
    [condition] = parse_conditions(["best > baseline * 1.5"])
    search = replace(UNKNOWN, objective="val_loss")
    baseline = check_baseline("mlflow:digits", [condition], search, tmp_path, uri)
    verdict = condition.holds(read(uri), baseline)
    assert not verdict.holds and "the best is 0.2 (trial 8); the baseline is 0.2" in verdict.sentence
    with pytest.raises(BadInput, match=r"--baseline mlflow:digits: .* no run has a metric 'speed'"):
        check_baseline("mlflow:digits", [condition], replace(search, objective="speed"), tmp_path, uri)
