"""What the referee's cards say: true counts, what to do next, the worst first."""

from __future__ import annotations

import pytest
from hypothesis import given
from support import simulated, studies
from support.snapshot_strategies import snapshots

from tuner_tui.analysis.draws import Obstacle
from tuner_tui.view.findings import FINDINGS, REFEREE
from tuner_tui.view.referee import OPEN_WHY, find, sentences


def said(fault: str, seed: int = 4) -> list[str]:
    return list(sentences(find(simulated.sweep(seed, fault))))


def test_a_border_is_to_be_moved():
    assert said("border")[0] == (
        "FIX best trials at a border: 7 of the best 9 trials have lr > 0.035, as 9 of all 90 finished do "
        "(p < 0.001 after correction). next: widen lr above 0.1"
    )


def test_an_edge_where_trials_fail_is_to_be_understood():
    first = said("instability")[0]
    assert first.startswith("FIX trials that fail: 32 of 100 trials did not finish; ")
    assert first.endswith(
        "no trial with lr > 0.006 finished. next: find out why trials fail with lr > 0.006; the best may lie there, "
        "once training is stable"
    )


def test_few_good_points_are_named():
    first = said("points")[0]
    assert first.startswith(
        "LOOK too few good points: only 3 trials of 100 are ahead, up to -2.067; the next has -3.072"
    )
    assert "run trials 8, 49, 19 again with other seeds" in first


def test_curves_are_counted_and_the_trials_named():
    lines = said("overfitting")
    assert lines[0].startswith(
        "LOOK overfitting late: 10 of the best 10 trials end more than 1 % worse than in the third fifth of their "
        "training"
    )
    best = sorted(
        (t for t in simulated.sweep(4, "overfitting").trials.values() if not t.failed), key=lambda t: -t.value
    )
    assert lines[-1].endswith(": " + ", ".join(str(t.number) for t in best[:10]))
    assert any(line.startswith("PASS") and line.endswith("9 would tell") for line in lines)


def test_a_training_loss_is_called_by_its_name():
    import dataclasses

    whole = simulated.sweep(4, "rising")
    assert "end with the training loss more than" in said("rising")[0] or "loss/train" in said("rising")[0]
    named = {n: dataclasses.replace(t, latest={"loss/train": 1.0}) for n, t in whole.trials.items()}
    assert (
        "end with loss/train more than 1 % worse"
        in sentences(find(dataclasses.replace(whole, trials=named)))[0]
    )


def test_cards_that_say_the_same_are_told_together():
    lines = sentences(find(studies.small_snapshot()))
    assert lines[0].startswith("OPEN best trials at a border, too few good points: too few trials to say")
    assert len(lines) == 4  # failures, curves and the training loss have their own reasons
    assert "6 of 21 trials did not finish; too few to say whether they crowd" in lines[1]


def test_every_obstacle_has_its_words():
    assert set(OPEN_WHY) == set(Obstacle)


@pytest.mark.parametrize("name", studies.ODD)
@pytest.mark.parametrize("width", [1, 8, 20, 80])
@pytest.mark.parametrize("color", [False, True])
def test_no_study_is_too_odd(name, width, color):
    for line in REFEREE.lines(studies.ODD[name](), width, color=color):
        assert sum(len(run.text) for run in line) <= max(width, 1)


@given(snapshots)
def test_any_study_can_be_judged(snapshot):
    found = find(snapshot)
    assert found is None or all(text and "None" not in text for text in sentences(found))


def test_it_is_one_of_the_findings():
    assert REFEREE in FINDINGS
