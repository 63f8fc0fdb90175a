"""What a dead engine leaves behind is killed and written down, by whoever holds the lock."""

from __future__ import annotations

import dataclasses
import math
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.patience import PATIENCE_S, wait_until
from support.questions import opened

from tuner_tui.study.bury import MESSAGE, bury
from tuner_tui.study.events import FORMAT, TrialEnded, TrialMeasured, TrialStarted
from tuner_tui.study.folder import StudyFolder, StudyLock
from tuner_tui.study.journal import JournalWriter, NewerFormat
from tuner_tui.study.outcomes import Outcome, Reason
from tuner_tui.study.processes import is_zombie, start_ticks


@pytest.fixture
def folder(tmp_path: Path) -> StudyFolder:
    (tmp_path / "dead-1").mkdir()
    return StudyFolder(tmp_path / "dead-1")


def test_a_journal_of_a_newer_format_is_not_written_to(folder):
    write(
        folder, dataclasses.replace(opened(study=folder.name), format=FORMAT + 1), TrialStarted(2, 0, {}, 0)
    )
    before = folder.journal.read_bytes()
    lock = StudyLock(folder)
    with pytest.raises(NewerFormat, match="newer version of tuner"):
        bury(folder, lock)
    lock.release()
    assert folder.journal.read_bytes() == before


def write(folder: StudyFolder, *events) -> None:
    journal = JournalWriter(folder.journal)
    journal.append([opened(study=folder.name, trials=5), *events])
    journal.close()


def sleeper(*, leader: bool) -> subprocess.Popen[bytes]:
    """A process that sleeps, having started another one that does; it leads a group of its own or not."""
    code = "import subprocess as s, time; s.Popen(['sleep', '600']); print('up', flush=True); time.sleep(600)"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, start_new_session=leader)
    assert process.stdout and process.stdout.readline()
    return process


def test_each_running_trial_gets_the_outcome_its_losses_earned(folder: StudyFolder) -> None:
    write(
        folder,
        TrialStarted(2.0, 0, {}, seed=0), TrialMeasured(3.0, 0, 0, {"loss": 0.5}),
        TrialStarted(2.0, 1, {}, seed=1), TrialMeasured(3.0, 1, 0, {"loss": math.nan}),
        TrialStarted(2.0, 2, {}, seed=2), TrialMeasured(3.0, 2, 0, {"other": 1.0}),
        TrialStarted(2.0, 3, {}, seed=3), TrialEnded(3.0, 3, Outcome.NO_START, Reason.EXIT),
    )  # fmt: skip
    lock = StudyLock(folder)
    buried = bury(folder, lock)

    assert [(e.trial, e.outcome) for e in buried if isinstance(e, TrialEnded)] == [
        (0, Outcome.UNFINISHED),
        (1, Outcome.NO_START),
        (2, Outcome.NO_START),
    ]
    snapshot = folder.snapshot()
    assert snapshot.counts.running == 0
    assert (
        snapshot.trials[0].message.startswith(MESSAGE[:40])
        and snapshot.trials[0].reason is Reason.INTERRUPTED
    )
    assert snapshot.trials[3].reason is Reason.EXIT  # it was dead already
    assert bury(folder, lock) == []  # nobody is buried twice
    lock.release()


def test_an_end_is_later_than_the_last_measurement_even_when_the_clock_went_back(folder: StudyFolder) -> None:
    ahead = time.time() + 3600
    write(folder, TrialStarted(ahead - 1, 0, {}, seed=0), TrialMeasured(ahead, 0, 0, {"loss": 0.5}))
    [ended] = bury(folder, StudyLock(folder))
    assert ended.at > ahead


def test_a_surviving_trial_dies_with_what_it_started(folder: StudyFolder) -> None:
    trial = sleeper(leader=True)
    write(folder, TrialStarted(2.0, 0, {}, seed=0, pid=trial.pid, process_started=start_ticks(trial.pid)))
    bury(folder, StudyLock(folder))
    assert trial.wait(PATIENCE_S) == -9
    wait_until(lambda: is_empty(trial.pid), "its group is empty too")


def is_empty(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    return False


def test_a_stranger_with_the_pid_of_a_trial_lives(folder: StudyFolder) -> None:
    stranger = sleeper(leader=True)
    ticks = start_ticks(stranger.pid)
    assert ticks is not None
    write(
        folder,
        TrialStarted(2.0, 0, {}, seed=0, pid=stranger.pid, process_started=ticks - 100),
        TrialStarted(2.0, 1, {}, seed=1, pid=stranger.pid),  # no start time: nobody can tell who that is
    )
    bury(folder, StudyLock(folder))
    assert start_ticks(stranger.pid) == ticks and not is_zombie(stranger.pid)
    os.killpg(stranger.pid, 9)
    stranger.wait()


def test_burying_needs_the_lock(folder: StudyFolder) -> None:
    write(folder, TrialStarted(2.0, 0, {}, seed=0))
    lock = StudyLock(folder)
    lock.release()
    with pytest.raises(ValueError, match="lock"):
        bury(folder, lock)
    assert folder.snapshot().counts.running == 1


def test_an_end_is_dated_by_the_last_sign_of_life_and_says_that_it_is_a_bound(folder: StudyFolder) -> None:
    """A sweep that was killed on Friday and resumed on Monday did not train over the weekend."""
    began = time.time() - 3 * 86400
    write(
        folder,
        TrialStarted(began, 0, {}, seed=0), TrialMeasured(began + 10, 0, 0, {"loss": 0.5}),
        TrialStarted(began, 1, {}, seed=1), TrialMeasured(began + 25, 1, 0, {"loss": 0.5}),
        TrialStarted(began + 26, 2, {}, seed=2),
    )  # fmt: skip
    log = folder.log(2)
    log.parent.mkdir(parents=True)
    log.write_text("epoch 1\n")
    os.utime(log, (began + 40, began + 40))
    lock = StudyLock(folder)
    bury(folder, lock)
    lock.release()
    trials = folder.snapshot().trials
    assert [round(trial.seconds(0.0)) for trial in trials.values()] == [26, 26, 14]
    assert all(
        "it was alive at" in trial.message and "or later" in trial.message for trial in trials.values()
    )
