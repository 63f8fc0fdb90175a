"""The callbacks in examples/, each in a real training of its library, where that is installed."""

from __future__ import annotations

import importlib.util
import math
import re
from pathlib import Path
from types import ModuleType

import pytest
from support.sabotage import tuner

from tuner_tui.study.folder import StudyFolder
from tuner_tui.study.outcomes import Outcome

EXAMPLES = Path(__file__).parents[2] / "examples"
# file -> the package it needs, its objective, and how many reports its training makes with two epochs or rounds
TRAINERS = {
    "sklearn_fit": ("sklearn", "error", {"epochs": 2}, 2),
    "lightgbm_callback": ("lightgbm", "valid/binary_logloss", {"rounds": 2}, 2),
    "xgboost_callback": ("xgboost", "valid/logloss", {"rounds": 2}, 2),
    "keras_callback": ("keras", "val_loss", {"epochs": 2}, 2),
    "lightning_callback": ("lightning", "val_loss", {"epochs": 2}, 2),
    "huggingface_callback": ("transformers", "eval_loss", {"epochs": 2}, 2),
}


class Ended(BaseException):
    """What `report` raises in a trial that was asked to end."""


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", TRAINERS)
def test_a_training_reports_its_objective_while_it_trains(name, tmp_path):
    package, objective, brief, expected = TRAINERS[name]
    pytest.importorskip(package)
    train = load(name).train
    options = brief | ({"out": str(tmp_path)} if "out" in train.__kwdefaults__ else {})
    reports: list[dict[str, float]] = []
    train(report=reports.append, **options)
    told = [measured for measured in reports if objective in measured]
    assert len(told) == expected
    assert all(math.isfinite(measured[objective]) and type(measured["step"]) is int for measured in told)
    assert [m["step"] for m in told] == sorted({m["step"] for m in told})


@pytest.mark.parametrize("name", TRAINERS)
def test_a_trial_that_is_asked_to_end_ends_at_its_next_report(name, tmp_path):
    package, _, _, _ = TRAINERS[name]
    pytest.importorskip(package)
    train = load(name).train
    calls = 0

    def report(measured):
        nonlocal calls
        calls += 1
        raise Ended

    with pytest.raises(Ended):
        train(report=report, **({"out": str(tmp_path)} if "out" in train.__kwdefaults__ else {}))
    assert calls == 1


def test_the_list_of_examples_is_complete():
    listed = set(re.findall(r"\]\(([\w-]+\.\w+)\)", (EXAMPLES / "README.md").read_text()))
    assert listed == {path.name for path in EXAMPLES.iterdir() if path.suffix in (".py", ".yml")}


def test_the_search_beside_an_example_runs(tmp_path):
    done = tuner(
        EXAMPLES, "sweep", "sklearn_fit.toml", "--headless", "--trials", "1", "--set", "fixed.epochs=2",
        "--mlflow-wait", "0", "--mlruns", str(tmp_path),
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    [trial] = StudyFolder(tmp_path / "sklearn_fit-1").snapshot().trials.values()
    assert trial.outcome is Outcome.FINISHED and [step for step, _ in trial.curve] == [0, 1]
