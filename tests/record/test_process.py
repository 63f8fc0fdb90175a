"""The publisher as a process: killed at any moment, outliving its engine, several at once."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from support.patience import PATIENCE_S, wait_until
from support.publisher_processes import Follower, start_command, start_publish, start_publish_on_a_full_disk
from support.record_tools import Diary, assert_agrees, read, uri_of

from tuner_tui.study.folder import StudyLock
from tuner_tui.study.outcomes import Reason
from tuner_tui.study.publication import Notebook, publication


def until(condition: Callable[[], object]) -> None:
    wait_until(condition, "it happens", every=0.05)


def log_of(diary: Diary) -> str:
    path = diary.folder.path / "publisher.log"
    return path.read_text() if path.exists() else ""


def test_four_start_at_once_where_there_is_no_database(tmp_path: Path) -> None:
    diaries = [Diary(tmp_path, f"sweep-{k}").open().trial(0).close() for k in range(4)]
    processes = [start_publish(diary.folder, uri_of(diary)) for diary in diaries]
    for process in processes:
        process.join(PATIENCE_S)
    assert [process.exitcode for process in processes] == [0, 0, 0, 0]
    for diary in diaries:
        assert_agrees(diary)
        assert "waiting" not in log_of(diary)  # none of them met a half-made database


def test_killed_while_it_makes_the_database_it_leaves_none_half_made(tmp_path: Path) -> None:
    diary = Diary(tmp_path).open().trial(0).close()
    for seconds in (0.2, 0.6, 1.0):  # a migration takes two
        process = start_publish(diary.folder, uri_of(diary))
        process.join(seconds)
        process.kill()
        process.join()
    for _ in range(2):
        last = start_publish(diary.folder, uri_of(diary))
        last.join(PATIENCE_S)
        assert last.exitcode == 0
        assert_agrees(diary)
        assert sorted(path.name for path in tmp_path.glob("mlflow.db.*")) == []
        # One that was killed when the database was in its place, and its own copy not removed yet.
        (tmp_path / "mlflow.db.making-1-1").write_bytes((tmp_path / "mlflow.db").read_bytes())


@pytest.mark.parametrize("limit", [100_000, 500_000, 940_000])  # a new database takes 950,000 bytes
def test_a_disk_that_is_full_when_the_database_is_made_does_no_harm(tmp_path: Path, limit: int) -> None:
    diary = Diary(tmp_path).open().trial(0).close()
    process = start_publish_on_a_full_disk(diary.folder, uri_of(diary), limit)
    process.join(PATIENCE_S)
    assert process.exitcode == 10
    assert_agrees(diary)


def test_killed_anywhere_it_loses_and_doubles_nothing(tmp_path: Path) -> None:
    diary = Diary(tmp_path).open(trials=60)
    for number in range(60):
        reason = Reason.EXCEPTION if number % 3 == 0 else None
        diary.start(number).measure(number, 0, 0.5).measure(number, 1, 0.25, extra=1.0).end(number, reason)
        diary.folder.trial(number).mkdir(parents=True)
        diary.folder.log(number).write_text(f"trial {number}")
    diary.close()
    first = start_publish(Diary(tmp_path, "other-1").open().folder, uri_of(diary))
    first.join(PATIENCE_S)  # now there is a database, and the kills hit what is written to it
    seed = random.randrange(10**6)
    print(f"seed {seed}")  # shown when it fails
    chance = random.Random(seed)
    kills = 0
    for _ in range(25):
        process = start_publish(diary.folder, uri_of(diary))
        process.join(chance.uniform(0.02, 0.4))
        if process.exitcode is not None:
            break
        process.kill()
        process.join()
        kills += 1
        if chance.random() < 0.3:
            diary.folder.publisher_state.unlink(missing_ok=True)
    assert kills >= 3
    last = start_publish(diary.folder, uri_of(diary))
    last.join(PATIENCE_S)
    assert last.exitcode == 0
    assert_agrees(diary)
    study = read(diary)
    assert study.status == "FINISHED" and study.metrics["finished"] == 40
    from mlflow.tracking import MlflowClient

    for trial in study.trials:
        assert [info.path for info in MlflowClient(uri_of(diary)).list_artifacts(trial.run_id)] == ["log.txt"]


def test_metrics_of_a_running_trial_appear_and_the_dead_are_buried(tmp_path: Path) -> None:
    diary = Diary(tmp_path).open().trial(0).start(1).measure(1, 0, 0.5).start(2)
    engine = StudyLock(diary.folder)
    publisher = start_command(diary.folder, uri_of(diary), "--follow")  # the real thing, import and all
    assert publisher.stdin
    until(lambda: publication(diary.folder).complete)
    assert [trial.status for trial in read(diary).trials] == ["FINISHED", "RUNNING", "RUNNING"]
    assert read(diary).status == "RUNNING" and publication(diary.folder).at_work
    diary.measure(1, 1, 0.25)
    until(lambda: read(diary).trials[1].metrics["loss/valid"] == 0.25)

    os.kill(publisher.pid, signal.SIGINT)  # Ctrl-C and a lost line are meant for the engine
    os.kill(publisher.pid, signal.SIGHUP)
    engine.release()
    publisher.stdin.close()  # as the kernel does when the engine is killed
    assert publisher.wait(PATIENCE_S) == 0
    study = read(diary)
    assert [trial.status for trial in study.trials] == ["FINISHED", "KILLED", "FAILED"]
    assert [trial.reason for trial in study.trials] == [None, "interrupted", "interrupted"]
    assert (study.status, study.tags["tuner.state"]) == ("KILLED", "interrupted")
    assert_agrees(diary)
    assert not diary.folder.engine_alive() and not publication(diary.folder).at_work


def test_an_engine_that_closed_in_good_order_is_not_buried(tmp_path: Path) -> None:
    diary = Diary(tmp_path).open().trial(0)
    engine = StudyLock(diary.folder)
    follower = Follower(diary.folder, uri_of(diary))
    diary.trial(1).close()
    follower.let_go()  # still closing: it holds the lock a little longer
    time.sleep(0.5)
    assert follower.process.exitcode is None
    engine.release()
    assert follower.wait() == 0
    assert read(diary).status == "FINISHED"
    assert "buried" not in log_of(diary)
    assert_agrees(diary)


def test_the_dead_are_buried_even_while_mlflow_is_away(tmp_path: Path) -> None:
    diary = Diary(tmp_path).open().start(0)
    follower = Follower(diary.folder, "http://127.0.0.1:9", drain_seconds=1.0)
    follower.let_go()
    assert follower.wait() == 1
    assert diary.folder.snapshot().counts.running == 0
    behind = publication(diary.folder)
    assert behind.sentence.startswith(
        "MLflow: 3 events behind (server away: no server answers at http://127.0.0.1:9"
    )
    assert not diary.folder.engine_alive()
    last = start_publish(diary.folder, uri_of(diary))  # `tuner publish`, to a store that is there
    last.join(PATIENCE_S)
    assert_agrees(diary)


def test_it_leaves_the_study_to_a_new_engine_and_its_publisher(tmp_path: Path) -> None:
    diary = Diary(tmp_path).open().trial(0).start(1)
    old = Follower(diary.folder, "http://127.0.0.1:9")
    until(lambda: "server away" in log_of(diary))
    new_engine = subprocess.Popen(
        [
            sys.executable, "-c",
            "import sys; from pathlib import Path; from tuner_tui.study.folder import *\n"
            "lock = StudyLock(StudyFolder(Path(sys.argv[1]))); print('locked', flush=True); sys.stdin.read()",
            str(diary.folder.path),
        ],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert new_engine.stdout and new_engine.stdout.readline()
    new = Follower(diary.folder, uri_of(diary))  # waits its turn
    old.let_go()
    assert old.wait() == 0
    assert diary.folder.snapshot().trials[1].running  # not for the old one to bury
    until(lambda: publication(diary.folder).complete)
    diary.end(1).close()
    new_engine.communicate()
    new.let_go()
    assert new.wait() == 0
    assert_agrees(diary)


def test_a_polite_kill_saves_and_the_next_goes_on(tmp_path: Path) -> None:
    diary = Diary(tmp_path).open().trial(0).start(1).measure(1, 0, 0.5)
    engine = StudyLock(diary.folder)
    first = Follower(diary.folder, uri_of(diary))
    until(lambda: publication(diary.folder).complete)
    os.kill(first.process.pid or 0, signal.SIGTERM)
    assert first.wait() == 0
    diary.measure(1, 1, 0.25).end(1).close()
    assert Notebook.load(diary.folder.publisher_state).runs.keys() == {1}
    second = Follower(diary.folder, uri_of(diary))
    engine.release()
    first.let_go()
    second.let_go()
    assert second.wait() == 0
    assert_agrees(diary)


@pytest.mark.parametrize("folder", ["nowhere", "file"])
def test_a_folder_that_is_none_is_refused(tmp_path: Path, folder: str) -> None:
    (tmp_path / "file").write_text("")
    run = subprocess.run(
        [sys.executable, "-m", "tuner_tui.record.publisher", str(tmp_path / folder), "--tracking-uri", "x"],
        capture_output=True, text=True,
    )  # fmt: skip
    assert run.returncode == 2 and "is not a study" in run.stderr
