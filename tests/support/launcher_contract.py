"""What any launcher must do, written once: `test_local_launcher.py` runs it over each launcher we have.

A new launcher (a cluster's, say) subclasses `LauncherContract` and returns itself from `launcher`.
"""

from __future__ import annotations

import time
from itertools import pairwise
from pathlib import Path

import pytest

from support.one_trial import HERE
from support.patience import PATIENCE_S, wait_until
from tuner_tui.engine.launcher import Exited, Job, Launcher, LauncherEvent, Said, Started


class LauncherContract:
    @pytest.fixture
    def launcher(self, tmp_path: Path):
        raise NotImplementedError

    @pytest.fixture
    def job(self, tmp_path: Path):
        def make(trial: int, function: str = "train", **params) -> Job:
            return Job(
                trial, f"ways_to_end:{function}", params, "loss", 7, str(tmp_path / str(trial)),
                path=[HERE], environment={"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "3"}, device="cuda",
            )  # fmt: skip

        return make

    def test_a_trial_starts_measures_ends_and_exits_in_this_order(self, launcher, job):
        launcher.submit(job(4, how="returns", x=6.0, steps=2))
        started, *said, exited = until_exited(launcher, {4})
        assert isinstance(started, Started) and started.trial == 4 and started.pid
        losses = [item.message["values"]["loss"] for item in said if "values" in item.message]
        assert losses == [6.0, 3.0]
        assert said[-1].message["end"] == "returned"
        assert isinstance(exited, Exited) and exited.exit_code == 0 and exited.cause == ""

    def test_a_seed_is_filled_in_and_measurement_times_grow(self, launcher, job):
        launcher.submit(job(0, how="returns", steps=50))
        messages = [i.message for i in until_exited(launcher, {0}) if isinstance(i, Said)]
        measured = [m for m in messages if "values" in m]
        assert {m["values"]["seed"] for m in measured} == {7.0}
        times = [m["at"] for m in measured]
        assert all(a < b for a, b in pairwise(times))

    @pytest.mark.parametrize(
        ("how", "code", "word"),
        [
            ("raises", 1, "raised"),
            ("sys_exit", 3, "exit"),
            ("sys_exit_0", 0, "exit"),
            ("os_exit", 5, None),
            ("segfault", -11, None),
            ("abort", -6, None),
            ("sigkill", -9, None),
            ("sigkill_early", -9, None),
            ("os_exit_early", 5, None),
        ],
    )
    def test_how_it_ended_is_told_truly(self, launcher, job, how, code, word):
        launcher.submit(job(1, how=how))
        *before, exited = until_exited(launcher, {1})
        assert exited.exit_code == code
        ends = [i.message["end"] for i in before if isinstance(i, Said) and "end" in i.message]
        assert ends == ([word] if word else [])

    def test_a_death_touches_no_neighbour(self, launcher, job):
        launcher.submit(job(0, "forever"))
        wait_for(launcher, lambda news: any(isinstance(i, Said) for i in news))
        for trial, how in enumerate(["segfault", "sigkill", "os_exit", "raises"], start=1):
            launcher.submit(job(trial, how=how))
        news = until_exited(launcher, {1, 2, 3, 4})
        assert not any(isinstance(i, Exited) and i.trial == 0 for i in news)
        wait_for(launcher, lambda news: any(isinstance(i, Said) and i.trial == 0 for i in news))
        launcher.stop(0, now=True)
        until_exited(launcher, {0})

    def test_an_asked_generator_runs_its_finally(self, launcher, job, tmp_path):
        launcher.submit(job(2, "forever"))
        wait_for(launcher, lambda news: any(isinstance(i, Said) for i in news))
        launcher.stop(2)
        *_, last_word, exited = until_exited(launcher, {2})
        assert last_word.message == {"end": "stopped"}
        assert exited.exit_code == 0
        assert "finally ran" in (tmp_path / "2" / "log.txt").read_text()

    def test_an_asked_function_runs_its_finally(self, launcher, job, tmp_path):
        launcher.submit(job(2, "sleeps"))
        wait_for(launcher, lambda news: any(isinstance(i, Started) for i in news))
        log = tmp_path / "2" / "log.txt"
        wait_until(lambda: log.exists() and "asleep" in log.read_text(), "it sleeps")
        launcher.stop(2)
        *_, last_word, _ = until_exited(launcher, {2})
        assert last_word.message == {"end": "stopped"}
        assert "finally ran" in log.read_text()

    @pytest.mark.parametrize("how", ["hangs_deaf", "holds_the_lock"])
    def test_now_ends_what_does_not_listen(self, launcher, job, how):
        launcher.submit(job(3, how=how))
        wait_for(launcher, lambda news: sum(isinstance(i, Said) for i in news) >= 3)
        launcher.stop(3, now=True)
        assert until_exited(launcher, {3})[-1].exit_code == -9

    def test_a_trial_takes_its_children_along(self, launcher, job):
        launcher.submit(job(5, how="leaves_children"))
        assert_vanishes(until_exited(launcher, {5})[0].pid)

    def test_it_sees_only_its_device(self, launcher, job, tmp_path):
        launcher.submit(job(6, "environment"))
        until_exited(launcher, {6})
        log = (tmp_path / "6" / "log.txt").read_text()
        assert "device cuda cuda 3" in log and "omp 1" in log

    def test_rubbish_on_its_output_stays_in_its_log(self, launcher, job, tmp_path):
        launcher.submit(job(7, how="rubbish"))
        assert until_exited(launcher, {7})[-1].exit_code == 0
        assert bytes(range(256)) in (tmp_path / "7" / "log.txt").read_bytes()

    def test_too_much_memory_has_its_own_cause(self, launcher, job):
        from dataclasses import replace

        launcher.submit(replace(job(8, how="eats_memory"), memory_bytes=300 << 20))
        exited = until_exited(launcher, {8})[-1]
        assert exited.cause == "out_of_memory"

    def test_what_a_trial_uses_is_told_while_it_runs(self, launcher, job):
        launcher.submit(job(8, "forever"))
        wait_for(launcher, lambda news: any(isinstance(i, Said) for i in news))
        assert launcher.samples() == {}, "use is a difference"
        wait_for(launcher, lambda news: any(isinstance(i, Said) for i in news))
        used = launcher.samples()[8]
        assert used["system/system_memory_usage_megabytes"] > 1
        assert 0 <= used["system/cpu_utilization_percentage"] <= 101
        launcher.stop(8, now=True)
        until_exited(launcher, {8})
        assert launcher.samples() == {}

    def test_close_leaves_nothing_running(self, launcher, job):
        launcher.submit(job(9, "forever"))
        news = wait_for(launcher, lambda news: any(isinstance(i, Said) for i in news))
        pid = next(i.pid for i in news if isinstance(i, Started))
        launcher.close()
        assert_vanishes(pid)


def until_exited(launcher: Launcher, trials: set[int]) -> list[LauncherEvent]:
    """All events until every one of `trials` has exited."""
    return wait_for(launcher, lambda news: trials <= {i.trial for i in news if isinstance(i, Exited)})


def wait_for(launcher: Launcher, enough) -> list[LauncherEvent]:
    news: list[LauncherEvent] = []
    deadline = time.monotonic() + PATIENCE_S
    while not enough(news):
        assert time.monotonic() < deadline, f"waited in vain; heard {news}"
        news += launcher.events(0.2)
    return news


def assert_vanishes(group: int) -> None:
    """Every member of the group has been sent SIGKILL: give the kernel a moment."""
    wait_until(lambda: group_members(group) == [], f"nobody is left in group {group}")


def group_members(group: int) -> list[int]:
    """Living processes of a group, zombies left out."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
            except OSError:
                continue
            state, _, member_of = stat[stat.rindex(")") + 2 :].split()[:3]
            if int(member_of) == group and state != "Z":
                found.append(int(entry.name))
    return found
