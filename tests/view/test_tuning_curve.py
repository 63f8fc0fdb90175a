"""The tuning curve as picture and sentences."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from support import studies

from tuner_tui.analysis.best_possible import BestPossible
from tuner_tui.analysis.draws import Obstacle
from tuner_tui.study.outcomes import Reason
from tuner_tui.view.findings import FINDINGS, TUNING_CURVE, all_findings
from tuner_tui.view.tuning_curve import HEIGHT, WHY, find, panel, sentences


def of(losses, direction="minimize", reason=Reason.EXCEPTION):
    rng = random.Random(1)
    made = [
        studies.Made(
            studies.draw_params(studies.SMALL_SPACE, rng), () if loss is None else (loss,),
            reason if loss is None else None,
        )
        for loss in losses
    ]  # fmt: skip
    return studies.study_of(studies.SMALL_SPACE, made, direction=direction)


def text(line) -> str:
    return "".join(run.text for run in line)


def test_it_says_what_was_counted():
    losses = [round(1 + n / 10, 2) for n in range(100)] + [None] * 100
    whole = replace(of(losses), planned=248)
    assert sentences(find(whole)) == (
        "5 trials reach 3.5 or better half of the time (95 % band: 2.1 to 5.2)",
        "48 more trials: 19 % chance to improve by more than 1 %, on average over such searches",
        "in this search the chance is at most 51 % (with 95 % confidence)",
        "too few trials to say how good the best value is that this space allows",
        "counted as independent draws: 200 trials; the 100 that did not finish count as the worst",
    )
    # by hand: F(y) >= 1 - 0.5^(1/5) = 0.1294, and -+ 0.0960 about it: the 26th, the 7th and the 46th of 200
    assert (losses[25], losses[6], losses[45]) == (3.5, 1.6, 5.5)


def test_open_ends_are_said():
    reached = sentences(find(of([1.0 + n for n in range(12)] + [None] * 12)))[0]
    assert reached == (
        "5 trials reach 4 or better half of the time (95 % band: from better than any so far to 9)"
    )
    assert "to none finished" in sentences(find(of([1.0 + n for n in range(5)] + [None] * 15)))[0]
    assert sentences(find(of([1.0] + [None] * 30)))[0] == (
        "5 trials end without a finished one more than half of the time"
    )


def test_only_crashes():
    found = find(of([None] * 40))
    assert sentences(found) == (
        "none of 40 trials finished: there is no best value yet",
        "10 more trials: at most 53 % chance that one finishes (with 95 % confidence)",
        "counted as independent draws: 40 trials; the 40 that did not finish count as the worst",
    )
    assert panel(found, 80) == ()


def test_both_signs_have_no_percentage_of_the_best():
    said = sentences(find(of([n - 12.0 for n in range(25)])))[1]
    assert "by more than 1 % of the distance between the quartiles, on average" in said


def test_the_best_possible_is_said_in_the_unit_and_direction_of_the_objective():
    rng = random.Random(3)
    losses = [1 + rng.uniform(-1, 1) ** 2 for _ in range(400)]
    said = sentences(find(of(losses)))[3]
    assert said == (
        "the best that this space allows, averaged over seeds: 0.9985 to 1.002 (95 % confidence, if values are about "
        "quadratic near the optimum); best so far: 1"
    )
    assert sentences(find(of([-loss for loss in losses], "maximize")))[3] == (
        said.replace("0.9985 to 1.002", "-0.9985 to -1.002").replace("far: 1", "far: -1")
    )
    coarse = sentences(find(of([round(loss, 1) for loss in losses])))[3]
    assert coarse == "too many equal values to say how good the best is that this space allows"


@pytest.mark.parametrize("bad", [1.125, None])
def test_an_open_end_of_the_best_possible_is_no_number(bad):
    found = replace(find(of([1.0 + n for n in range(30)])), best=BestPossible(0.5, bad, 1.0))
    ends = "not better than 0.5" if bad is None else "0.5 to 1.125"
    assert sentences(found)[3] == (
        f"the best that this space allows, averaged over seeds: {ends} (95 % confidence, if values are about "
        "quadratic near the optimum); best so far: 1"
    )


def test_what_is_left_out_is_said():
    assert sentences(find(of([1.0 + n for n in range(25)] + [None], reason=Reason.STOPPED)))[4:] == (
        "counted as independent draws: 25 trials",
        "left out: 1 trial (stopped, interrupted or run again)",
    )


def test_no_number_without_independent_draws():
    whole = of([1.0 + n for n in range(30)])
    for sampler, obstacle in (("tpe", Obstacle.LEARNS), ("", Obstacle.UNKNOWN)):
        found = find(replace(whole, search=replace(whole.search, sampler=sampler)))
        assert sentences(found) == (WHY[obstacle],) and panel(found, 80) == ()
    assert set(WHY) == set(Obstacle)
    assert not any(c.isdigit() for why in set(Obstacle) - {Obstacle.TOO_FEW} for c in WHY[why])


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_the_picture_goes_to_the_better_side(direction):
    lines = panel(find(of([1.0 + n for n in range(60)], direction)), 80, color=False)
    assert len(lines) == HEIGHT and "median and 95 % band" in text(lines[0])
    drawn = [(row, [i for i, c in enumerate(text(line)) if "⠀" < c <= "⣿"]) for row, line in enumerate(lines)]
    first = next(row for row, columns in drawn if columns)
    last = max(row for row, columns in drawn if columns)
    better, worse = (last, first) if direction == "minimize" else (first, last)
    assert min(dict(drawn)[worse]) < 20 < 60 < max(dict(drawn)[better])


@pytest.mark.parametrize("name", studies.ODD)
@pytest.mark.parametrize("width", [1, 20, 80, 300])
def test_no_study_is_too_odd(name, width):
    snapshot = studies.ODD[name]()
    for line in TUNING_CURVE.lines(snapshot, width, color=False):
        assert len(text(line)) <= width
    losses = [t.value for t in snapshot.trials.values()] * 3  # enough of them for a curve
    for line in TUNING_CURVE.lines(of(losses), width, color=False):
        assert len(text(line)) <= width


def test_it_is_one_of_the_findings():
    assert TUNING_CURVE in FINDINGS
    assert "Tuning curve\n" in all_findings(of([0.5, 0.3]), 80, color=False)
