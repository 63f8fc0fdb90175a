"""Scientific choices: the chance is counted out, the trap of the best trial is avoided, false alarms are few."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from support import studies
from support.studies import Made

from tuner_tui.analysis.draws import Obstacle
from tuner_tui.analysis.scientific import Question, beats, scientific
from tuner_tui.search.space import SCIENTIFIC, Choice, Float, Hyperparameter, Int, Space
from tuner_tui.study.outcomes import Reason


def space(role: str = SCIENTIFIC) -> Space:
    return Space(
        (
            Hyperparameter("kind", Choice(("a", "b", "c")), role=role),
            Hyperparameter("lr", Float(1e-5, 1e-1, log=True), role="nuisance"),
            Hyperparameter("layers", Int(1, 4)),
        )
    )


def study(
    trials: int, seed: int, effect: float = 0.0, weights=(1, 1, 1), crashes: float = 0.2, direction="minimize"
):
    """The loss is a valley over lr; with kind = a it is `effect` lower at the bottom, and the same elsewhere."""
    rng = random.Random(seed)
    made = []
    for _ in range(trials):
        params = studies.draw_params(space(), rng) | {"kind": rng.choices("abc", weights)[0]}
        away = abs(math.log10(params["lr"]) + 3)
        loss = (
            3.0 + away - (effect * max(0.0, 1 - away) if params["kind"] == "a" else 0.0) + rng.gauss(0, 0.05)
        )
        sign = 1 if direction == "minimize" else -1
        dead = rng.random() < crashes
        made.append(Made(params, (), Reason.EXCEPTION) if dead else Made(params, (sign * loss,)))
    return studies.study_of(space(), made, direction=direction)


def question(snapshot) -> Question:
    found = scientific(snapshot)
    assert isinstance(found, tuple)
    return found[0]


few = st.lists(st.one_of(st.integers(0, 5).map(float), st.just(math.inf)), min_size=1, max_size=6)


@given(few, few, st.integers(1, 3))
def test_the_chance_is_counted_out(one, other, budget):
    from itertools import product

    wins = 0.0
    for a in product(one, repeat=budget):
        for b in product(other, repeat=budget):
            wins += 1.0 if min(a) < min(b) else 0.5 if min(a) == min(b) else 0.0
    found, p = beats(sorted(one), sorted(other), budget)
    assert found == pytest.approx(wins / (len(one) * len(other)) ** budget)
    assert 0 < p <= 1


def test_p_of_one_draw_is_that_of_the_rank_sum_test():
    """With a budget of 1 the chance is the statistic of Mann & Whitney."""
    rng = np.random.default_rng(0)
    one, other = np.sort(rng.normal(0.0, 1, 40)), np.sort(rng.normal(0.45, 1, 50))
    found, p = beats(one.tolist(), other.tolist(), 1)
    right = stats.mannwhitneyu(other, one)
    assert found == pytest.approx(right.statistic / (40 * 50)) and p == pytest.approx(right.pvalue, abs=0.02)


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_a_planted_choice_is_told(direction):
    found = sum(
        q.best is not None and q.best.low == "a" and all(c.told for c in q.others)
        for q in (question(study(240, seed, 1.0, direction=direction)) for seed in range(10))
    )
    assert found >= 8


def test_chance_is_told_in_at_most_one_of_20_studies():
    """Also where one value was drawn six times as often and so has nearly always the best trial of all."""
    studies_, wrong, of_the_best = 40, 0, 0
    for seed in range(studies_):
        snapshot = study(160, seed, weights=(6, 1, 1))
        wrong += any(c.told for c in question(snapshot).others)
        of_the_best += snapshot.best is not None and snapshot.best.params["kind"] == "a"
    assert wrong <= stats.binom.ppf(0.9999, studies_, 0.05)
    assert of_the_best > 0.6 * studies_  # the best trial alone would have been taken in


def test_values_are_compared_after_the_same_number_of_trials_and_crashes_count():
    snapshot = study(160, 1, weights=(6, 1, 1))
    found = question(snapshot)
    assert found.best is not None
    arms = [found.best, *(c.arm for c in found.others)]
    for arm in arms:
        members = [t for t in snapshot.trials.values() if t.params["kind"] == arm.low]
        assert (arm.trials, arm.failed) == (len(members), sum(t.failed for t in members))
    assert found.budget == min(arm.trials for arm in arms) // 4
    medians = [arm.point.median for arm in arms]
    assert medians == sorted(medians)


def test_numbers_are_values_or_ranges():
    whole = study(120, 2)
    few_numbers = Space(
        (*whole.space.hyperparameters[:2], Hyperparameter("layers", Int(1, 4), role=SCIENTIFIC))
    )
    found = scientific(replace(whole, search=replace(whole.search, space=few_numbers)))
    assert isinstance(found, tuple) and [q.name for q in found] == ["kind", "layers"]
    assert {found[1].best.low, *(c.arm.low for c in found[1].others)} == {1, 2, 3, 4}
    ranges = Space((Hyperparameter("lr", Float(1e-5, 1e-1, log=True), role=SCIENTIFIC),))
    (found,) = scientific(replace(whole, search=replace(whole.search, space=ranges)))
    arms = sorted([found.best, *(c.arm for c in found.others)], key=lambda arm: arm.low)
    assert [arm.trials for arm in arms] == [40, 40, 40]
    assert arms[0].high < arms[1].low and arms[1].high < arms[2].low


def test_few_and_dependent_trials_say_nothing():
    assert scientific(replace(study(60, 0), search=replace(study(60, 0).search, space=space("")))) is None
    assert question(study(20, 0)).best is None
    rare = question(study(100, 0, weights=(10, 10, 1)))
    assert rare.best is not None and rare.too_few == ("c",)
    learnt = study(60, 0)
    assert scientific(replace(learnt, search=replace(learnt.search, sampler="tpe"))) is Obstacle.LEARNS


def test_only_crashes_are_compared_too():
    found = question(study(60, 0, crashes=1.0))
    assert found.best is not None and all(c.beaten == 0.5 and not c.told for c in found.others)
