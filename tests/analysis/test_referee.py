"""The referee: few false alarms where nothing is wrong, planted faults found, and counts that can be checked."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from itertools import pairwise
from types import MappingProxyType

import numpy as np
import pytest
from scipy import stats
from support import simulated, studies

from tuner_tui.analysis.ahead import Ahead
from tuner_tui.analysis.crowding import crowds
from tuner_tui.analysis.draws import Obstacle
from tuner_tui.analysis.late_training import Sign, late_training
from tuner_tui.analysis.referee import MANY, Card, Check, Failures, Verdict, referee

SOUND, PLANTED = 300, 25  # sweeps here; `python -m support.simulated 1000` made the table of docs/referee.md


@pytest.fixture(scope="module")
def false_alarms():
    return simulated.alarms(SOUND)


@pytest.mark.parametrize("check", Check)
def test_sound_sweeps_raise_at_most_one_alarm_in_20(false_alarms, check):
    assert false_alarms[check] <= stats.binom.ppf(0.9999, SOUND, 0.05)


@pytest.mark.parametrize("fault", simulated.FAULTS)
def test_planted_faults_are_found_in_four_of_five_sweeps(fault):
    found = simulated.alarms(PLANTED, fault)[simulated.FAULTS[fault]]
    assert found >= stats.binom.ppf(
        0.001, PLANTED, 0.9
    )  # all find 90 % or more; 80 % is what is asked of them


def card(snapshot, check: Check) -> Card:
    found = referee(snapshot)
    assert found is not None
    return found.card(check)


# --- where in the space


def test_a_count_at_a_border_is_hypergeometric_and_can_be_counted_by_hand():
    snapshot = simulated.sweep(4, "border")
    finished = [t for t in snapshot.trials.values() if not t.failed]
    crowd = crowds(snapshot)[0]
    assert (crowd.name, crowd.upper, crowd.end, crowd.frontier) == ("lr", True, 0.1, False)
    best = sorted(finished, key=snapshot.rank)[: crowd.best]
    assert crowd.inside == sum(t.params["lr"] > crowd.edge for t in best)
    assert crowd.strip == sum(t.params["lr"] > crowd.edge for t in finished) == math.ceil(len(finished) / 10)
    p = stats.hypergeom.sf(crowd.inside - 1, len(finished), crowd.strip, crowd.best)
    assert p <= crowd.corrected <= 10 * p * (1 + 1e-9)  # over the ends of five numbers
    assert card(snapshot, Check.BORDER).verdict is Verdict.FIX


def test_an_integer_with_few_values_has_its_ties_at_the_border():
    rng = random.Random(0)
    made = []
    for _ in range(100):
        params = studies.draw_params(simulated.SPACE, rng)
        made.append(studies.Made(params, (5.0 - params["layers"] + rng.gauss(0, 0.2),)))
    crowd = crowds(studies.study_of(simulated.SPACE, made))[0]
    assert (crowd.name, crowd.upper, crowd.inside) == ("layers", True, 10)
    assert crowd.strip == sum(m.params["layers"] == 4 for m in made) and crowd.edge == 3


def test_the_edge_of_a_region_where_trials_fail_is_no_border_of_the_space():
    snapshot = simulated.sweep(4, "instability")
    found = card(snapshot, Check.FAILURES)
    assert found.verdict is Verdict.FIX and isinstance(found.evidence, Failures)
    (edge,) = found.evidence.edges
    assert edge.name == "lr" and edge.upper
    assert not any(t.params["lr"] > edge.end for t in snapshot.trials.values() if not t.failed)
    assert any(t.params["lr"] > edge.end for t in snapshot.trials.values())
    assert card(snapshot, Check.BORDER).verdict is Verdict.PASS


@pytest.mark.parametrize("upper", [True, False])
def test_both_ends_are_looked_at(upper):
    rng = random.Random(1)
    made = []
    for _ in range(100):
        params = studies.draw_params(simulated.SPACE, rng)
        made.append(studies.Made(params, (params["momentum"] * (-1 if upper else 1) + rng.gauss(2, 0.02),)))
    crowd = crowds(studies.study_of(simulated.SPACE, made))[0]
    assert (crowd.name, crowd.upper, crowd.end) == ("momentum", upper, 0.99 if upper else 0.0)


def test_more_than_a_third_of_failures_is_looked_at_once_it_is_told_from_chance():
    def of(failed: int, n: int = 90):
        whole = simulated.sweep(4)
        trials = {i: t for i, t in whole.trials.items() if i < n - failed}
        spread = [trials[i] for i in range(failed)]  # failures where others finished: they crowd nowhere
        trials |= {
            n - failed + i: replace(
                t, number=n - failed + i, outcome=studies.Outcome.NO_START, value=None, curve=()
            )
            for i, t in enumerate(spread)
        }
        return card(replace(whole, trials=MappingProxyType(trials)), Check.FAILURES)

    limit = next(k for k in range(91) if stats.binomtest(k, 90, MANY, alternative="greater").pvalue <= 0.025)
    assert of(limit).verdict is Verdict.LOOK and of(limit).evidence.many
    assert of(limit - 1).verdict is Verdict.PASS


def test_a_border_that_could_not_show_is_not_said_to_be_fine():
    """Of 20 trials two lie in a strip; both among the best five have p = 0.05 before the correction."""
    whole = simulated.sweep(4, "border")
    finished = [t for t in whole.trials.values() if not t.failed]

    def looked_at(trials: int) -> set[str]:
        part = replace(whole, trials=MappingProxyType({t.number: t for t in finished[:trials]}))
        evidence = card(part, Check.BORDER).evidence
        return {crowd.name for crowd in evidence} if isinstance(evidence, tuple) else set()

    assert looked_at(20) <= {"layers"}  # its ties make a wider strip
    assert "lr" in looked_at(40)


# --- learning curves


def test_the_sign_test_is_that_of_scipy_and_its_counts_can_be_counted_by_hand():
    snapshot = simulated.sweep(4, "noise")
    late = late_training(snapshot)
    assert isinstance(late.improving, Sign) and isinstance(late.noisy, Sign)
    for sign in (late.improving, late.noisy, late.saturated):
        assert sign.chance == pytest.approx(
            stats.binomtest(sign.trials, sign.of, 0.5, alternative="greater").pvalue
        )
        assert sign.told == (sign.trials >= sign.needed)
    assert [t.number for t in late.best] == [
        t.number
        for t in sorted((t for t in snapshot.trials.values() if not t.failed), key=snapshot.rank)[:10]
    ]


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_a_rise_is_a_rise_in_both_directions(direction):
    sign = 1 if direction == "minimize" else -1
    rng = random.Random(3)
    made = []
    for _ in range(40):
        end = rng.uniform(1, 2)
        shape = [3 - 0.5 * t for t in range(5)] + [1 + 0.04 * t for t in range(5)]
        made.append(studies.Made(studies.draw_params(simulated.SPACE, rng), [sign * end * y for y in shape]))
    late = late_training(studies.study_of(simulated.SPACE, made, direction=direction))
    assert late.overfitting is not None and late.overfitting.told and late.overfitting.part == 3
    assert (late.overfitting.trials, late.overfitting.of) == (10, 10)
    assert late.improving is not None and not late.improving.trials


def test_the_choice_of_the_best_does_not_answer_whether_they_still_improve():
    """Curves that are noise alone: the best by the last reading fell late, and that says nothing."""
    rng, told, sweeps = np.random.default_rng(5), 0, 200
    for _ in range(sweeps):
        curves = 2 + 0.1 * simulated._correlated(rng, (60, 10), 0.3)
        snapshot = simulated._study(
            rng.random((60, 6)), curves, curves, np.zeros(60, bool), False, with_curves=True
        )
        late = late_training(snapshot)
        told += late.improving is not None and late.improving.told
    assert told <= stats.binom.ppf(0.9999, sweeps, 0.05)


def test_few_and_short_curves_say_nothing():
    short = studies.study_of(
        simulated.SPACE,
        [
            studies.Made(studies.draw_params(simulated.SPACE, random.Random(i)), [1.0 + i] * 9)
            for i in range(40)
        ],
    )
    assert {card(short, check).verdict for check in list(Check)[3:]} == {Verdict.OPEN}
    found = referee(replace(simulated.sweep(4), trials={i: simulated.sweep(4).trials[i] for i in range(19)}))
    assert found is not None and found.best != () and found.card(Check.NOISE).verdict is Verdict.OPEN


def test_both_signs_have_a_margin_of_the_spread():
    rng = random.Random(6)
    made = [
        studies.Made(studies.draw_params(simulated.SPACE, rng), [rng.gauss(0, 1)] * 12) for _ in range(40)
    ]
    assert late_training(studies.study_of(simulated.SPACE, made)).of_spread


# --- whole studies


def test_what_needs_independent_draws_is_not_said_without_them():
    whole = simulated.sweep(4, "border")
    learnt = replace(whole, search=replace(whole.search, sampler="tpe"))
    found = referee(learnt)
    assert found is not None
    for check in (Check.BORDER, Check.POINTS):
        assert found.card(check) == Card(check, Verdict.OPEN, Obstacle.LEARNS)
    assert found.card(Check.OVERFITTING).verdict is Verdict.PASS  # the curves are what they are


def test_the_gap_behind_few_good_points_is_that_of_the_outliers():
    evidence = card(simulated.sweep(4, "points"), Check.POINTS).evidence
    assert isinstance(evidence, Ahead) and len(evidence.trials) == 3


def test_the_cards_stand_in_the_order_of_the_questions():
    found = referee(simulated.sweep(4))
    assert found is not None and [c.check for c in found.cards] == list(Check)
    assert all(a < b for a, b in pairwise([list(Check).index(c.check) for c in found.cards]))


@pytest.mark.parametrize("name", studies.ODD)
def test_no_study_is_too_odd(name):
    referee(studies.ODD[name]())
