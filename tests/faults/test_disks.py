"""Disks that are full, folders that go away, too few descriptors: nothing that was measured is forgotten.

A full disk is a limit on the size of files (RLIMIT_FSIZE), set on the running engine: writes fail as on a full disk,
with a real error from the kernel, and no file system has to be filled.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from support.patience import PATIENCE_S, wait_until
from support.sabotage import TUNER, kill, start, study, tuner, wait_for, workplace

from tuner_tui.launch import Resources, launch, new_study, run_here, settled
from tuner_tui.search.file import load_search
from tuner_tui.study.events import StudyOpened, TrialEnded
from tuner_tui.study.folder import StudyFolder, StudyLock
from tuner_tui.study.journal import JournalReader, JournalWriter
from tuner_tui.study.outcomes import Outcome

SLOW = """
name = "slow"
target = "ways_to_end:sleeps"
trials = 6
parallel = 2
[space]
x = { log = [0.1, 10.0] }
[fixed]
seconds = 0.6
"""


def room(process: subprocess.Popen[str] | int, bytes_: int) -> None:
    pid = process if isinstance(process, int) else process.pid
    _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (bytes_, hard))


@pytest.fixture
def sweep(tmp_path):
    """A headless sweep two of whose trials run."""
    workplace(tmp_path, SLOW)
    process = start(tmp_path, "sweep", "--headless", "--no-color")
    folder = study(tmp_path, "slow-1")
    wait_for(folder, lambda s: s.counts.running == 2)
    yield tmp_path, process, folder
    if process.poll() is None:
        kill(process)


def said(here: Path) -> str:
    return (here / "out.txt").read_text()


def test_a_full_disk_pauses_the_sweep_which_goes_on_when_there_is_room(sweep):
    here, process, folder = sweep
    room(process, folder.journal.stat().st_size)
    wait_until(lambda: "paused: " in folder.trouble(), "the trouble to be told")
    listed = tuner(here, "list")
    assert "can't be written: File too large" in listed.stdout
    wait_until(lambda: "it goes on when that is over" in said(here), "the note")
    held = folder.snapshot()
    room(process, resource.RLIM_INFINITY)
    assert process.wait(PATIENCE_S) == 0, said(here)
    assert "going on" in said(here) and folder.trouble() == ""
    after = folder.snapshot()
    assert held.counts.ended < 6 and after.counts.finished == 6
    assert all(trial.value == trial.params["x"] for trial in after.trials.values())


def test_a_detached_engine_outlives_a_disk_without_room_for_its_own_words(tmp_path):
    """Its log is on the disk that is full, and its publisher has to be started anew meanwhile."""
    workplace(tmp_path, SLOW)
    search = load_search(tmp_path / "tuner.toml")
    folder = launch(tmp_path / "mlruns", search, tmp_path / "tuner.toml")
    snapshot = wait_for(folder, lambda s: s.counts.running == 2)
    assert snapshot.pid is not None
    with folder.engine_log.open("a") as log:
        log.write("earlier words\n" * 100)
    room(snapshot.pid, 1000)  # less than its log and the journal hold, more than the lock's file
    for pid in publishers(folder):
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: "paused: " in folder.trouble(), "the trouble to be told")
    held = folder.snapshot()
    assert held.counts.ended < 6
    for pid in (snapshot.pid, *publishers(folder)):  # one started meanwhile has inherited the limit
        room(pid, resource.RLIM_INFINITY)
    after = wait_for(folder, lambda s: s.closed_at is not None)
    assert after.counts.finished == 6 and "Traceback" not in folder.engine_log.read_text()


def test_an_engine_that_can_not_start_its_publisher_runs_its_trials(tmp_path):
    """Its log can't be made: the journal is complete, and what MLflow lacks is said."""
    workplace(tmp_path, SLOW)
    search = load_search(tmp_path / "tuner.toml")
    folder = new_study(tmp_path / "mlruns", search, settled(search, Resources()), tmp_path / "tuner.toml")
    (folder.path / "publisher.log").mkdir()
    said: list[str] = []
    ran = run_here(folder, warn=said.append)
    assert ran.snapshot.counts.finished == 6
    assert any("can't be started" in text and "publisher.log" in text for text in said)
    assert not ran.copy.wait(0.0, said.append) and "`tuner publish slow-1`" in said[-1]


def publishers(folder: StudyFolder) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        if (
            _readable(path)
            and str(folder.path).encode() in (words := path.read_bytes())
            and b"publisher" in words
        ):
            found.append(int(path.parent.name))
    return found


def test_what_can_not_be_written_to_the_end_is_said_and_kept_elsewhere(tmp_path):
    workplace(tmp_path, SLOW)
    process = subprocess.Popen(  # a pipe: a file for its words would be full too
        [*TUNER, "sweep", "--headless"], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=True,
    )  # fmt: skip
    folder = study(tmp_path, "slow-1")
    wait_for(folder, lambda s: s.counts.running == 2)
    room(process, folder.journal.stat().st_size)
    wait_until(lambda: "paused: " in folder.trouble(), "the trouble to be told")
    process.send_signal(signal.SIGTERM)
    text, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 4, text
    assert "are not in the journal" in text and "append it to" in text
    rescue = Path(next(word for word in text.split() if word.endswith(".jsonl:")).rstrip(":"))
    with folder.journal.open("ab") as journal:  # what the sentence says to do
        journal.write(rescue.read_bytes())
    rescue.unlink()
    assert folder.snapshot().counts.running == 0


def test_a_folder_that_is_removed_takes_no_measurement_along(sweep):
    here, process, folder = sweep
    wait_for(folder, lambda s: s.counts.finished >= 2)
    values = {n: t.value for n, t in folder.snapshot().trials.items() if t.outcome is Outcome.FINISHED}
    shutil.rmtree(folder.path, ignore_errors=True)
    assert process.wait(PATIENCE_S) == 4, said(here)
    assert "slow-1 was removed while the study ran" in said(here)
    after = folder.snapshot()
    assert {n: after.trials[n].value for n in values} == values and after.counts.running == 0
    resumed = tuner(here, "resume", "--headless", "--no-color")
    assert resumed.returncode in (0, 2), resumed.stderr


def test_a_folder_that_is_moved_is_told_with_its_new_place(sweep):
    here, process, folder = sweep
    folder.path.rename(here / "mlruns" / "elsewhere-1")
    assert process.wait(PATIENCE_S) == 4, said(here)
    assert "was moved to" in said(here) and "elsewhere-1" in said(here)
    after = study(here, "elsewhere-1").snapshot()
    assert after.counts.running == 0 and after.closed_why == "stopped"


def test_a_read_only_or_missing_place_is_refused_in_a_sentence(tmp_path):
    workplace(tmp_path, SLOW)
    (tmp_path / "mlruns").touch()  # no folder can be made there
    refused = tuner(tmp_path, "sweep", "--headless")
    assert refused.returncode == 2 and "Traceback" not in refused.stderr
    assert "mlruns" in refused.stderr


def test_too_few_descriptors_are_told_before_any_trial(tmp_path):
    workplace(tmp_path, SLOW)
    limits = (
        "import resource, os, sys; resource.setrlimit(resource.RLIMIT_NOFILE, (48, 48)); "
        "os.execv(sys.executable, sys.argv[1:])"
    )
    refused = subprocess.run(
        [sys.executable, "-c", limits, *TUNER, "sweep", "--headless", "--parallel", "14"],
        cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE_S,
    )  # fmt: skip
    assert refused.returncode == 2, refused.stderr
    assert "14 trials at once need about 110 open files, but at most 48 are allowed" in refused.stderr


def test_a_study_is_readable_by_its_owner_alone(tmp_path):
    """All that tuner writes there. What a trial writes is as the user's own settings have it."""
    workplace(tmp_path, SLOW.replace("sleeps", "train").replace("seconds = 0.6", 'how = "leaves_files"'))
    swept = tuner(tmp_path, "sweep", "--headless", "--mlflow-wait", "60", umask=0o022)
    assert swept.returncode == 3, swept.stderr
    folder = study(tmp_path, "slow-1")
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in (folder.path, *folder.path.rglob("*"))}
    weights = folder.out(0) / "weights.bin"
    assert modes.pop(weights) == 0o644
    assert not {p: oct(m) for p, m in modes.items() if m & 0o077 and p.name != "weights.bin"}
    assert (
        folder.traceback(0) in modes
        and folder.path / "publisher.json" in modes
        and folder.search_file in modes
    )


def test_a_password_is_not_in_the_process_list(tmp_path):
    workplace(tmp_path, SLOW)
    environment = dict(os.environ, MLFLOW_TRACKING_URI="http://me:hunter2@127.0.0.1:9")
    process = subprocess.Popen(
        [*TUNER, "sweep", "--headless"], cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        wait_for(study(tmp_path, "slow-1"), lambda s: s.counts.running == 2)
        commands = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if _readable(path)]
        assert not [command for command in commands if b"hunter2" in command]
        assert b"hunter2" not in (tmp_path / "mlruns" / "slow-1" / "journal.jsonl").read_bytes()
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _readable(path: Path) -> bool:
    try:
        path.read_bytes()
    except OSError:
        return False
    return True


def test_a_lock_says_what_holds_an_engine_up_without_growing(tmp_path):
    folder = StudyFolder(tmp_path)
    lock = StudyLock(folder)
    size = folder.lock_file.stat().st_size
    lock.say("paused: the disk is full " + "x" * 2000)
    assert folder.trouble().startswith("paused: the disk is full") and folder.lock_file.stat().st_size == size
    lock.say("")
    assert folder.trouble() == ""
    lock.release()
    assert folder.trouble() == ""


def test_a_journal_that_was_removed_is_written_again(tmp_path):
    from support.one_trial import a_search

    from tuner_tui.study.journal import JournalMoved

    path = tmp_path / "study" / "journal.jsonl"
    path.parent.mkdir()
    journal = JournalWriter(path)
    journal.append([StudyOpened(1.0, "s", a_search(), pid=1)])
    before = path.read_bytes()
    shutil.rmtree(path.parent)
    end = TrialEnded(2.0, 0, Outcome.FINISHED)
    with pytest.raises(JournalMoved, match="was removed while the study ran"):
        journal.append([end])
    journal.restore()
    journal.append([end])
    journal.close()
    assert path.read_bytes().startswith(before) and len(JournalReader(path).read_all()) == 2
    assert json.loads(path.read_text().splitlines()[1])["event"] == "trial_ended"
