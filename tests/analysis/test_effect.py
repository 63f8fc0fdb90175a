"""Effects of single hyperparameters: planted ones are found, and chance is not taken for one."""

from __future__ import annotations

import math
import random
import statistics

import pytest
from scipy.stats import rankdata
from support import studies
from support.studies import Made

from tuner_tui.analysis.effect import effects, epsilon_squared, mean_ranks
from tuner_tui.search.space import Choice, Float, Hyperparameter, Space

SPACE = Space(
    (
        Hyperparameter("lr", Float(1e-5, 1e-1, log=True)),
        Hyperparameter("noise", Float(0.0, 1.0)),
        Hyperparameter("kind", Choice(("a", "b", "c"))),
    )
)


def planted(trials: int, seed: int = 0):
    """A V over lr, a little of the kind, nothing of the noise."""
    rng = random.Random(seed)
    made = []
    for _ in range(trials):
        params = studies.draw_params(SPACE, rng)
        loss = abs(math.log10(params["lr"]) + 3) + 0.3 * (params["kind"] == "b") + rng.uniform(0, 0.2)
        made.append(Made(params, (loss,)))
    return studies.study_of(SPACE, made)


def test_a_v_is_found_as_well_as_a_slope_and_noise_is_not():
    found = effects(planted(400))
    assert found["lr"] > 0.7 and 0.01 < found["kind"] < 0.3 and found["noise"] < 0.03
    assert sorted(found, key=found.__getitem__) == ["noise", "kind", "lr"]


def test_few_trials_say_nothing():
    assert effects(planted(19)) == {}


def test_chance_is_taken_off():
    """Over many studies without any effect the share is 0 in the mean, but for what is cut off below 0."""
    rng = random.Random(1)
    shares = []
    for _ in range(300):
        ranks = list(range(1, 41))
        rng.shuffle(ranks)
        shares.append(epsilon_squared(ranks, [i % 4 for i in range(40)]))
    assert statistics.mean(shares) < 0.05 and statistics.median(shares) < 0.02


@pytest.mark.parametrize("seed", range(5))
def test_ranks_are_scipys(seed):
    values = [random.Random(seed).randint(0, 9) for _ in range(30)]
    assert mean_ranks(values) == pytest.approx(list(rankdata(values)))


def test_equal_losses_and_one_group_have_no_effect():
    assert epsilon_squared([1.5] * 4, [0, 0, 1, 1]) == 0.0
    assert epsilon_squared([1, 2, 3, 4], [0, 0, 0, 0]) == 0.0
