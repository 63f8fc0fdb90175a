"""A sweep of thirty trials, a third of them sabotaged, watched, left, its engine killed, and resumed.

Afterwards journal, MLflow, reports and screen must tell the same of every trial, and nothing may run on.
"""

from __future__ import annotations

import json
import os
import signal

import pytest
from support.sabotage import alive, journal_is_whole, study, tuner, wait_for, wait_gone, workplace
from support.story import SEARCH, agrees_with_mlflow
from support.terminal import Terminal
from support.ways_to_end import SABOTAGE

from tuner_tui.record.uri import tracking_uri
from tuner_tui.study.outcomes import Outcome, Reason
from tuner_tui.study.processes import survivors
from tuner_tui.study.state import State

ENDS = {
    "raises": (Outcome.UNFINISHED, Reason.EXCEPTION),
    "raises_early": (Outcome.NO_START, Reason.EXCEPTION),
    "sys_exit": (Outcome.UNFINISHED, Reason.EXIT),
    "os_exit_early": (Outcome.NO_START, Reason.EXIT),
    "segfault": (Outcome.UNFINISHED, Reason.SIGNAL),
    "sigkill": (Outcome.UNFINISHED, Reason.SIGNAL),
    "eats_memory": (Outcome.UNFINISHED, Reason.OUT_OF_MEMORY),
    "hangs": (Outcome.UNFINISHED, Reason.TIMEOUT),
    "nan": (Outcome.UNFINISHED, Reason.DIVERGED),
}


@pytest.mark.slow
def test_journal_mlflow_and_screen_agree_on_every_trial(tmp_path):
    workplace(tmp_path, SEARCH)
    screen = Terminal(tmp_path, "sweep")  # attached: the screen starts a detached engine
    folder = study(tmp_path, "story-1")
    wait_for(folder, lambda s: s.counts.ended >= 5)
    screen.wait_for(r"story-1")
    assert screen.leave() == 0  # detached
    assert folder.engine_alive()
    # Between two trials an engine runs none, and none would be interrupted: kill it while both places are taken.
    snapshot = wait_for(folder, lambda s: s.counts.ended >= 14 and s.counts.running == 2)

    os.kill(snapshot.pid, signal.SIGKILL)  # half-way
    wait_gone([snapshot.pid, *(t.pid for t in folder.snapshot().trials.values() if t.pid)])
    lost = wait_for(folder, lambda s: s.counts.running == 0)  # buried by the publisher, without a resume
    assert any(t.reason is Reason.INTERRUPTED for t in lost.trials.values())
    wait_for(folder, lambda s: folder.state(s) is State.INTERRUPTED)  # once who buried them lets the lock go

    resumed = tuner(tmp_path, "resume", "story", "--headless", "--json", "result.json")
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr

    after = folder.snapshot()
    journal_is_whole(folder)
    assert sorted(after.trials) == list(range(30))
    assert {t.number: t for t in lost.trials.values()}.items() <= dict(after.trials).items()
    sabotaged = 0
    for trial in after.trials.values():
        fate = trial.params["fate"]
        if trial.reason is not Reason.INTERRUPTED:
            expected = ENDS[SABOTAGE[fate]] if fate < len(SABOTAGE) else (Outcome.FINISHED, None)
            assert (trial.outcome, trial.reason) == expected, trial
            sabotaged += fate < len(SABOTAGE)
    assert sabotaged >= 5

    agrees_with_mlflow(folder, tracking_uri(tmp_path / "mlruns", None))

    result = json.loads((tmp_path / "result.json").read_text())
    told = [(t["number"], t["outcome"], t["reason"], t["value"]) for t in result["trials"]]
    assert told == [(t.number, t.outcome, t.reason, t.value) for _, t in sorted(after.trials.items())]

    counts = after.counts
    screen = Terminal(tmp_path)
    screen.wait_for("story-1")
    screen.press("\r")
    screen.wait_for(
        rf"{counts.finished}\W+(finished|done)\W+{counts.unfinished}\W+(unfinished|early)"
        rf"\W+{counts.no_start}\W+(never started|no start)"
    )
    assert screen.leave() == 0
    assert survivors(folder.path) == []


def test_a_lost_line_leaves_the_sweep_running(tmp_path):
    workplace(tmp_path, SEARCH.replace("fated", "forever").replace("fate = { int = [0, 29] }", 'k = ["a"]'))
    forever = (tmp_path / "ways_to_end.py").read_text().replace("def forever(*, ", "def forever(*, k='', ")
    (tmp_path / "ways_to_end.py").write_text(forever)
    screen = Terminal(tmp_path, "sweep")
    folder = study(tmp_path, "story-1")
    wait_for(folder, lambda s: s.counts.running == 2)
    screen.hang_up()
    seen = folder.snapshot().trials[0].steps
    snapshot = wait_for(folder, lambda s: s.trials[0].steps > seen + 3)
    assert alive(snapshot.pid) and folder.engine_alive()
    assert tuner(tmp_path, "stop", "--now").returncode == 0
    wait_for(folder, lambda s: s.closed_why == "stopped")
    wait_gone([snapshot.pid])  # it waits for MLflow to have it all


def test_a_screen_leaves_with_a_terminal_that_says_nothing(tmp_path):
    """Not the controlling terminal of its session, so its end sends no signal: only the line is dead."""
    screen = Terminal(tmp_path, controlling=False)
    screen.wait_for("No studies yet")
    screen.hang_up()
    assert screen.process.returncode is not None


def test_a_screen_under_nohup_ends_with_its_terminal(tmp_path):
    """Some service managers ignore SIGHUP for all they start."""
    screen = Terminal(tmp_path, nohup=True)
    screen.wait_for("No studies yet")
    screen.hang_up()
    assert screen.process.returncode is not None


def test_a_search_that_cannot_run_says_why_on_the_screen(tmp_path):
    workplace(tmp_path, SEARCH.replace("ways_to_end:fated", "ways_to_end:missing"))
    screen = Terminal(tmp_path, "sweep")
    screen.wait_for(r"ways_to_end:missing.\s+can't be imported")
    screen.press("\x1b")
    screen.wait_for(r"1\s+study\s+in")  # the list, where it stands as failed
    screen.wait_for(r"0/20|0/30")
    assert screen.leave() == 0
