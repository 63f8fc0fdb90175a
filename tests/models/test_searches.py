"""The searches that ask the questions of 2018: their trials are configurations, and early stopping fires in them."""

from pathlib import Path

import pytest

from models.config import Config
from models.train import train
from tuner_tui.engine.sampler import make_sampler
from tuner_tui.search.builtin import builtin_searches
from tuner_tui.search.file import load_search

DOCS = Path(__file__).parents[2] / "docs"
STITES = [name for name in builtin_searches() if name.startswith("stites2018")]


def trials(name):
    """The hyperparameters of every trial of a built-in search, the fixed ones included."""
    search = load_search(builtin_searches()[name])
    sampler = make_sampler(search)
    return [{**search.fixed, **sampler.ask(n)} for n in range(search.trials)]


def test_there_are_three():
    assert STITES == ["stites2018-capacity", "stites2018-optimizer", "stites2018-reader"]


@pytest.mark.parametrize("name", STITES)
def test_every_trial_is_a_configuration_and_every_choice_has_several(name):
    drawn = trials(name)
    for hypers in drawn:
        Config.of(hypers)
    for hyper in load_search(builtin_searches()[name]).space:
        if options := getattr(hyper.distribution, "options", None):
            counts = [sum(hypers.get(hyper.name) == option for hypers in drawn) for option in options]
            assert min(counts) >= 3, (hyper.name, counts)  # fewer would say nothing about it


@pytest.mark.parametrize("name", STITES)
def test_it_says_what_is_expected_and_where_the_answer_is(name):
    head = builtin_searches()[name].read_text().partition("name = ")[0]
    assert "Expected: " in head and "What came out: docs/seed-questions.md" in head
    assert name in (DOCS / "seed-questions.md").read_text()


def test_each_trial_of_the_optimizer_search_sees_as_many_images():
    for hypers in trials("stites2018-optimizer"):
        config = Config.of(hypers)
        seen = sum(config.adabatch.batch(config.batch_size, step) for step in range(1, config.steps + 1))
        last = config.adabatch.batch(config.batch_size, config.steps)
        assert config.images <= seen < config.images + last


def test_early_stopping_fires_in_the_capacity_search():
    """In its first trial that may stop, has the units to learn 100 pictures by heart, and little dropout."""
    hypers = next(
        h
        for h in trials("stites2018-capacity")
        if h["stop.patience"] and h["reader.size"] >= 32 and not h["fc.dropout"] and not h["reader.dropout"]
    )
    said = []
    measured = [m for m in train(say=said.append, **hypers) if m]
    assert measured[-1]["step"] < hypers["steps"]
    assert "has not improved" in said[-1]
    assert measured[-1]["loss/gap"] > 0.25 * measured[-1]["loss/valid"], "it is overfitted"
    assert {"loss/valid_shuffled", "recognised"} <= set(measured[-1]), "the last measurement is complete"
