"""Trials ahead of the pack: the chance is that of the exponential spacings, no regular tail raises alarms, planted
gaps are found."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from support import studies
from support.studies import Made

from tuner_tui.analysis.ahead import BEHIND, FEWEST, MOST, Ahead, ahead, largest_gap
from tuner_tui.analysis.draws import Obstacle

REGULAR = {
    "normal": lambda rng, n: rng.normal(5, 1, n),
    "lognormal": lambda rng, n: rng.lognormal(0, 1, n),
    "uniform": lambda rng, n: rng.uniform(1, 2, n),
    "exponential, which it is exact for": lambda rng, n: -rng.exponential(1, n),
    "larger is better, lognormal": lambda rng, n: -rng.lognormal(0, 1, n),
    "logistic, of both signs": lambda rng, n: rng.logistic(0, 1, n),
    "normal, rounded": lambda rng, n: np.round(2 * rng.normal(5, 1, n)) / 2,
    "accuracies": lambda rng, n: -np.round(rng.beta(8, 2, n), 3),
    "a valley over two": lambda rng, n: 1 + (rng.uniform(-1, 1, (n, 2)) ** 2).sum(1),
}


@pytest.mark.parametrize("name", REGULAR)
def test_regular_losses_raise_an_alarm_in_at_most_one_of_20_searches(name):
    rng, searches = np.random.default_rng(3), 400
    for n in (20, 60, 200):
        wrong = sum(largest_gap(np.sort(REGULAR[name](rng, n)).tolist())[1] <= 0.05 for _ in range(searches))
        assert wrong <= stats.binom.ppf(0.9999, searches, 0.05)


@pytest.mark.parametrize("many", [1, 2, 3])
def test_planted_gaps_are_found_and_counted(many):
    rng, found = np.random.default_rng(4), 0
    for _ in range(100):
        pack, best = rng.normal(10, 1, 100 - many), rng.normal(2.5, 0.1, many)
        found += largest_gap(np.sort(np.concatenate((best, pack))).tolist()) <= (many, 0.05)
    assert found >= 80


def test_the_chance_is_that_of_exponential_spacings():
    """The ratio of one spacing to the mean of m others has an F distribution with 2 and 2 m degrees of freedom."""
    spacings = np.array([9.0, *np.random.default_rng(0).exponential(1.0, 29)])  # of the best first
    scores = [-100.0, *(-100.0 + np.cumsum(spacings / np.arange(1, 31))).tolist()]
    scores += [scores[-1] + 1.0 + i for i in range(60 - len(scores) + 30)]
    behind = min(BEHIND, len(scores) // 3)
    assert behind == BEHIND
    unit = np.diff(scores[: MOST + BEHIND + 1]).min()
    normed = [i * (scores[i] - scores[i - 1]) for i in range(1, BEHIND + 2)]
    linear = stats.f.sf((normed[0] - unit) / np.mean(normed[1:]), 2, 2 * BEHIND)
    logs = [-np.log(-score) for score in scores]
    normed = [i * (logs[i] - logs[i - 1]) for i in range(1, BEHIND + 2)]
    gap = logs[1] + np.log(-(scores[0] + unit))
    on_logs = stats.f.sf(gap / np.mean(normed[1:]), 2, 2 * BEHIND)
    many, chance = largest_gap(scores)
    assert many == 1 and chance == pytest.approx(MOST * max(linear, on_logs))


@given(st.lists(st.floats(-1e6, 1e6).map(lambda x: round(x, 2)), min_size=FEWEST, max_size=60).map(sorted))
def test_any_losses_have_a_chance(scores):
    many, chance = largest_gap(scores)
    assert 1 <= many <= MOST and 0 <= chance <= 1


def of(losses, direction="minimize"):
    rng = np.random.default_rng(0)
    made = [Made({"lr": float(rng.uniform(1e-5, 0.1))}, (loss,)) for loss in losses]
    return studies.study_of(studies.SMALL_SPACE, made, direction=direction)


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_three_runs_ahead_of_the_pack(direction):
    rng = np.random.default_rng(1)
    losses = [0.4, 0.41, 0.42, *rng.normal(3, 0.3, 80)]
    sign = 1 if direction == "minimize" else -1
    found = ahead(of([sign * loss for loss in losses], direction))
    assert isinstance(found, Ahead) and found.told
    assert [t.number for t in found.trials] == [0, 1, 2] and found.finished == 83
    assert sign * found.follower.value == min(losses[3:])


def test_few_equal_and_dependent_trials_say_nothing():
    assert ahead(of([1.0])) is None
    assert ahead(of([1.0] * 19)) is Obstacle.TOO_FEW
    equal = ahead(of([1.0] * 30))
    assert isinstance(equal, Ahead) and not equal.told
    one_better = ahead(of([0.5] + [1.0] * 30))
    assert isinstance(one_better, Ahead) and not one_better.told  # of equal losses nothing is known of a tail
    whole = of([1.0 + i for i in range(30)])
    assert ahead(replace(whole, search=replace(whole.search, sampler="tpe"))) is Obstacle.LEARNS


@pytest.mark.parametrize("name", studies.ODD)
def test_no_study_is_too_odd(name):
    ahead(studies.ODD[name]())
