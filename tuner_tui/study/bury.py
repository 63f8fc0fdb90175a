"""End the trials of a killed engine: kill what still runs, and write the end of each trial into the journal.

A killed engine cannot record how its trials ended. The next engine does it, or the publisher, which runs a moment
longer than its engine. It needs the study's lock, so it is done once.
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

MESSAGE = "the engine was killed while this trial ran; it was alive at {} or later"
_GONE_S = 2.0  # SIGKILL works at once unless the process waits for a disk; then it dies when that answers
_TICK_S = 1e-6  # the smallest difference a time since the epoch still shows in a float


def bury(folder: StudyFolder, lock: StudyLock) -> list[Event]:
    """End every trial the journal shows as running; return the events written, oldest trial first.

    When a trial died is not known. Its end has the last time at which it, or its engine, is known to have lived: a
    bound, and its message says so. The time of burial can be days later, and would be counted as training.

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
    lived = max((_heard(trial) for trial in snapshot.trials.values()), default=0.0)
    events: list[Event] = [_end(folder, trial, lived) for trial in sorted(running, key=lambda t: t.number)]
    if events:
        journal = JournalWriter(folder.journal)
        try:
            journal.append(events)
        finally:
            journal.close()
    return events


def _heard(trial: Trial) -> float:
    return max(trial.started_at, trial.measured_at or 0.0, trial.ended_at or 0.0)


def _end(folder: StudyFolder, trial: Trial, lived: float) -> TrialEnded:
    """`lived`: when the engine was last known to. A trial dies with its engine, so it lived then too."""
    try:
        logged = folder.log(trial.number).stat().st_mtime
    except OSError:
        logged = 0.0
    at = max(min(max(lived, logged), time.time()), _heard(trial) + _TICK_S)  # clocks can be set back
    message = MESSAGE.format(time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at)))
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
