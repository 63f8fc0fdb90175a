"""A study's folder: who runs it, which state that makes, and what of it may reach a terminal."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import unicodedata
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from support.patience import PATIENCE_S
from support.questions import opened

from tuner_tui.study.events import (
    Event,
    StudyChanged,
    StudyClosed,
    TrialEnded,
    TrialMeasured,
    TrialStarted,
)
from tuner_tui.study.folder import (
    State,
    StudyBusy,
    StudyFolder,
    StudyLock,
    create_study,
    list_studies,
)
from tuner_tui.study.journal import JournalWriter
from tuner_tui.study.outcomes import Outcome, Reason
from tuner_tui.study.text import last_lines, printable
from tuner_tui.study.whole_file import write_alone

HOLD = """
import sys, time
from pathlib import Path
from tuner_tui.study.folder import StudyBusy, StudyFolder, StudyLock
try:
    lock = StudyLock(StudyFolder(Path(sys.argv[1])))
except StudyBusy as busy:
    print(busy, flush=True)
    sys.exit(3)
print("held", flush=True)
time.sleep(600)
"""


@pytest.fixture
def folder(tmp_path: Path) -> StudyFolder:
    return create_study(tmp_path / "mlruns", "caption")


def write(folder: StudyFolder, *events: Event) -> None:
    journal = JournalWriter(folder.journal)
    journal.append(events)
    journal.close()


def holder(folder: StudyFolder) -> subprocess.Popen[str]:
    """A process that has got the lock."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, folder.path], stdout=subprocess.PIPE, text=True)
    assert process.stdout and process.stdout.readline() == "held\n"
    return process


def test_the_lock_keeps_a_second_process_out_and_names_the_first(folder: StudyFolder) -> None:
    lock = StudyLock(folder)
    assert folder.engine_alive()
    second = subprocess.run([sys.executable, "-c", HOLD, folder.path], capture_output=True, text=True)
    assert second.returncode == 3
    assert second.stdout == f"caption-1: an engine (process {os.getpid()}) is running this study\n"
    lock.release()
    assert not folder.engine_alive()
    with holder(folder) as third:
        third.kill()


def test_the_lock_falls_when_its_holder_is_killed(folder: StudyFolder) -> None:
    with holder(folder) as process:
        assert folder.engine_alive()
        with pytest.raises(StudyBusy, match=str(process.pid)):
            StudyLock(folder)
        os.kill(process.pid, signal.SIGKILL)
    assert not folder.engine_alive()
    StudyLock(folder).release()


def test_one_can_wait_for_a_lock_that_is_about_to_fall(folder: StudyFolder) -> None:
    lock = StudyLock(folder)
    assert not folder.let_go(within=0.1)
    threading.Timer(0.2, lock.release).start()
    assert folder.let_go(within=PATIENCE_S)


def test_a_process_the_engine_starts_does_not_inherit_the_lock(folder: StudyFolder) -> None:
    lock = StudyLock(folder)
    with subprocess.Popen(["sleep", "600"], close_fds=False) as child:
        lock.release()
        assert not folder.engine_alive()
        child.kill()


def test_viewers_that_look_all_the_time_never_keep_an_engine_out(folder: StudyFolder) -> None:
    StudyLock(folder).release()
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            folder.engine_alive()

    viewers = [threading.Thread(target=look) for _ in range(4)]
    for viewer in viewers:
        viewer.start()
    try:
        for _ in range(20):
            StudyLock(folder).release()
    finally:
        done.set()
        for viewer in viewers:
            viewer.join()


def test_the_state_of_a_study_follows_from_its_journal_and_its_lock(folder: StudyFolder) -> None:
    def state() -> State:
        return folder.state(folder.snapshot())

    assert state() is State.EMPTY
    lock = StudyLock(folder)
    write(folder, opened(trials=2), TrialStarted(2.0, 0, {}, 0))
    assert state() is State.RUNNING
    lock.release()  # as a kill would
    assert state() is State.INTERRUPTED
    write(folder, TrialEnded(3.0, 0, Outcome.NO_START, Reason.INTERRUPTED))
    assert state() is State.INTERRUPTED  # one trial is still to come
    write(folder, StudyClosed(4.0, "stopped"))
    assert state() is State.STOPPED
    write(folder, opened(trials=2), StudyClosed(5.0, "failed", "no module named train"))
    assert state() is State.FAILED
    write(folder, opened(trials=2), TrialStarted(6.0, 1, {}, 0), TrialEnded(7.0, 1, Outcome.NO_START))
    assert state() is State.DONE
    write(folder, StudyChanged(8.0, trials=3))
    assert state() is State.INTERRUPTED


def test_studies_started_at_once_get_folders_of_their_own(tmp_path: Path) -> None:
    code = "import sys; from pathlib import Path; from tuner_tui.study.folder import create_study\n"
    code += "for _ in range(10): print(create_study(Path(sys.argv[1]), 'sweep').name)"
    with ThreadPoolExecutor(4) as pool:
        outputs = pool.map(
            lambda _: subprocess.run(
                [sys.executable, "-c", code, tmp_path / "mlruns"], capture_output=True, text=True, check=True
            ).stdout.split(),
            range(4),
        )
        names = [name for output in outputs for name in output]
    assert sorted(names, key=lambda name: int(name[6:])) == [f"sweep-{k}" for k in range(1, 41)]


@given(st.text(max_size=300))
@example("../../etc")
@example("...")
@example("")
@example("x" * 300)
def test_any_name_makes_a_folder_inside_the_root(tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    root = tmp_path_factory.mktemp("root") / "mlruns"
    first, second = create_study(root, name), create_study(root, name)
    assert first.path.parent == root and first.path.is_dir()
    assert {first.name, second.name} == {p.name for p in root.iterdir()}
    assert (first.name[-2:], second.name[-2:]) == ("-1", "-2")


def test_a_number_is_never_given_again_while_a_later_one_is_there(tmp_path: Path) -> None:
    for _ in range(3):
        create_study(tmp_path, "a.b")
    (tmp_path / "a.b-2").rmdir()
    (tmp_path / "aXb-9").mkdir()  # another study's, though `.` would match it
    assert create_study(tmp_path, "a.b").name == "a.b-4"


def test_studies_are_listed_with_the_one_touched_last_first(tmp_path: Path) -> None:
    assert list_studies(tmp_path / "mlruns") == []
    made = [create_study(tmp_path / "mlruns", name) for name in ("a", "b", "c")]
    for age, study in zip((5, 1, 3), made, strict=True):
        write(study, opened(trials=1))
        os.utime(study.journal, (time.time() - age, time.time() - age))
    create_study(tmp_path / "mlruns", "no-journal-yet")
    (tmp_path / "mlruns" / "mlflow.db").touch()
    assert [study.name for study in list_studies(tmp_path / "mlruns")] == ["b-1", "c-1", "a-1"]


def test_the_snapshot_is_read_from_the_journal(folder: StudyFolder) -> None:
    write(
        folder, opened(trials=1), TrialStarted(2.0, 0, {"lr": 1}, 0), TrialMeasured(3.0, 0, 0, {"loss": 0.5})
    )
    assert folder.snapshot().trials[0].value == 0.5


any_text = st.text(st.characters())  # lone surrogates and control characters too


@given(any_text)
@example("\x1b\x1b[0m[31m")  # what remains must not be a new escape
@example("\x1b]0;title\x07")
@example("\x9b31m \x1bP \x07 \r\n \u202e \ud800 \x7f")
def test_nothing_a_trial_prints_can_move_the_cursor(text: str) -> None:
    shown = printable(text)
    assert all(unicodedata.category(c)[0] not in "C" for c in shown), shown
    assert shown.isprintable()


def test_plain_text_is_shown_as_it_is() -> None:
    assert printable("loss 0.5 → größer 漢字 😀") == "loss 0.5 → größer 漢字 😀"
    assert printable("\x1b[1;31mred\x1b[0m\tand tab") == "red and tab"


def test_the_tail_of_a_log_survives_binary_rubbish_and_length(folder: StudyFolder) -> None:
    assert last_lines(folder.log(0), 20) == []
    folder.trial(0).mkdir(parents=True)
    folder.log(0).write_bytes(b"\xff\xfe\x00\x1b[2J" * 50_000 + b"\nepoch 1\nepoch 2\n")
    assert last_lines(folder.log(0), 2) == ["epoch 1", "epoch 2"]
    assert all(line.isprintable() for line in last_lines(folder.log(0), 20))


def test_what_a_killed_writer_left_is_replaced_by_the_next(tmp_path: Path) -> None:
    """Killed for real, in the middle of its write."""
    script = (
        "import resource, signal, sys; from pathlib import Path\n"
        "from tuner_tui.study.whole_file import write_alone\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_DFL); resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))\n"
        "resource.setrlimit(resource.RLIMIT_CORE, (0, 0)); write_alone(Path(sys.argv[1]), bytes(100))\n"
    )
    path = tmp_path / "publisher.json"
    for _ in range(2):
        assert subprocess.run([sys.executable, "-c", script, path]).returncode == -signal.SIGXFSZ
    assert not path.exists() and len(list(tmp_path.iterdir())) == 1
    write_alone(path, b"whole")
    assert [file.name for file in tmp_path.iterdir()] == ["publisher.json"] and path.read_bytes() == b"whole"
