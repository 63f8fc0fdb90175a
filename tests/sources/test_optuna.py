"""Optuna storages as sources: SQLite, a journal file and a real PostgreSQL server, written by Optuna itself."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import optuna
import pytest
from support import optuna_studies
from support.patience import wait_until

from tuner_tui.search.space import Choice, Float, Int
from tuner_tui.sources import find_source, studies_at
from tuner_tui.sources.background import Background
from tuner_tui.sources.source import SourceError
from tuner_tui.study.outcomes import Outcome, Reason
from tuner_tui.study.snapshot import Snapshot, fold_all
from tuner_tui.study.state import State

ROOT = Path("mlruns")


@pytest.fixture(params=["sqlite", "journal", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    match request.param:
        case "sqlite":
            return f"sqlite:///{tmp_path}/a b%20c.db"
        case "journal":
            return str(tmp_path / "journal.log")
        case _:
            url = request.getfixturevalue("postgresql")
            for summary in optuna.get_all_study_summaries(url):
                optuna.delete_study(study_name=summary.study_name, storage=url)
            return url


def test_every_way_to_end(place):
    name = optuna_studies.every_end(place).study_name
    source = find_source(ROOT, f"optuna:{place}")
    snapshot = source.snapshot()
    assert (source.name, snapshot.study, snapshot.direction) == (name, name, "maximize")
    ends = {n: (t.outcome, t.reason, t.value) for n, t in snapshot.trials.items()}
    assert ends == {
        0: (Outcome.FINISHED, None, 0.5),
        1: (Outcome.FINISHED, None, 0.45),
        2: (Outcome.UNFINISHED, Reason.PRUNED, 0.2),
        3: (Outcome.NO_START, Reason.PRUNED, None),
        4: (Outcome.UNFINISHED, Reason.EXCEPTION, 0.3),
        5: (Outcome.NO_START, Reason.EXCEPTION, None),
        6: (Outcome.NO_START, Reason.DIVERGED, None),
        7: (None, None, 0.15),
    }
    assert snapshot.best is not None and snapshot.best.number == 0
    assert (snapshot.counts.running, snapshot.counts.waiting, snapshot.counts.ended) == (1, 1, 7)
    assert snapshot.trials[1].curve == ((1, 0.1), (2, 0.4), (2, 0.45))
    assert source.state(snapshot) is State.RUNNING
    assert source.files is None and source.desk is None


def test_the_space_is_what_the_trials_drew(place):
    optuna_studies.every_end(place)
    snapshot = find_source(ROOT, f"optuna:{place}").snapshot()
    space = {h.name: h.distribution for h in snapshot.search.space}
    assert space["lr"] == Float(1e-5, 1e-1, log=True)
    assert space["kind"] == Choice(("conv", "None", "mlp"))  # Optuna has None as a choice, and its own order
    depth = space["depth"]
    assert isinstance(depth, Int) and depth.low == 1
    highs = [8 + n for n, t in snapshot.trials.items() if "depth" in t.params]
    assert depth.high == max(highs)  # the union: each trial may have had another range


def test_it_is_followed_while_another_process_adds_trials(place):
    study = optuna_studies.every_end(place)
    source = find_source(ROOT, f"optuna:{place}", "dig")
    batch = source.events()
    snapshot = fold_all(Snapshot(), batch.events)
    assert not source.events(batch.place).events
    running = optuna.trial.Trial(study, study.trials[7]._trial_id)
    running.suggest_float("lr", 1e-5, 1e-1, log=True)
    running.report(0.3, 5)
    done = subprocess.run(
        [sys.executable, optuna_studies.__file__, place, study.study_name, "5"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    batch = source.events(batch.place)
    snapshot = fold_all(snapshot, batch.events)
    assert snapshot.trials[7].value == 0.3 and "lr" in snapshot.trials[7].params  # it drew while it ran
    assert snapshot.counts.finished == 7 and len(snapshot.trials) == 13  # the waiting one was taken first
    assert all(trial.outcome is Outcome.FINISHED for n, trial in snapshot.trials.items() if n > 7)
    study.tell(7, state=optuna.trial.TrialState.FAIL)
    snapshot = fold_all(snapshot, source.events(batch.place).events)
    assert source.state(snapshot) is State.IDLE
    again = find_source(ROOT, f"optuna:{place}").snapshot()
    assert {n: (t.outcome, t.value, t.params) for n, t in again.trials.items()} == {
        n: (t.outcome, t.value, t.params) for n, t in snapshot.trials.items()
    }


def test_a_thread_reads_it_for_the_screen(place):
    study = optuna_studies.every_end(place)
    source = Background(find_source(ROOT, f"optuna:{place}"))
    wait_until(lambda: source.extent().size, "the thread has read")
    first = source.snapshot()
    assert len(first.trials) == 8
    study.tell(7, 0.9)
    wait_until(lambda: source.snapshot().best.value == 0.9, "the thread has seen the end")
    optuna.delete_study(study_name=study.study_name, storage=optuna_studies.storage(place))
    wait_until(lambda: source.extent().gone, "the thread has seen the study go")
    assert len(source.snapshot().trials) == 8


def test_several_objectives_are_refused_with_a_remedy(place):
    optuna_studies.every_end(place)
    two = optuna.create_study(
        study_name="two", storage=optuna_studies.storage(place), directions=["minimize", "maximize"]
    )
    two.set_metric_names(["loss", "speed"])
    with pytest.raises(SourceError, match=r"2 objectives \(loss, speed\).*create_trial\(value=t.values\[0\]"):
        find_source(ROOT, f"optuna:{place}", "two").snapshot()
    assert {s.name for s in studies_at(f"optuna:{place}", ROOT)} == {"digits", "two"}


def test_nothing_is_written(tmp_path):
    path = tmp_path / "x.db"
    optuna_studies.every_end(f"sqlite:///{path}")
    before = hashlib.sha256(path.read_bytes()).hexdigest()
    path.chmod(0o444)
    find_source(ROOT, f"optuna:sqlite:///{path}").snapshot()
    assert hashlib.sha256(path.read_bytes()).hexdigest() == before
    assert list(tmp_path.iterdir()) == [path]


def test_no_password_is_shown(postgresql):
    with pytest.raises(SourceError) as refused:
        find_source(ROOT, f"optuna:{postgresql}", "nothing like it")
    assert "secret" not in str(refused.value).partition("there is")[0].replace("optuna:" + postgresql, "")


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("sqlite:///none.db", "no such file"),
        ("none.log", "no such file; write optuna:sqlite:///FILE"),
        ("text.txt", "neither an Optuna journal nor a SQLite file"),
        ("sqlite:///other.db", "not an Optuna storage: it has experiments"),
        ("nonsense://x", "Can't load plugin"),
        ("://", "not a database URL"),
        ("mysql+nodriver://h/x", "driver"),
    ],
)
def test_what_is_no_storage_is_refused_in_a_sentence(place, said, tmp_path, monkeypatch):
    import sqlite3

    monkeypatch.chdir(tmp_path)
    Path("text.txt").write_text("hello")
    with sqlite3.connect("other.db") as other:
        other.execute("create table experiments (name)")
    with pytest.raises(SourceError) as refused:
        find_source(ROOT, f"optuna:{place}")
    assert said in str(refused.value) and "\n" not in str(refused.value)
    assert not Path("none.db").exists() and not Path("none.log").exists()


def test_an_empty_study_and_an_empty_storage(tmp_path):
    url = f"sqlite:///{tmp_path}/x.db"
    optuna.create_study(study_name="new", storage=url)
    snapshot = find_source(ROOT, f"optuna:{url}").snapshot()
    assert snapshot.trials == {} and snapshot.opened_at is None
    optuna.delete_study(study_name="new", storage=url)
    with pytest.raises(SourceError, match="no study yet"):
        find_source(ROOT, f"optuna:{url}")


def test_a_nan_on_the_way_does_not_spoil_what_optuna_calls_complete(tmp_path):
    study = optuna.create_study(storage=f"sqlite:///{tmp_path}/x.db")
    trial = study.ask()
    trial.report(float("nan"), 1)
    trial.report(0.5, 2)
    study.tell(trial, 0.5)
    shown = find_source(ROOT, f"optuna:sqlite:///{tmp_path}/x.db").snapshot().trials[0]
    assert (shown.outcome, shown.value) == (Outcome.FINISHED, 0.5)
    assert str(shown.latest["intermediate"]) == "nan"
