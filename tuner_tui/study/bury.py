"""Ends the trials of a dead engine: kills those that still run and writes the end of each into the journal.

An engine that is killed cannot record how its trials ended, so the next engine or the publisher does it. The
caller must hold the study's lock, which ensures that it is done only once.
"""

from __future__ import annotations

import os
import platform
import signal
import time

from .events import Event, TrialEnded
from .folder import StudyFolder, StudyLock
from .journal import JournalWriter, check_writable
from .outcomes import Reason, judge
from .processes import is_zombie, kill_survivors, start_ticks
from .snapshot import Trial

MESSAGE = "the engine was killed while this trial ran"
_GONE_S = 2.0  # SIGKILL works at once unless the process waits for a disk; then it dies when that answers
_TICK_S = 1e-6  # the smallest difference a time since the epoch still shows in a float


def bury(folder: StudyFolder, lock: StudyLock, message: str = MESSAGE) -> list[Event]:
    """End every trial the journal shows as running; return the events written, oldest trial first.

    Survivors are killed first, so nothing measures on after its own end. `lock` is the proof that no engine
    runs the study; raises ValueError when it was let go already, NewerFormat when a newer version wrote it.
    """
    if not lock.held:
        raise ValueError(f"{folder.name}: burying needs the study's lock")
    snapshot = folder.snapshot()
    check_writable(snapshot)
    running = [trial for trial in snapshot.trials.values() if trial.running]
    _kill(running)
    kill_survivors(folder.path)
    events: list[Event] = [_end(trial, message) for trial in sorted(running, key=lambda trial: trial.number)]
    if events:
        journal = JournalWriter(folder.journal)
        try:
            journal.append(events)
        finally:
            journal.close()
    return events


def _end(trial: Trial, message: str) -> TrialEnded:
    at = max(time.time(), (trial.measured_at or trial.started_at) + _TICK_S)  # clocks can be set back
    return TrialEnded(
        at, trial.number, judge(Reason.INTERRUPTED, trial.value is not None), Reason.INTERRUPTED, message
    )


def _kill(trials: list[Trial]) -> None:
    """Kill the process groups of these trials, where they are still the processes the journal names."""
    alive = [
        trial.pid
        for trial in trials
        # A pid without its start time may by now be a stranger's.
        if trial.host in ("", platform.node())  # nor is a number on another host one of ours
        and trial.pid
        and trial.process_started is not None
        and start_ticks(trial.pid) == trial.process_started
    ]
    for pid in alive:
        try:
            if os.getpgid(pid) == pid:  # each trial leads a group of its own, and what it started is in it
                os.killpg(pid, signal.SIGKILL)
            else:
                os.kill(pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            continue
    deadline = time.monotonic() + _GONE_S
    while time.monotonic() < deadline and any(start_ticks(pid) and not is_zombie(pid) for pid in alive):
        time.sleep(0.01)
