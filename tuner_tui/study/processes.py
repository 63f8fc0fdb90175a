"""Identify processes: a pid is reused, but a pid with its start time names one process for ever.

This tells a running trial from another process with the same pid, and ends what a killed engine left.
Linux keeps these facts under /proc; elsewhere the answers are "unknown" and nothing is killed.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

STUDY_VARIABLE = "TUNER_STUDY"  # in the environment of every process a study starts: its folder
SPARED_VARIABLE = "TUNER_SPARED"  # in that of processes which may outlive their engine: the publisher
_PROC = Path("/proc")


def start_ticks(pid: int) -> float | None:
    """When `pid` started, in clock ticks after boot; None when there is no such process."""
    try:
        stat = (_PROC / str(pid) / "stat").read_text()
    except (OSError, ValueError):
        return None
    # The second field, the command's name, may hold spaces and brackets: count from the last bracket.
    return float(stat[stat.rindex(")") + 2 :].split()[19])


def resident_bytes(pid: int, started: float | None) -> int | None:
    """Resident memory of a process that started at that time (in ticks); None where it is gone or not here."""
    if started is None or start_ticks(pid) != started:
        return None
    try:
        return int((_PROC / str(pid) / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return None


def is_zombie(pid: int) -> bool:
    """Whether the process has ended and only waits to be collected by its parent."""
    return _state(pid) == "Z"


def is_stopped(pid: int) -> bool:
    """Whether a signal (SIGSTOP) or a debugger has stopped the process."""
    return _state(pid) in ("T", "t")


def _state(pid: int) -> str:
    """Its state as one letter, see proc(5); "" when there is no such process."""
    try:
        stat = (_PROC / str(pid) / "stat").read_text()
    except (OSError, ValueError):
        return ""
    return stat[stat.rindex(")") + 2]


def survivors(folder: Path) -> list[int]:
    """Pids of living processes that were started for the study at `folder` (trials and what they started)."""
    marker = f"{STUDY_VARIABLE}={folder.resolve()}".encode()
    found: list[int] = []
    for entry in _PROC.iterdir() if _PROC.is_dir() else ():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            if marker in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
        except OSError:
            continue  # gone already, or not ours to read
    return [pid for pid in found if not is_zombie(pid)]


def children(pid: int) -> set[int]:
    """Living children of a process, adopted ones included."""
    found: set[int] = set()
    for entry in _PROC.iterdir() if _PROC.is_dir() else ():
        try:
            stat = (entry / "stat").read_text() if entry.name.isdigit() else ""
        except OSError:
            continue
        fields = stat[stat.rindex(")") + 2 :].split() if stat else []
        if fields and fields[0] != "Z" and int(fields[1]) == pid:
            found.add(int(entry.name))
    return found


def kill_adopted(before: set[int]) -> int:
    """SIGKILL what has become a child of this process since it had the children `before`, and is not marked as
    spared; how many there were.

    A daemon that a trial has started leaves its group and may clean its environment, but the reaper of its
    ancestors becomes its parent all the same.
    """
    marker = f"{SPARED_VARIABLE}=1".encode()
    killed = 0
    for pid in children(os.getpid()) - before:
        try:
            if marker not in (_PROC / str(pid) / "environ").read_bytes().split(b"\0"):
                os.kill(pid, signal.SIGKILL)
                killed += 1
        except OSError:
            continue
    return killed


def kill_survivors(folder: Path) -> int:
    """SIGKILL every survivor; how many there were. Only the holder of the study's lock may call this."""
    pids = survivors(folder)
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    return len(pids)
