"""The best value so far over the ended trials: analysis, picture and sentence."""

from __future__ import annotations

import pytest
from support import studies

from tuner_tui.analysis.best_so_far import best_so_far
from tuner_tui.study.outcomes import Reason
from tuner_tui.view.best_so_far import find, panel, sentence
from tuner_tui.view.draw import PICTURE_HEIGHT
from tuner_tui.view.findings import FINDINGS, all_findings


def of(losses, direction="minimize"):
    """A study of trials that end with these losses; None: one that never started."""
    made = [
        studies.Made({"lr": 1e-3}, (), Reason.EXCEPTION)
        if loss is None
        else studies.Made({"lr": 1e-3}, (loss,))
        for loss in losses
    ]
    return studies.study_of(studies.SMALL_SPACE, made, direction=direction)


def test_it_falls_and_counts_every_ended_trial():
    found = best_so_far(of([None, 0.5, 0.7, 0.3, None, 0.3, 0.4]))
    assert found is not None
    assert found.bests == ((2, 0.5, 1), (4, 0.3, 3))  # an equal value is no new best
    assert found.values == ((2, 0.5), (3, 0.7), (4, 0.3), (6, 0.3), (7, 0.4))
    assert (found.ended, found.since) == (7, 3)
    assert sentence(find(of([None, 0.5, 0.7, 0.3, None, 0.3, 0.4]))) == (
        "best so far 0.3 (trial 3), after 4 of 7 ended trials; the 3 since brought nothing better"
    )


def test_larger_can_be_better():
    assert best_so_far(of([0.5, 0.3, 0.7], "maximize")).bests == ((1, 0.5, 0), (3, 0.7, 2))


@pytest.mark.parametrize("losses", [[], [0.5], [None, None, 0.5]])
def test_one_value_is_no_development(losses):
    assert best_so_far(of(losses)) is None and find(of(losses)) is None


def test_the_line_steps_down_to_the_star():
    lines = [
        "".join(run.text for run in line)
        for line in panel(find(of([0.9, 0.5, 0.7, 0.2, 0.4])), 60, color=False)
    ]
    assert len(lines) == PICTURE_HEIGHT and lines[0].strip().startswith("best loss/valid by trials ended")
    rows = {row: line for row, line in enumerate(lines) if any("⠀" < c <= "⣿" for c in line)}
    ends = [max(i for i, c in enumerate(line) if "⠀" < c <= "⣿") for _, line in sorted(rows.items())]
    assert ends == sorted(ends) and len(rows) > 3
    star = next(row for row, line in enumerate(lines) if "★" in line)
    assert star == max(rows)


@pytest.mark.parametrize("name", studies.ODD)
@pytest.mark.parametrize("width", [1, 20, 80, 300])
def test_no_study_is_too_odd(name, width):
    found = find(studies.ODD[name]())
    if found is not None:
        assert len(panel(found, width)) == PICTURE_HEIGHT


def test_it_is_one_of_the_findings():
    assert "best-so-far" in [finding.id for finding in FINDINGS]
    assert "Best so far\n" in all_findings(of([0.5, 0.3]), 80, color=False)
