"""A running sweep is changed from a second shell: real engine, real trials, real requests."""

from __future__ import annotations

import pytest
from support.sabotage import journal_is_whole, study, tuner, wait_for, workplace
from support.terminal import Terminal

SEARCH = """
name = "live"
target = "slow:train"
objective = "loss"
trials = 400
[space]
x = { float = [0.0, 1.0] }
kind = ["a", "b"]
"""
SLOW = """
import time

def train(x: float, kind: str):
    for step in range(3):
        time.sleep(0.05)
        yield {"step": step, "loss": x}
"""


@pytest.mark.slow
def test_space_parallelism_plan_and_reruns_change_while_it_runs(tmp_path):
    workplace(tmp_path, SEARCH)
    (tmp_path / "slow.py").write_text(SLOW)
    screen = Terminal(tmp_path, "sweep")
    folder = study(tmp_path, "live-1")
    wait_for(folder, lambda s: s.counts.ended >= 3)
    assert (
        tuner(
            tmp_path, "change", "live", "--set", "x={ float = [5.0, 6.0] }", "--set", 'kind=["b"]'
        ).returncode
        == 0
    )
    assert tuner(tmp_path, "change", "--parallel", "2", "--add", "5", "--rerun", "0").returncode == 0
    changed = wait_for(folder, lambda s: s.search.parallel == 2 and s.planned == 406 and s.reruns)
    seen = max(changed.trials)
    later = wait_for(folder, lambda s: s.counts.ended > seen + 4)
    for number, trial in later.trials.items():
        if number > seen:
            assert 5.0 <= trial.params["x"] <= 6.0 and trial.params["kind"] == "b"
    assert later.trials[0].params["x"] <= 1.0
    assert later.space["x"].distribution.low == 0.0 and later.space["x"].distribution.high == 6.0
    refused = tuner(tmp_path, "change", "--set", "y=1")
    assert refused.returncode == 2 and "no such hyperparameter" in refused.stderr
    tuner(tmp_path, "stop", "--now")
    wait_for(folder, lambda s: s.closed_at is not None)
    assert screen.leave() == 0
    journal_is_whole(folder)
    refused = tuner(tmp_path, "change", "--add", "1")
    assert refused.returncode == 2 and "is not running" in refused.stderr
