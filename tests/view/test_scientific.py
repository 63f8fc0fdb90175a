"""What is said of scientific choices."""

from __future__ import annotations

import math

from tuner_tui.analysis.draws import Obstacle
from tuner_tui.analysis.scientific import Arm, Comparison, Question
from tuner_tui.analysis.tuning_curve import Point
from tuner_tui.view.findings import FINDINGS, SCIENTIFIC
from tuner_tui.view.scientific import WHY, sentences

A = Arm("attention", "attention", 52, 3, Point(12, 0.31, 0.28, 0.36))
B = Arm("conv", "conv", 48, 0, Point(12, 0.35, -math.inf, 0.4))
C = Arm("none", "none", 50, 45, Point(12, math.inf, 0.5, math.inf))


def test_values_are_compared_in_words():
    question = Question("kind", 12, A, (Comparison(B, 0.83, 0.012), Comparison(C, 0.97, 0.3)), ("rare",))
    assert sentences((question,)) == (
        "kind, the others tuned with 12 trials for each value: attention reaches 0.31 or better half of the time "
        "(95 % band 0.28 to 0.36; 52 trials, 3 not finished); conv has 0.35 (95 % band better than any so far to "
        "0.4; 48 trials); none ends without a finished trial more than half of the time (50 trials, 45 not finished)",
        "attention beats conv in 83 % of such pairs (p = 0.01 after correction)",
        "attention beats none in 97 % of such pairs, which can't be told from chance",
        "too few trials of kind = rare: it takes 12",
    )


def test_too_few_and_obstacles():
    assert sentences((Question("kind", 0, None, (), ()),)) == (
        "too few trials to compare values of kind: it takes 12 of each of two",
    )
    assert set(WHY) == set(Obstacle) and sentences(Obstacle.LEARNS) == (WHY[Obstacle.LEARNS],)


def test_a_range_has_two_ends():
    low, high = Arm(1e-5, 1e-4, 20, 0, A.point), Arm(1e-3, 1e-2, 20, 0, B.point)
    assert (
        "1e-5 to 1e-4 beats 1e-3 to 0.01 in 60 %"
        in sentences((Question("lr", 5, low, (Comparison(high, 0.6, 0.04),), ()),))[1]
    )


def test_it_is_one_of_the_findings():
    assert SCIENTIFIC in FINDINGS
