"""The built-in search for hypergradients: it is found, its trials can be trained, the tuner sweeps it."""

from pathlib import Path

import pytest
from support.sabotage import study, tuner

from meta.train import train
from meta.train.config import Config
from tuner_tui.engine.sampler import make_sampler
from tuner_tui.search.builtin import find_search
from tuner_tui.search.file import load_search

QUICK = {"meta_iterations": 2, "train_examples": 200, "valid_examples": 100, "seeds": 2}


@pytest.fixture(scope="module")
def search():
    return load_search(find_search("hypergradient", Path("/")))


def draws(search, count: int) -> list[dict]:
    sampler = make_sampler(search)
    return [sampler.ask(number) for number in range(count)]


def test_every_trial_it_draws_is_a_valid_one(search):
    assert (search.target, search.objective) == ("meta.train:train", "loss/valid")
    for params in draws(search, 100):
        Config.of(dict(search.fixed) | params)


def test_no_trial_wins_by_training_longer_and_no_axis_is_noise(search):
    """Steps and batch decide how much is trained, and methods that are exact give one gradient."""
    varied = {h.name for h in search.space}
    assert varied.isdisjoint({"steps", "batch", "meta_iterations", "seeds", "method", "precision"})
    assert {"steps", "batch"} <= set(search.fixed)


def test_one_of_its_trials_trained(search):
    seen = list(train(seed=5, **dict(search.fixed) | draws(search, 1)[0] | QUICK))
    assert [m["step"] for m in seen] == [1, 2] and all(m["loss/valid"] > 0 for m in seen)
    assert all({"growth", "exact", "bits"} <= set(m) and m["exact"] == 1 for m in seen)


@pytest.mark.slow
def test_the_tuner_sweeps_it(tmp_path):
    small = [f"--set=fixed.{name}={value}" for name, value in QUICK.items()]
    done = tuner(
        tmp_path, "sweep", "hypergradient", "--headless", "--trials", "2", "--set=fixed.steps=20", *small
    )
    assert done.returncode == 0, done.stdout + done.stderr
    trials = study(tmp_path, "hypergradient-1").snapshot().trials
    assert [trial.outcome.value for trial in trials.values()] == ["finished"] * 2
    assert list(tmp_path.glob("mlruns/hypergradient-1/**/hypers.npz"))
