"""The text at the end of a headless sweep, and the estimate of when that end will be."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from rich.cells import cell_len
from support import studies
from support.studies import SMALL_SPACE, START, Made, seed_snapshot, small_snapshot, study_of

from tuner_tui.analysis.pace import Pace
from tuner_tui.report.text import NARROWEST, summary
from tuner_tui.study.folder import StudyFolder
from tuner_tui.study.outcomes import Outcome, Reason
from tuner_tui.study.snapshot import Snapshot, Trial
from tuner_tui.view.findings import all_findings
from tuner_tui.view.words import duration, number, parameter

LOGS = StudyFolder(Path("mlruns/small-1"))


def below_the_plots(snapshot: Snapshot, width: int, folder: StudyFolder | None = None) -> str:
    """The summary without the scatterplots and other findings, which it must begin with."""
    text = summary(snapshot, width=width, color=False, files=folder)
    plots = all_findings(snapshot, width, color=False).rstrip("\n")
    assert text.startswith(plots + "\n\n")
    return text[len(plots) + 2 :]


def test_a_summary_ends_with_best_trials_failures_and_counts(golden):
    golden("summary.txt", below_the_plots(small_snapshot(), 100, LOGS))


def test_many_hyperparameters_go_down_the_page(golden):
    golden("summary_turned.txt", below_the_plots(seed_snapshot(), 80))


snapshots = studies.ODD | {"small": small_snapshot, "seed": seed_snapshot}


@pytest.mark.parametrize("name", snapshots)
@pytest.mark.parametrize("width", [1, 40, 80, 200])
def test_no_study_is_too_odd_and_no_line_too_long(name, width):
    text = summary(snapshots[name](), width=width, color=False, files=None)
    assert max(cell_len(line) for line in text.splitlines()) <= max(width, NARROWEST)
    assert "\x1b" not in text and text.endswith(" ended\n")


def test_colours_add_nothing_but_colour():
    plain = below_the_plots(small_snapshot(), 100)
    coloured = summary(small_snapshot(), width=100, color=True)
    assert "\x1b[" in coloured
    # The best trial's row is painted to its end, so trailing blanks may differ.
    stripped = "\n".join(line.rstrip() for line in re.sub(r"\x1b\[[0-9;]*m", "", coloured).splitlines())
    assert stripped.endswith(plain.rstrip("\n"))


def test_without_a_finished_trial_nothing_is_called_best():
    text = below_the_plots(study_of(SMALL_SPACE, [Made({"lr": 0.1}, (0.5,), Reason.TIMEOUT)]), 80)
    assert text.startswith("No trial finished, so there is no best.\nTrial 0 had reached 0.5 when")
    assert "Best of" not in text


def test_an_unfinished_trial_that_was_ahead_is_named_but_not_listed():
    made = [Made({"lr": 0.1}, (0.5,)), Made({"lr": 0.2}, (0.1,), Reason.TIMEOUT), Made({"lr": 0.3}, (0.4,))]
    text = below_the_plots(study_of(SMALL_SPACE, made), 80)
    rows = [line.split()[0] for line in text.splitlines()[2:4]]
    assert rows == ["2", "0"]
    assert "Trial 1 had reached 0.1 when it ended prematurely (timeout)." in text


def test_failures_show_the_commonest_message_and_the_log_of_one_that_said_it():
    made = [Made({}, (), Reason.EXCEPTION, message=m) for m in ("rare", "common", "common", "\x1b[2Jodd\n")]
    text = below_the_plots(study_of(SMALL_SPACE, made), 100, LOGS)
    assert "4 trials did not finish" in text
    assert "common (and 2 other messages)" in text and "trials 0, 1, 2, 3" in text
    assert "log mlruns/small-1/trials/1/log.txt" in text


def trial(seconds: float, outcome: Outcome | None, reason: Reason | None = None) -> Trial:
    ended = None if outcome is None else START + seconds
    return Trial(0, {}, started_at=START, ended_at=ended, outcome=outcome, reason=reason)


def test_the_estimate_weighs_kinds_of_ends_by_how_often_they_occur():
    pace = Pace()
    assert pace.typical() is None and pace.remaining([], 10, 1, START) is None
    for seconds in (9.0, 10.0, 1000.0):
        pace.add(trial(seconds, Outcome.FINISHED))
    for seconds in (1.0, 1.0, 1.0):
        pace.add(trial(seconds, Outcome.NO_START, Reason.EXIT))
    pace.add(trial(1e9, Outcome.UNFINISHED, Reason.INTERRUPTED))  # says nothing about how long trials take
    assert pace.typical() == pytest.approx((3 * 10.0 + 3 * 1.0) / 6)


def test_the_estimate_counts_what_runs_what_waits_and_how_many_at_once():
    pace = Pace()
    pace.add(trial(10.0, Outcome.FINISHED))
    running = [trial(0.0, None), trial(0.0, None)]
    assert pace.remaining(running, 4, 2, START + 4.0) == pytest.approx((6 + 6 + 4 * 10) / 2)
    assert pace.remaining(running, 0, 2, START + 4.0) == pytest.approx(6.0)
    assert pace.remaining(running, 1, 8, START + 4.0) == pytest.approx(10.0)  # the last one takes its time
    assert pace.remaining([], 0, 2, START) == 0.0
    assert pace.remaining(running, 0, 2, START + 60.0) is None  # overdue: nobody knows


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, "–"), (0.04, "0.0s"), (9.94, "9.9s"), (9.96, "10s"), (59.4, "59s"), (59.6, "1m00s"),
        (3599.4, "59m59s"), (3599.6, "1h00m"), (86399.0, "23h59m"), (90000.0, "1d01h"),
    ],
)  # fmt: skip
def test_durations(seconds, words):
    assert duration(seconds) == words


def test_numbers_and_parameters_are_short():
    assert [number(v) for v in (None, 0.5, 1.903e-5, 1e20, -3.2e-11, 0.0)] == [
        "–", "0.5", "1.903e-5", "1e20", "-3.2e-11", "0",
    ]  # fmt: skip
    assert [parameter(v) for v in (True, 64, 1e-5, "relu", (1, 2), None)] == [
        "true", "64", "1e-5", "relu", "[1, 2]", "",
    ]  # fmt: skip
    assert len(parameter("x" * 99)) == 24
