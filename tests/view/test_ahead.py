"""What is said of trials ahead of the pack."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from support import studies
from support.snapshot_strategies import snapshots

from tuner_tui.analysis.draws import Obstacle
from tuner_tui.view.ahead import WHY, find, sentences
from tuner_tui.view.findings import FINDINGS, OUTLIERS


def of(losses, direction="minimize"):
    made = [studies.Made({"width": 16 + i}, (loss,)) for i, loss in enumerate(losses)]
    return studies.study_of(studies.SMALL_SPACE, made, direction=direction)


PACK = np.random.default_rng(1).normal(3, 0.3, 80).round(4).tolist()


@pytest.mark.parametrize("sign", [1, -1])
def test_trials_ahead_are_named(sign):
    losses = [sign * loss for loss in (0.43, 0.41, 0.42, *PACK)]
    said = sentences(find(of(losses, "minimize" if sign > 0 else "maximize")))
    values = ("0.41", "0.43") if sign > 0 else ("-0.41", "-0.43")
    follower = f"{sign * min(PACK):.4g}"
    assert said == (
        f"3 trials are ahead of the pack: 1, 2, 0, with {values[0]} to {values[1]}; the next has {follower}",
        "chance alone makes such a gap in less than 1 of 10,000 searches; run them again with other seeds before you "
        "believe them",
    )


def test_one_ahead_is_one():
    said = sentences(find(of([0.1, *PACK])))
    assert said[0].startswith("1 trial is ahead of the pack: 0, with 0.1; the next has ")
    assert said[1].endswith("run it again with other seeds before you believe it")


def test_none_ahead_has_its_gap():
    (said,) = sentences(find(of(PACK)))
    assert said.startswith("no trial is ahead of the pack: the most unusual gap is behind the best")
    assert "chance alone makes one like it in " in said


def test_every_obstacle_has_its_words():
    assert set(WHY) == set(Obstacle)


@given(snapshots)
def test_any_study_can_be_told(snapshot):
    found = find(snapshot)
    assert found is None or all("None" not in text for text in sentences(found))


@pytest.mark.parametrize("name", studies.ODD)
@pytest.mark.parametrize("width", [1, 20, 80])
def test_no_study_is_too_odd(name, width):
    for line in OUTLIERS.lines(studies.ODD[name](), width, color=False):
        assert sum(len(run.text) for run in line) <= width


def test_it_is_one_of_the_findings():
    assert OUTLIERS in FINDINGS
