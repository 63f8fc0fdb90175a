"""An existing Optuna objective runs unchanged, with a space that is declared or one that becomes known as it runs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tuner_tui.engine.launcher import BadTarget
from tuner_tui.engine.run import run_study
from tuner_tui.search.file import parse_search
from tuner_tui.search.search import Search
from tuner_tui.search.space import Choice, Float, Int
from tuner_tui.study.folder import create_study
from tuner_tui.study.outcomes import Outcome, Reason

OBJECTIVE = """
import optuna

def objective(trial):
    layers = trial.suggest_int("n_layers", 1, 3)
    total = 0.0
    for i in range(layers):
        total += trial.suggest_float(f"width_l{i}", 1e-3, 1.0, log=True)
    kind = trial.suggest_categorical("kind", ["adam", "sgd", None])
    assert kind in ("adam", "sgd", None) and trial.params["n_layers"] == layers
    for step in range(3):
        trial.report(total + 1 / (step + 1), step)
        if trial.should_prune():
            raise optuna.TrialPruned()
    if total > 1.0:
        raise optuna.TrialPruned("too wide")
    trial.set_user_attr("accuracy", 0.5)
    return total

def two(trial):
    return 1.0, 2.0

def not_one(trial, other):
    return 1.0
"""


def sweep(tmp_path: Path, space: str = "", *, target: str = "objective", trials: int = 12):
    (tmp_path / "quadratic.py").write_text(OBJECTIVE)
    text = f'target = "optuna:quadratic:{target}"\ntrials = {trials}\nparallel = 2\n{space}\n'
    folder = create_study(tmp_path / "mlruns", "x")
    search = parse_search(text, str(tmp_path / "x.toml"))
    return run_study(folder, search, gpus="none").snapshot, folder


def test_a_dynamic_space_is_drawn_as_it_becomes_known(tmp_path):
    snapshot, folder = sweep(tmp_path)
    space = {h.name: h.distribution for h in snapshot.search.space}
    assert space["n_layers"] == Int(1, 3) and space["width_l0"] == Float(1e-3, 1.0, log=True)
    assert space["kind"] == Choice(("adam", "sgd", "None"))
    for trial in snapshot.trials.values():
        layers = trial.params["n_layers"]
        assert set(trial.params) == {"n_layers", "kind"} | {f"width_l{i}" for i in range(layers)}
        total = sum(trial.params[f"width_l{i}"] for i in range(layers))
        if total > 1:
            assert (trial.outcome, trial.reason) == (Outcome.UNFINISHED, Reason.PRUNED)
            assert trial.message == "pruned by itself: too wide"
        else:
            assert trial.outcome is Outcome.FINISHED and trial.value == pytest.approx(total)
            assert trial.latest["accuracy"] == 0.5
    assert len({trial.params["n_layers"] for trial in snapshot.trials.values()}) > 1
    assert folder.snapshot().trials == snapshot.trials and folder.snapshot().search == snapshot.search


def test_a_declared_hyperparameter_is_drawn_by_the_search(tmp_path):
    snapshot, _ = sweep(tmp_path, "[space]\nn_layers = [1]\n[fixed]\nkind = 'sgd'", trials=4)
    for trial in snapshot.trials.values():
        assert set(trial.params) == {"n_layers", "width_l0", "kind"} and trial.params["kind"] == "sgd"


def test_draws_depend_on_seed_and_number_alone_and_a_resume_goes_on(tmp_path):
    first, folder = sweep(tmp_path, trials=3)
    resumed = run_study(folder, replace(first.search, trials=6), gpus="none").snapshot
    assert isinstance(resumed.search, Search) and len(resumed.trials) == 6
    (tmp_path / "again").mkdir()
    again, _ = sweep(tmp_path / "again", trials=6)
    assert [t.params for _, t in sorted(resumed.trials.items())] == [
        t.params for _, t in sorted(again.trials.items())
    ]


@pytest.mark.parametrize(
    ("target", "expected"),
    [("not_one", "an Optuna objective is `def not_one"), ("absent", "has no 'absent'")],
)
def test_what_is_no_objective_is_told_before_any_trial(tmp_path, target, expected):
    with pytest.raises(BadTarget, match=expected):
        sweep(tmp_path, target=target)


def test_several_objectives_are_refused_in_a_sentence(tmp_path):
    snapshot, _ = sweep(tmp_path, target="two", trials=1)
    assert "the objective returned 2 values; a study minimises one" in snapshot.trials[0].message
