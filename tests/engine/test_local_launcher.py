"""The local launcher, both ways, against the contract, and what only it must survive: its server's death."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from support.launcher_contract import LauncherContract, assert_vanishes, until_exited, wait_for
from support.one_trial import HERE, TESTS, a_job
from support.sabotage import alive

from tuner_tui.engine import local
from tuner_tui.engine.launcher import BadTarget, Exited, NotNow, Said, Started
from tuner_tui.engine.local import LocalLauncher
from tuner_tui.study.log import left_out
from tuner_tui.study.processes import start_ticks


class TestForked(LauncherContract):
    isolation = "fork"

    @pytest.fixture
    def launcher(self, tmp_path: Path):
        launcher = LocalLauncher(tmp_path, "ways_to_end:train", [HERE], isolation=self.isolation)
        yield launcher
        launcher.close()


class TestSpawned(TestForked):
    isolation = "spawn"


@pytest.fixture
def forked(tmp_path: Path):
    launcher = LocalLauncher(tmp_path, "ways_to_end:train", [HERE])
    yield launcher
    launcher.close()


def test_killing_the_server_ends_no_trial_and_starts_the_next_on_a_new_one(forked, tmp_path):
    forked.submit(a_job(tmp_path, 0, "forever"))
    wait_for(forked, lambda news: any(isinstance(i, Said) for i in news))
    os.kill(forked._server.pid, signal.SIGKILL)
    forked.submit(a_job(tmp_path, 1, how="sys_exit"))
    news = until_exited(forked, {1})
    assert next(i for i in news if isinstance(i, Exited)).exit_code == 3
    wait_for(forked, lambda news: any(isinstance(i, Said) and i.trial == 0 for i in news))
    forked.stop(0)
    assert until_exited(forked, {0})[-1].exit_code == 0  # a true exit code, not 255


def test_a_trial_lost_with_its_server_is_launched_again(forked, tmp_path):
    forked.describe()
    os.kill(forked._server.pid, signal.SIGSTOP)  # it will never answer
    forked.submit(a_job(tmp_path, 0, how="returns"))
    os.kill(forked._server.pid, signal.SIGKILL)
    news = until_exited(forked, {0})
    assert [type(i) for i in news].count(Started) == 1
    assert news[-1].exit_code == 0


def test_an_exit_status_survives_the_server_that_should_have_read_it(forked, tmp_path):
    forked.submit(a_job(tmp_path, 0, "forever"))
    news = wait_for(forked, lambda news: any(isinstance(i, Said) for i in news))
    os.kill(forked._server.pid, signal.SIGSTOP)  # it can't read any status now
    os.kill(news[0].pid, signal.SIGSEGV)
    time.sleep(0.2)
    forked.events(0.1)  # the launcher sees the death and asks
    os.kill(forked._server.pid, signal.SIGKILL)
    assert until_exited(forked, {0})[-1].exit_code == -11


def test_a_stopped_server_is_replaced(forked, tmp_path, monkeypatch):
    """By whoever sends SIGSTOP: it would never answer. Its trials go on."""
    monkeypatch.setattr(local, "_STOPPED_S", 0.2)
    forked.submit(a_job(tmp_path, 0, "forever"))
    wait_for(forked, lambda news: any(isinstance(i, Said) for i in news))
    stopped = forked._server.pid
    os.kill(stopped, signal.SIGSTOP)
    forked.submit(a_job(tmp_path, 1, how="returns"))
    assert until_exited(forked, {1})[-1].exit_code == 0
    assert forked._server.pid != stopped and not alive(stopped)
    wait_for(forked, lambda news: any(isinstance(i, Said) and i.trial == 0 for i in news))


def test_a_stopped_server_with_hundreds_of_jobs_before_it_does_not_hold_the_engine(forked, tmp_path):
    forked.describe()
    os.kill(forked._server.pid, signal.SIGSTOP)
    waits: set[int] = set()
    for trial in range(400):
        forked.submit(replace(a_job(tmp_path, trial), params={"note": "x" * 2000}))
        if waits := {item.trial for item in forked.events(0.0) if isinstance(item, NotNow)}:
            break
    assert waits == {trial} and trial > 10
    forked.close()


def test_a_target_with_a_book_for_a_default_is_described(tmp_path):
    (tmp_path / "wordy_module.py").write_text(f"def train(*, x=1, book={'x' * 300_000!r}): return x\n")
    launcher = LocalLauncher(tmp_path, "wordy_module:train", [str(tmp_path)])
    try:
        target = launcher.describe()
        assert target.names == ("x", "book") and target.defaults == {"x": 1}
    finally:
        launcher.close()


def test_an_import_that_is_killed_from_outside_is_tried_again(tmp_path):
    (tmp_path / "killed_module.py").write_text(
        "import os, pathlib\nonce = pathlib.Path(__file__).with_name('once')\n"
        "if not once.exists(): once.touch(); os.kill(os.getpid(), 9)\ndef train(*, x): return x\n"
    )
    launcher = LocalLauncher(tmp_path, "killed_module:train", [str(tmp_path)])
    try:
        assert launcher.describe().names == ("x",)
    finally:
        launcher.close()


def test_an_import_that_hangs_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(local, "_IMPORT_S", 0.5)
    (tmp_path / "hanging_module.py").write_text("import time\ntime.sleep(600)\n")
    launcher = LocalLauncher(tmp_path, "hanging_module:train", [str(tmp_path)])
    try:
        with pytest.raises(BadTarget, match=r"took longer than 0\.5 s: something in it hangs at import"):
            launcher.describe()
    finally:
        launcher.close()


def test_without_descriptors_a_trial_waits(forked, tmp_path):
    forked.describe()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(path.name) for path in Path("/proc/self/fd").iterdir())
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest, hard))
    taken = []
    try:
        with suppress(OSError):
            while True:
                taken.append(os.dup(0))
        forked.submit(a_job(tmp_path, 0))
        [refused] = forked.events(0.0)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for fd in taken:
            os.close(fd)
    assert isinstance(refused, NotNow) and "Too many open files" in refused.message
    forked.submit(a_job(tmp_path, 0, how="returns"))
    assert until_exited(forked, {0})[-1].exit_code == 0


def test_without_room_for_its_parameters_a_script_waits(forked, tmp_path):
    job = replace(a_job(tmp_path, 0), command=["python", "-c", "print(1)"], target="", params={"x": 1.0})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1, hard))
    try:
        forked.submit(job)
        [refused] = forked.events(0.0)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert isinstance(refused, NotNow) and "File too large" in refused.message


def test_an_endless_line_on_the_pipe_takes_no_memory(forked, tmp_path, monkeypatch):
    """A target that writes into its pipe by mistake, for ever; what it says after a line end counts again."""
    monkeypatch.setattr(local, "_LINE_BYTES", 1 << 17)
    forked.submit(a_job(tmp_path, 0, "floods_its_pipe"))
    longest = 0
    news = []
    while not any(isinstance(item, Exited) for item in news):
        news += forked.events(1.0)
        longest = max([longest, *(len(process.unread) for process in forked._processes.values())])
    assert longest <= 1 << 17
    said = [item.message for item in news if isinstance(item, Said)]
    assert [message["values"]["loss"] for message in said if "values" in message] == [1.0, 0.5]


def test_a_daemon_that_writes_into_the_pipe_for_ever_does_not_hold_the_engine(forked, tmp_path):
    forked.submit(a_job(tmp_path, 0, "leaves_a_writer"))
    assert until_exited(forked, {0})[-1].exit_code == 0


@pytest.mark.parametrize("isolation", ["fork", "spawn"])
@pytest.mark.parametrize("how", ["forever", "holds_the_lock"])
def test_trials_die_with_a_killed_engine(tmp_path, isolation, how):
    """A real engine-side process is SIGKILLed; its trial must be gone, even one that holds the GIL."""
    script = f"""
import sys, time
sys.path.insert(0, {TESTS!r})
from pathlib import Path
from support.one_trial import HERE, a_job
from tuner_tui.engine.local import LocalLauncher
tmp = Path({str(tmp_path)!r})
launcher = LocalLauncher(tmp, "ways_to_end:train", [HERE], isolation={isolation!r})
how = {how!r}
launcher.submit(a_job(tmp, 0, "forever") if how == "forever" else a_job(tmp, 0, how=how))
said = 0
while said < 3:
    for item in launcher.events(0.2):
        if type(item).__name__ == "Started":
            print(item.pid, flush=True)
        said += type(item).__name__ == "Said"
print("running", flush=True)
time.sleep(600)
"""
    engine = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert engine.stdout is not None
    pid = int(engine.stdout.readline())
    assert engine.stdout.readline() == "running\n"
    assert start_ticks(pid) is not None
    engine.kill()
    engine.wait()
    assert_vanishes(pid)


@pytest.mark.parametrize(
    ("target", "sentence"),
    [
        ("no_such_module:train", "No module named 'no_such_module'"),
        ("ways_to_end:no_such_function", "has no 'no_such_function'"),
        ("ways_to_end:os", "not a function"),
        ("broken_module:train", "broken_module.py:1"),
        ("leaving_module:train", "SystemExit"),
    ],
)
def test_a_target_that_cannot_be_imported_says_why(tmp_path, target, sentence):
    (tmp_path / "broken_module.py").write_text("1 / 0\n")
    (tmp_path / "leaving_module.py").write_text("import sys\nsys.exit('no main guard')\n")
    launcher = LocalLauncher(tmp_path, target, [str(tmp_path), HERE])
    try:
        with pytest.raises(BadTarget, match=sentence):
            launcher.describe()
    finally:
        launcher.close()


def test_a_target_that_kills_its_own_import_says_so(tmp_path):
    (tmp_path / "dying_module.py").write_text("import os\nos._exit(9)\n")
    launcher = LocalLauncher(tmp_path, "dying_module:train", [str(tmp_path)])
    try:
        with pytest.raises(BadTarget, match="exit status 9"):
            launcher.describe()
    finally:
        launcher.close()


def test_the_users_module_wins_over_a_built_in_of_the_same_name(tmp_path):
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "__init__.py").write_text("")
    (tmp_path / "models" / "train.py").write_text("def train(*, mine=1):\n    return 1.0\n")
    launcher = LocalLauncher(tmp_path, "models.train:train", [str(tmp_path)])
    try:
        assert launcher.describe().names == ("mine",)
    finally:
        launcher.close()


@pytest.mark.parametrize("isolation", ["fork", "spawn"])
def test_the_log_of_a_program_that_prints_for_ever_stays_within_its_limit(tmp_path, isolation):
    """`yes` writes gigabytes a second into a file: more than any engine could read and pass on."""
    launcher = LocalLauncher(tmp_path, "ways_to_end:train", [HERE], isolation=isolation)
    try:
        launcher.submit(replace(a_job(tmp_path, 0, "shouts"), log_bytes=1 << 20))
        wait_for(launcher, lambda news: any(isinstance(i, Said) for i in news))
        log = tmp_path / "0" / "log.txt"
        for _ in range(3):
            before = left_out(log, 1 << 20)
            wait_for(launcher, lambda news, before=before: left_out(log, 1 << 20) > before)
        launcher.stop(0, now=True)
        until_exited(launcher, {0})
        text = log.read_text()
        assert log.stat().st_size <= 1 << 20
        assert text.startswith("the first line\n") and text.endswith("y\n")
    finally:
        launcher.close()
