"""Importance: planted effects are told, chance is not, and the numbers are those of scipy."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import pytest
from scipy.stats import binom, kruskal
from support import studies
from support.studies import Made

from tuner_tui.analysis.draws import Obstacle
from tuner_tui.analysis.effect import effects, epsilon_squared, mean_ranks
from tuner_tui.analysis.importance import Importance, importance, share_of
from tuner_tui.search.space import Choice, Float, Hyperparameter, Int, Space
from tuner_tui.study.outcomes import Reason

SPACE = Space(
    (
        Hyperparameter("lr", Float(1e-5, 1e-1, log=True)),
        Hyperparameter("width", Int(1, 100)),
        Hyperparameter("noise", Float(0.0, 1.0)),
        Hyperparameter("kind", Choice(("a", "b", "c"))),
        Hyperparameter("rare", Choice(tuple("abcdefgh"))),
        Hyperparameter("only", Float(0.0, 1.0), when=(("kind", ("a", "b")),)),
    )
)


def planted(trials: int, seed: int = 0, effect: float = 1.0, crashes: float = 0.0, ties: bool = False):
    """The loss is a V over lr; wide trials crash: at most `crashes` of them. Nothing else has an effect."""
    rng = random.Random(seed)
    made = []
    for _ in range(trials):
        params = studies.draw_params(SPACE, rng)
        loss = effect * abs(math.log10(params["lr"]) + 3) + rng.gauss(5.0, 0.5)
        if rng.random() < (crashes * (params["width"] > 60) if effect else crashes):
            made.append(Made(params, (), Reason.OUT_OF_MEMORY))
        else:
            made.append(Made(params, (round(loss) if ties else loss,)))
    return studies.study_of(SPACE, made)


def told(shares) -> list[str]:
    return [share.name for share in shares if share.told]


def test_what_is_planted_is_told_and_apart():
    for seed in range(5):
        found = importance(planted(150, seed, crashes=0.8))
        assert isinstance(found, Importance)
        assert found.loss[0].name == "lr" and found.loss[0].share > 0.4 > found.loss[0].by_chance
        assert found.survival[0].name == "width" and found.survival[0].share > 0.3
        assert "width" not in told(found.loss) and "lr" not in told(found.survival)


@pytest.mark.parametrize("trials", [60, 260])
def test_chance_is_told_in_at_most_one_of_20_studies(trials):
    """Without effects, with crashes and ties; each question by itself."""
    sweeps = 60
    wrong = [0, 0]
    for seed in range(sweeps):
        found = importance(planted(trials, seed, effect=0.0, crashes=0.2, ties=seed % 2 == 0))
        assert isinstance(found, Importance)
        wrong[0] += bool(told(found.loss))
        wrong[1] += bool(told(found.survival))
    assert max(wrong) <= binom.ppf(0.9999, sweeps, 0.05)


@pytest.mark.parametrize("n", [40, 190, 400])
@pytest.mark.parametrize("shift", [0.0, 0.6])
def test_p_is_that_of_kruskal_and_wallis(n, shift):
    rng = random.Random(n)
    members = [i % 4 for i in range(n)]
    values = [rng.gauss(shift * (group == 2), 1.0) for group in members]
    ranks = mean_ranks(values)
    share, by_chance, p = share_of(tuple(ranks), members)
    assert share == pytest.approx(epsilon_squared(ranks, members))
    right = kruskal(*([v for v, m in zip(values, members, strict=True) if m == g] for g in range(4))).pvalue
    assert p == pytest.approx(right, abs=0.03)
    assert (share > by_chance) == (p < 0.05)


def test_p_of_survival_is_that_of_kruskal_and_wallis():
    members = [i % 4 for i in range(400)]
    rng = random.Random(2)
    survived = [float(rng.random() < 0.5 + 0.1 * (group == 1)) for group in members]
    p = share_of(tuple(mean_ranks(survived)), members)[2]
    groups = ([v for v, m in zip(survived, members, strict=True) if m == g] for g in range(4))
    assert p == pytest.approx(kruskal(*groups).pvalue, abs=0.03)


def test_the_share_is_what_panels_are_ordered_by():
    whole = planted(100)
    found = importance(whole)
    assert {share.name: share.share for share in found.loss} == pytest.approx(effects(whole))


def test_few_and_equal_trials_say_nothing():
    assert importance(planted(1)) is None
    assert importance(planted(19)) is Obstacle.TOO_FEW
    assert importance(studies.equal_snapshot()) is Obstacle.TOO_FEW
    assert importance(studies.never_started_snapshot()) is Obstacle.TOO_FEW
    found = importance(planted(30, crashes=0.1))  # too few crashes
    assert 0 < found.unfinished < 4 and found.loss and not found.survival


def test_it_needs_independent_draws():
    whole = planted(40)
    assert importance(replace(whole, search=replace(whole.search, sampler="tpe"))) is Obstacle.LEARNS


@pytest.mark.parametrize("name", studies.ODD)
def test_no_study_is_too_odd(name):
    importance(studies.ODD[name]())
