"""A sweep survives what happens to engines: Ctrl-C, polite and impolite kills, a second engine."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from support.patience import PATIENCE_S
from support.recorded import recorded
from support.sabotage import journal_is_whole, kill, start, study, tuner, wait_for, wait_gone, workplace

from tuner_tui.launch import resume
from tuner_tui.record.uri import tracking_uri
from tuner_tui.sources.journal import JournalSource
from tuner_tui.study.outcomes import Outcome, Reason
from tuner_tui.study.requests import Request, ask
from tuner_tui.study.state import State
from tuner_tui.study.text import last_lines

ENDLESS = """
name = "endless"
target = "ways_to_end:forever"
trials = 6
parallel = 2
[space]
x = { log = [0.1, 10.0] }
[limits]
grace_seconds = 300
"""
BRIEF = ENDLESS.replace("forever", "number").replace('"endless"', '"brief"')


@pytest.fixture
def running(tmp_path):
    """A headless sweep of endless trials, two of which are measuring."""
    workplace(tmp_path, ENDLESS)
    process = start(tmp_path, "sweep", "--headless")
    folder = study(tmp_path, "endless-1")
    snapshot = wait_for(folder, lambda s: sum(t.steps > 2 for t in s.trials.values()) == 2)
    yield tmp_path, process, folder, snapshot
    if process.poll() is None:
        kill(process)


def test_ctrl_c_twice_stops_everything_and_the_journal_is_complete(running):
    here, process, folder, snapshot = running
    process.send_signal(signal.SIGINT)
    wait_for(folder, lambda s: s.stopping)
    assert folder.snapshot().counts.running == 2  # once: they go on
    process.send_signal(signal.SIGINT)
    assert process.wait(PATIENCE_S) == 130
    after = folder.snapshot()
    assert {t.reason for t in after.trials.values()} == {Reason.STOPPED}
    assert {t.outcome for t in after.trials.values()} == {Outcome.UNFINISHED}
    assert after.closed_why == "stopped" and folder.state(after) is State.STOPPED
    journal_is_whole(folder)
    wait_gone([t.pid for t in snapshot.trials.values() if t.pid])
    assert "finally ran" in last_lines(folder.log(0), 20)
    assert "Ctrl-C again stops them" in (here / "out.txt").read_text()


def test_ctrl_c_once_waits_for_the_running_trials(tmp_path):
    workplace(tmp_path, BRIEF.replace("number", "until_told"))
    process = start(tmp_path, "sweep", "--headless")
    folder = study(tmp_path, "brief-1")
    wait_for(folder, lambda s: s.counts.running == 2)
    process.send_signal(signal.SIGINT)
    wait_for(folder, lambda s: s.stopping)
    (tmp_path / "told").touch()
    assert process.wait(PATIENCE_S) == 130
    after = folder.snapshot()
    assert after.counts.finished == 2 and after.counts.waiting == 4
    journal_is_whole(folder)


def test_a_polite_kill_stops_the_trials_too(running):
    _, process, folder, snapshot = running
    process.terminate()
    assert process.wait(PATIENCE_S) == 130
    assert {t.reason for t in folder.snapshot().trials.values()} == {Reason.STOPPED}
    journal_is_whole(folder)
    wait_gone([t.pid for t in snapshot.trials.values() if t.pid])


def trials_now_end(folder: Path) -> None:
    """The target in a user's folder is edited: what never ended returns at once from now on."""
    with (folder / "ways_to_end.py").open("a") as target:
        target.write("\n\nforever = number\n")


def test_a_killed_engine_takes_its_trials_along_and_resume_goes_on(running):
    here, process, folder, snapshot = running
    kill(process)
    wait_gone([t.pid for t in snapshot.trials.values() if t.pid])
    assert folder.state(folder.snapshot()) in (
        State.INTERRUPTED,
        State.RUNNING,
    )  # the publisher may be burying
    trials_now_end(here)
    resumed = tuner(here, "resume", "endless-1", "--headless")
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    after = folder.snapshot()
    assert sorted(after.trials) == list(range(6))
    assert [after.trials[n].reason for n in (0, 1)] == [Reason.INTERRUPTED] * 2
    assert after.counts.finished == 4
    assert after.trials[0].params == snapshot.trials[0].params
    journal_is_whole(folder)


def test_with_retries_what_was_interrupted_with_its_engine_runs_again(tmp_path):
    workplace(tmp_path, ENDLESS.replace("parallel = 2", "parallel = 2\nretries = 1").replace("6", "3"))
    process = start(tmp_path, "sweep", "--headless")
    folder = study(tmp_path, "endless-1")
    before = wait_for(folder, lambda s: sum(t.steps > 2 for t in s.trials.values()) == 2)
    kill(process)
    wait_gone([t.pid for t in before.trials.values() if t.pid])
    trials_now_end(tmp_path)
    resumed = tuner(tmp_path, "resume", "endless-1", "--headless")
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    after = folder.snapshot()
    assert after.counts.finished == 3 and after.closed_why == "completed"
    for number in (0, 1):
        trial = after.trials[number]
        (at, reason, message), *more = trial.attempts
        assert reason == Reason.INTERRUPTED and "it was alive at" in message and not more
        assert before.trials[number].started_at < at < trial.started_at
        assert (trial.params, trial.seed) == (before.trials[number].params, before.trials[number].seed)
    assert after.trials[2].attempts == ()
    # MLflow has one run of each trial, and nothing in it says that it was interrupted but the tag of that attempt.
    assert tuner(tmp_path, "publish", "endless-1").returncode == 0
    runs = recorded(tracking_uri(tmp_path / "mlruns", None), "endless-1", tmp_path / "mlruns")
    assert [(run.number, run.status, run.outcome, run.reason) for run in runs] == [
        (number, "FINISHED", "finished", None) for number in range(3)
    ]
    assert [sum(name.startswith("tuner.attempt.") for name in run.tags) for run in runs] == [1, 1, 0]


def test_a_second_engine_is_refused(running):
    here, _, _, _ = running
    second = tuner(here, "resume", "endless-1", "--headless")
    assert second.returncode == 2
    assert "endless-1 is running" in second.stderr


def test_a_resumed_sweep_draws_what_an_unbroken_one_would(tmp_path):
    workplace(tmp_path, BRIEF)
    assert tuner(tmp_path, "sweep", "--headless", "--trials", "6").returncode == 0
    assert tuner(tmp_path, "sweep", "--headless", "--trials", "2", "-p", "1").returncode == 0
    more = tuner(tmp_path, "resume", "brief-2", "--headless", "--trials", "6")
    assert more.returncode == 0, more.stderr
    unbroken = study(tmp_path, "brief-1").snapshot()
    resumed = study(tmp_path, "brief-2").snapshot()
    assert {n: t.params for n, t in unbroken.trials.items()} == {
        n: t.params for n, t in resumed.trials.items()
    }
    assert {n: t.seed for n, t in unbroken.trials.items()} == {n: t.seed for n, t in resumed.trials.items()}


CMAES = """
name = "learns"
target = "ways_to_end:fated"
sampler = "cmaes"
trials = 12
[space]
x = { log = [0.1, 10.0] }
fate = { int = [9, 1000] }
"""


def test_a_sampler_that_learns_repeats_no_trial_after_its_engine_was_killed(tmp_path):
    workplace(tmp_path, CMAES)
    process = start(tmp_path, "sweep", "--headless")
    folder = study(tmp_path, "learns-1")
    before = wait_for(folder, lambda s: s.counts.finished >= 7)
    kill(process)
    again = tuner(tmp_path, "resume", "--headless")
    assert again.returncode == 0, again.stderr
    after = folder.snapshot()
    assert all(after.trials[n].params == t.params for n, t in before.trials.items())
    assert len(after.trials) == 12 and len({t.params["x"] for t in after.trials.values()}) == 12


def test_a_study_that_is_done_says_how_to_get_more(tmp_path):
    workplace(tmp_path, BRIEF)
    assert tuner(tmp_path, "sweep", "--headless", "--trials", "1").returncode == 0
    again = tuner(tmp_path, "resume", "--headless")
    assert again.returncode == 2
    assert "all 1 trials have ended; `--trials N` adds more" in again.stderr


@pytest.mark.parametrize(
    ("target", "sentence"),
    [
        ("ways_to_end:missing", "has no 'missing'"),
        ("no_such_file:train", "No module named 'no_such_file'"),
        ("ways_to_end:sleeps", "takes no 'y'"),
    ],
)
def test_a_bad_target_is_refused_before_any_trial(tmp_path, target, sentence):
    text = BRIEF.replace("ways_to_end:number", target)
    workplace(tmp_path, text.replace("x =", "y =") if "y" in sentence[-3:] else text)
    refused = tuner(tmp_path, "sweep", "--headless")
    assert refused.returncode == 2
    assert sentence in refused.stderr
    folder = study(tmp_path, "brief-1")
    assert folder.snapshot().trials == {}
    assert folder.state(folder.snapshot()) is State.FAILED


def test_trials_added_while_it_ran_are_not_forgotten_by_a_resume(running):
    here, process, folder, _ = running
    ask(folder.requests, Request("add_trials", 3))
    wait_for(folder, lambda s: s.planned == 9)
    kill(process)
    wait_for(folder, lambda s: s.counts.running == 0)  # the publisher buries them
    trials_now_end(here)
    resume(JournalSource(folder))  # what the screen's key does: a detached engine
    after = wait_for(folder, lambda s: s.closed_why == "completed")
    assert sorted(after.trials) == list(range(9))
    assert after.counts.finished == 7
