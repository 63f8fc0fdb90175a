"""A trial that something outside of it has ended is tried again; its own failures are verdicts."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.one_trial import HERE, LIMITS, a_search

from tuner_tui.engine.launcher import Exited
from tuner_tui.engine.retrying import is_no_verdict
from tuner_tui.engine.run import run_study
from tuner_tui.study import cached_fold
from tuner_tui.study.folder import create_study
from tuner_tui.study.outcomes import Outcome, Reason

FLAKY = """
import os, signal
from pathlib import Path
def train(*, x, how, fails, out):
    tries = Path(out) / "tries"
    tries.write_text(str(int(tries.read_text()) + 1 if tries.exists() else 1))
    yield {"step": 0, "loss": 100 * x}
    if int(tries.read_text()) <= fails:
        if how == "kill": os.kill(os.getpid(), signal.SIGKILL)
        if how == "port": raise OSError(98, "Address already in use")
        if how == "segfault": os.kill(os.getpid(), signal.SIGSEGV)
        raise ValueError("bad lr")
    yield {"step": 1, "loss": x}
"""


def run(tmp_path, how: str, fails: int = 1, retries: int = 2, **changes):
    (tmp_path / "flaky.py").write_text(FLAKY)
    search = a_search(
        target="flaky:train",
        fixed={"how": how, "fails": fails},
        folder=str(tmp_path),
        retries=retries,
        **changes,
    )
    folder = create_study(tmp_path / "mlruns", "x")
    snapshot = run_study(folder, search, path=[str(tmp_path), HERE], gpus="none").snapshot
    assert folder.snapshot().trials == snapshot.trials
    return snapshot, folder


@pytest.mark.parametrize(("how", "reason"), [("kill", "signal"), ("port", "exception")])
def test_a_killed_trial_is_tried_again_and_each_attempt_is_told(tmp_path, how, reason):
    snapshot, folder = run(tmp_path, how, fails=2, trials=2)
    for trial in snapshot.trials.values():
        x = trial.params["x"]
        assert trial.outcome is Outcome.FINISHED and trial.value == x
        assert trial.curve == ((0, 100 * x), (1, x))  # of the last attempt alone
        assert [attempt[1] for attempt in trial.attempts] == [reason] * 2
        assert trial.pid is not None and trial.started_at >= trial.attempts[-1][0]
        assert not (folder.trial(trial.number) / "traceback.txt").exists()


def test_tries_are_counted(tmp_path):
    snapshot, _ = run(tmp_path, "kill", fails=9)
    trial = snapshot.trials[0]
    assert (trial.outcome, trial.reason) == (Outcome.UNFINISHED, Reason.SIGNAL) and len(trial.attempts) == 2
    assert trial.value == 100 * trial.params["x"]


@pytest.mark.parametrize(("how", "reason"), [("segfault", Reason.SIGNAL), ("raise", Reason.EXCEPTION)])
def test_what_is_a_verdict_is_not_tried_again(tmp_path, how, reason):
    snapshot, _ = run(tmp_path, how)
    assert snapshot.trials[0].reason is reason and snapshot.trials[0].attempts == ()


def test_without_retries_nothing_is_tried_again(tmp_path):
    snapshot, _ = run(tmp_path, "kill", retries=0)
    assert snapshot.trials[0].reason is Reason.SIGNAL and snapshot.trials[0].attempts == ()


def test_a_time_limit_is_a_verdict(tmp_path):
    search = a_search("hangs", limits=replace(LIMITS, trial_seconds=0.3), retries=2)
    folder = create_study(tmp_path, "x")
    trial = run_study(folder, search, path=[HERE], gpus="none").snapshot.trials[0]
    assert trial.reason is Reason.TIMEOUT and trial.attempts == ()


def test_memory_is_a_verdict_where_it_was_limited_or_nobody_else_ran():
    killed = Exited(0, 1.0, -9, "out_of_memory")

    def tried(**how: bool) -> bool:
        return is_no_verdict(Reason.OUT_OF_MEMORY, "killed: out of memory", killed, **how)

    assert tried(shares=True, limited=False)
    assert not tried(shares=True, limited=True) and not tried(shares=False, limited=False)


def test_attempts_survive_the_kept_fold(tmp_path):
    snapshot, _ = run(tmp_path, "kill")
    assert cached_fold.decode(cached_fold.encode(snapshot)).trials == snapshot.trials
