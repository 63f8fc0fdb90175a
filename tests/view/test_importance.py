"""What is said of importance."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support import studies

from tuner_tui.analysis.draws import Obstacle
from tuner_tui.analysis.importance import Importance, Share
from tuner_tui.view.findings import FINDINGS, IMPORTANCE, all_findings
from tuner_tui.view.importance import WHY, find, sentences


def share(name: str, part: float, told: bool = True) -> Share:
    p = 0.001 if told else 0.6
    return Share(name, part, 0.034, p, p)


def test_both_questions_are_answered():
    loss = (share("lr", 0.61), share("width", 0.12), share("a", 0.02, False), share("b", 0.0, False))
    survival = (share("width", 0.4), share("lr", 0.0, False))
    assert sentences(Importance(100, 50, loss, survival)) == [
        "2 of 4 hyperparameters explain the loss: lr 61 %, width 12 % of the differences in rank "
        "(chance alone: up to 3 %)",
        "the other 2 can't be told from chance",
        "1 of 2 hyperparameters decides whether a trial finishes: width 40 % of the differences in that "
        "(chance alone: up to 3 %)",
        "the other 1 can't be told from chance",
    ]


def test_nothing_and_too_few_are_told_apart():
    none = (share("a", 0.02, False), share("b", 0.0, False))
    assert sentences(Importance(100, 3, none, ())) == [
        "the loss: none of 2 hyperparameters can be told from chance",
        "too few to say what decides whether a trial finishes: 3 trials did not finish",
    ]
    assert sentences(Importance(7, 40, (), none)) == [
        "too few to say what explains the loss: 7 finished trials",
        "whether a trial finishes: none of 2 hyperparameters can be told from chance",
    ]


def test_many_are_counted():
    said = sentences(Importance(100, 0, tuple(share(f"h{i}", 0.1) for i in range(9)), ()))
    assert said == [
        "9 of 9 hyperparameters explain the loss: h0 10 %, h1 10 %, h2 10 %, h3 10 %, h4 10 %, h5 10 % and 3 more "
        "of the differences in rank (chance alone: up to 3 %)"
    ]


def test_no_number_without_independent_draws():
    assert set(WHY) == set(Obstacle)
    whole = studies.seed_snapshot()
    learnt = replace(whole, search=replace(whole.search, sampler="tpe"))
    assert sentences(find(learnt)) == [WHY[Obstacle.LEARNS]]


@pytest.mark.parametrize("name", studies.ODD)
@pytest.mark.parametrize("width", [1, 20, 80])
def test_no_study_is_too_odd(name, width):
    for line in IMPORTANCE.lines(studies.ODD[name](), width, color=False):
        assert sum(len(run.text) for run in line) <= width


def test_it_is_one_of_the_findings():
    assert IMPORTANCE in FINDINGS
    assert "Importance\n" in all_findings(studies.seed_snapshot(), 80, color=False)
