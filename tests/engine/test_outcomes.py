"""Every way a trial can end, with a real child process, through the engine to the journal."""

from __future__ import annotations

import itertools
import json
import time
from dataclasses import replace
from pathlib import Path

import pytest
from support.one_trial import HERE, LIMITS, a_search
from support.patience import PATIENCE_S

from tuner_tui.engine.launcher import BadTarget
from tuner_tui.engine.run import run_study
from tuner_tui.search.search import Search
from tuner_tui.search.space import Choice, Hyperparameter, Space
from tuner_tui.study.folder import StudyFolder, create_study, list_studies
from tuner_tui.study.outcomes import Outcome, Reason
from tuner_tui.study.state import State
from tuner_tui.study.text import last_lines


def run(tmp_path: Path, search: Search) -> tuple[StudyFolder, dict]:
    folder = create_study(tmp_path, search.name)
    ran = run_study(folder, search, path=[HERE], gpus="none")
    assert folder.snapshot().trials == ran.snapshot.trials  # what the engine says is what the journal says
    return folder, dict(ran.snapshot.trials)


def test_who_was_asked_to_end_from_elsewhere_did_not_finish(tmp_path):
    """Although its own handler has taken the place of ours, and it returned."""
    _, trials = run(tmp_path, a_search(function="minds_a_sigterm_from_elsewhere"))
    assert (trials[0].outcome, trials[0].reason) == (Outcome.UNFINISHED, Reason.SIGNAL)
    assert "SIGTERM that tuner did not send" in trials[0].message


def test_a_trial_that_ends_its_workers_was_not_asked_to_end_itself(tmp_path):
    _, trials = run(tmp_path, a_search(function="ends_its_workers"))
    assert trials[0].outcome is Outcome.FINISHED and trials[0].value == trials[0].params["x"] / 2


def test_a_hundred_thousand_measurements_are_all_there(tmp_path):
    _, trials = run(tmp_path, a_search(function="measures_a_lot"))
    x = trials[0].params["x"]
    assert trials[0].outcome is Outcome.FINISHED and trials[0].value == x / 100_000
    assert trials[0].curve == tuple((step, x / (step + 1)) for step in range(100_000))


def test_a_clock_that_jumps_changes_no_duration_and_no_order(tmp_path, monkeypatch):
    """In the trial and in the engine, back and forth by hours."""
    jumps = itertools.cycle([0.0, -7200.0, 7200.0])
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + next(jumps))
    folder = create_study(tmp_path, "x")
    search = a_search(function="under_a_jumping_clock", trials=3)
    trials = run_study(folder, search, path=[HERE], gpus="none").snapshot.trials
    for trial in trials.values():
        assert trial.outcome is Outcome.FINISHED and [step for step, _ in trial.curve] == [0, 1, 2]
        assert 0 < (trial.ended_at or 0) - trial.started_at < PATIENCE_S
        assert trial.started_at < (trial.measured_at or 0) < (trial.ended_at or 0)
    assert trials[0].ended_at <= trials[1].started_at and trials[1].ended_at <= trials[2].started_at


@pytest.mark.parametrize(
    ("how", "outcome", "reason", "sentence"),
    [
        ("returns", Outcome.FINISHED, None, ""),
        (
            "raises",
            Outcome.UNFINISHED,
            Reason.EXCEPTION,
            "ValueError: the learning rate is on fire (ways_to_end.py:",
        ),
        ("raises_early", Outcome.NO_START, Reason.EXCEPTION, "ValueError"),
        ("sys_exit", Outcome.UNFINISHED, Reason.EXIT, "exit code 3 (sys.exit)"),
        ("sys_exit_0", Outcome.FINISHED, None, ""),
        ("os_exit", Outcome.UNFINISHED, Reason.EXIT, "exit code 5"),
        ("os_exit_early", Outcome.NO_START, Reason.EXIT, "exit code 5"),
        ("segfault", Outcome.UNFINISHED, Reason.SIGNAL, "SIGSEGV (segmentation fault)"),
        ("segfault_early", Outcome.NO_START, Reason.SIGNAL, "SIGSEGV"),
        ("sigkill", Outcome.UNFINISHED, Reason.SIGNAL, "SIGKILL"),
        ("memory_error", Outcome.UNFINISHED, Reason.OUT_OF_MEMORY, "cannot allocate 12 GiB"),
        ("nan", Outcome.UNFINISHED, Reason.DIVERGED, "loss became nan at step 3"),
        ("inf", Outcome.UNFINISHED, Reason.DIVERGED, "loss became inf at step 3"),
        ("diverged", Outcome.UNFINISHED, Reason.DIVERGED, "worse than a uniform guess: 5.1"),
        ("diverged_early", Outcome.NO_START, Reason.DIVERGED, "worse than a uniform guess: 5.1"),
        ("diverged_speechless", Outcome.UNFINISHED, Reason.DIVERGED, "Diverged (ways_to_end.py:"),
        ("rubbish", Outcome.FINISHED, None, ""),
        ("words", Outcome.UNFINISHED, Reason.EXCEPTION, "'a lot', not a number"),
        ("leaves_files", Outcome.UNFINISHED, Reason.EXCEPTION, "after saving"),
    ],
)
def test_how_it_ended_is_judged_and_said(tmp_path, how, outcome, reason, sentence):
    folder, trials = run(tmp_path, a_search(how))
    trial = trials[0]
    assert (trial.outcome, trial.reason) == (outcome, reason)
    assert sentence in trial.message if sentence else trial.message == ""
    assert (trial.value is None) == (outcome is Outcome.NO_START)
    if reason is Reason.EXCEPTION:
        assert "Traceback" in folder.traceback(0).read_text()
    if how == "segfault":
        assert any("ways_to_end.py" in line for line in last_lines(folder.log(0), 60))  # where it crashed
    if how == "leaves_files":
        assert (folder.out(0) / "weights.bin").stat().st_size == 1000


def test_out_of_memory_is_told_from_a_kill(tmp_path):
    _, trials = run(tmp_path, a_search("eats_memory", limits=replace(LIMITS, memory_gb=0.3)))
    assert (trials[0].outcome, trials[0].reason) == (Outcome.UNFINISHED, Reason.OUT_OF_MEMORY)


@pytest.mark.parametrize("how", ["hangs", "hangs_deaf", "holds_the_lock", "hangs_early"])
def test_a_hang_ends_at_the_time_limit(tmp_path, how):
    _, trials = run(tmp_path, a_search(how, limits=replace(LIMITS, trial_seconds=2.0)))
    outcome = Outcome.NO_START if how == "hangs_early" else Outcome.UNFINISHED
    assert (trials[0].outcome, trials[0].reason) == (outcome, Reason.TIMEOUT)
    assert trials[0].message == "took longer than 2 s"


def test_silence_ends_a_trial_and_measuring_keeps_it_alive(tmp_path):
    _, trials = run(tmp_path, a_search("silent", limits=replace(LIMITS, silent_seconds=1.5)))
    assert (trials[0].outcome, trials[0].reason) == (Outcome.UNFINISHED, Reason.SILENT)
    talking = a_search(function="forever", limits=replace(LIMITS, silent_seconds=1.5, trial_seconds=3.0))
    _, trials = run(tmp_path, talking)
    assert trials[0].reason is Reason.TIMEOUT


def test_a_generator_that_is_stopped_runs_its_finally(tmp_path):
    limits = replace(LIMITS, trial_seconds=1.0, grace_seconds=PATIENCE_S)
    folder, trials = run(tmp_path, a_search(function="forever", limits=limits))
    assert trials[0].reason is Reason.TIMEOUT
    assert last_lines(folder.log(0), 20) == ["finally ran"]


def test_a_yield_of_nothing_is_a_place_to_stop_and_no_measurement(tmp_path):
    limits = replace(
        LIMITS, trial_seconds=1.5, grace_seconds=PATIENCE_S
    )  # a kill would come too late to be it
    folder, trials = run(tmp_path, a_search(function="quiet", limits=limits))
    assert (trials[0].reason, trials[0].steps) == (Reason.TIMEOUT, 1)
    assert last_lines(folder.log(0), 20) == ["finally ran"]


def test_yields_of_nothing_are_silence(tmp_path):
    _, trials = run(tmp_path, a_search(function="quiet", limits=replace(LIMITS, silent_seconds=1.5)))
    assert trials[0].reason is Reason.SILENT


@pytest.mark.parametrize(("function", "factor"), [("number", 2.0), ("mapping", 1.0)])
def test_a_function_that_returns_is_a_trial_too(tmp_path, function, factor):
    _, trials = run(tmp_path, a_search(function=function))
    assert trials[0].outcome is Outcome.FINISHED
    assert trials[0].value == pytest.approx(factor * trials[0].params["x"])


def test_a_target_without_the_objective_is_no_result(tmp_path):
    """A study that goes on would be nothing but red lines: it stops, and says what to correct."""
    expected = r"trial 0 ended without ever reporting 'loss'.*or name another objective"
    with pytest.raises(BadTarget, match=expected):
        run(tmp_path, a_search(function="other_name", trials=5))
    snapshot = list_studies(tmp_path)[0].snapshot()
    assert list(snapshot.trials) == [0] and snapshot.closed_why == "failed"
    trials = snapshot.trials
    assert (trials[0].outcome, trials[0].reason) == (Outcome.NO_START, Reason.EXIT)
    assert trials[0].message == "ended without ever reporting 'loss' (it reported: los)"


def test_a_mixed_sweep_keeps_every_trial(tmp_path):
    hows = ("returns", "raises_early", "segfault", "sigkill_early", "nan", "os_exit", "sys_exit")
    search = a_search(trials=30, parallel=3)
    space = Space((*search.space, Hyperparameter("how", Choice(hows))))
    folder, trials = run(tmp_path, replace(search, space=space))
    assert sorted(trials) == list(range(30))
    for trial in trials.values():
        expected = {
            "returns": Outcome.FINISHED, "raises_early": Outcome.NO_START, "sigkill_early": Outcome.NO_START
        }.get(trial.params["how"], Outcome.UNFINISHED)  # fmt: skip
        assert trial.outcome is expected
    assert folder.state(folder.snapshot()) is State.DONE
    for line in folder.journal.read_text().splitlines():
        json.loads(line, parse_constant=pytest.fail)  # strict JSON, whatever the losses were


def test_a_trial_that_was_asked_to_stop_is_never_finished(tmp_path):
    """Not even one that handles SIGTERM, saves and returns in good order."""
    limits = replace(LIMITS, trial_seconds=0.5, grace_seconds=20)
    folder, trials = run(tmp_path, a_search(function="saves_at_sigterm", limits=limits, trials=4, parallel=4))
    assert {(t.outcome, t.reason) for t in trials.values()} == {(Outcome.UNFINISHED, Reason.TIMEOUT)}
    assert (folder.out(0) / "checkpoint").read_text() == "saved"


def test_nan_counts_however_fast_the_trial_was(tmp_path):
    _, trials = run(tmp_path, a_search(function="nan_in_the_middle", trials=40, parallel=4))
    assert {(t.outcome, t.reason) for t in trials.values()} == {(Outcome.UNFINISHED, Reason.DIVERGED)}
    assert {t.message for t in trials.values()} == {"loss became nan at step 1"}
    assert all(t.value == t.params["x"] for t in trials.values())  # the last loss before it


def test_a_plain_function_may_be_silent_until_it_returns(tmp_path, monkeypatch):
    monkeypatch.setattr("tuner_tui.engine.engine.SILENT_SECONDS", 0.5)
    usual = replace(LIMITS, silent_seconds=None)
    _, trials = run(tmp_path, a_search(function="works_in_silence", limits=usual))
    assert trials[0].outcome is Outcome.FINISHED
    _, trials = run(tmp_path, a_search("silent", limits=usual))  # a generator that hangs
    assert trials[0].reason is Reason.SILENT
    _, trials = run(
        tmp_path, a_search(function="works_in_silence", limits=replace(LIMITS, silent_seconds=0.5))
    )
    assert trials[0].reason is Reason.SILENT


def test_a_trainer_reports_while_it_trains(tmp_path):
    _, trials = run(tmp_path, a_search(function="reports"))
    x = trials[0].params["x"]
    assert trials[0].outcome is Outcome.FINISHED
    assert trials[0].curve == ((0, x), (1, x / 2), (2, x / 3), (3, x / 10))
    assert trials[0].latest["accuracy"] == 0.5


def test_report_is_where_a_trial_is_stopped(tmp_path):
    limits = replace(LIMITS, trial_seconds=2.0, grace_seconds=PATIENCE_S)
    folder, trials = run(tmp_path, a_search(function="reports_forever", limits=limits))
    assert (trials[0].outcome, trials[0].reason) == (Outcome.UNFINISHED, Reason.TIMEOUT)
    assert "finally ran" in (folder.trial(0) / "log.txt").read_text()


def test_a_copy_of_a_trial_does_not_speak_for_it(tmp_path):
    folder, trials = run(tmp_path, a_search(function="reports_from_a_copy"))
    assert trials[0].value == trials[0].params["x"]
    assert "call it in that one" in (folder.trial(0) / "log.txt").read_text()
    _, trials = run(tmp_path, a_search(function="forks_and_leaves"))
    x = trials[0].params["x"]
    assert trials[0].outcome is Outcome.FINISHED and trials[0].curve == ((0, x), (1, x / 2))


def test_an_error_is_told_whatever_hides_it(tmp_path):
    _, trials = run(tmp_path, a_search(function="speechless"))
    assert trials[0].reason is Reason.EXCEPTION
    assert trials[0].message.startswith(
        "Speechless: (its text can't be had: its __str__ raised RuntimeError)"
    )
    _, trials = run(tmp_path, a_search(function="leaves_nothing_behind"))
    assert trials[0].reason is Reason.EXCEPTION and trials[0].message.startswith("ValueError: after all that")
