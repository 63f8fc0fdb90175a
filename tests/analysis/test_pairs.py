"""Two hyperparameters together: planted interplay is told with its names, and chance and single effects are not."""

from __future__ import annotations

import time

import numpy as np
import pytest
from scipy.stats import binom
from support import studies
from support.studies import Made

from tuner_tui.analysis.importance import Importance, importance
from tuner_tui.analysis.pairs import best_pair
from tuner_tui.search.space import Choice, Float, Hyperparameter, Int, Space
from tuner_tui.study.outcomes import Outcome
from tuner_tui.view.importance import sentences

SPACE = Space(
    (
        Hyperparameter("a", Float(1e-3, 1.0, log=True)),
        Hyperparameter("b", Float(0.0, 1.0)),
        Hyperparameter("c", Float(0.0, 1.0)),
        Hyperparameter("kind", Choice(("x", "y", "z"))),
        Hyperparameter("layers", Int(1, 4)),
        Hyperparameter("only", Float(0.0, 1.0), when=(("kind", ("x", "y")),)),
    )
)


def study(trials, seed, loss):
    """`loss`: of the position of each number in its range, 0 to 1, and the kind; noise is added."""
    rng, draw = np.random.default_rng(seed), studies.random.Random(seed)
    made = []
    for _ in range(trials):
        params = studies.draw_params(SPACE, draw)
        at = (np.log10(params["a"]) + 3) / 3
        made.append(Made(params, (float(loss(at, params["b"], params["kind"]) + rng.normal(0, 0.5)),)))
    return studies.study_of(SPACE, made)


def pair_of(snapshot):
    return best_pair(tuple(snapshot.space), list(snapshot.trials.values()))


@pytest.mark.parametrize(
    ("names", "loss"),
    [
        (("a", "b"), lambda a, b, kind: 8 * (a - 0.5) * (b - 0.5)),  # neither has an effect of its own
        (("a", "kind"), lambda a, b, kind: 2 * (a if kind == "x" else 1 - a) + b),  # best at opposite ends
    ],
)
def test_a_planted_pair_is_told_by_its_names(names, loss):
    for seed in range(4):
        found = pair_of(study(150, seed, loss))
        assert found.names == names and found.told and found.share > found.by_chance
    said = sentences(importance(study(150, 0, loss)))
    assert any(f"{names[0]} and {names[1]} together explain" in line for line in said)


@pytest.mark.parametrize(
    "loss",
    [
        lambda a, b, kind: 0.0,
        lambda a, b, kind: 3 * a + b,
        lambda a, b, kind: 4 * abs(a - 0.5) + 2 * (kind == "x"),
    ],
)
def test_chance_and_effects_that_add_up_are_told_in_at_most_one_of_20_studies(loss):
    sweeps = 60
    wrong = sum(pair_of(study(80, seed, loss)).told for seed in range(sweeps))
    assert wrong <= binom.ppf(0.9999, sweeps, 0.05)


def test_few_trials_and_one_hyperparameter_say_nothing():
    assert pair_of(study(59, 0, lambda a, b, kind: a)) is None
    whole = study(100, 0, lambda a, b, kind: a)
    assert best_pair(tuple(whole.space)[:1], list(whole.trials.values())) is None
    assert (
        best_pair((SPACE["a"], SPACE["only"]), list(whole.trials.values())) is None
    )  # not all trials have it


def test_ten_thousand_trials_take_a_second_at_most():
    """0.4 s of processor time (docs/importance.md); the bound holds on a busy machine."""
    whole = studies.large_snapshot(10_000)
    finished = [t for t in whole.trials.values() if t.outcome is Outcome.FINISHED and t.value is not None]
    began = time.process_time()
    assert best_pair(tuple(whole.space), finished) is not None
    assert time.process_time() - began < 4.0
    assert isinstance(importance(whole), Importance)
