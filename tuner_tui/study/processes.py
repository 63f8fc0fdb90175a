"""Identify processes: a pid is reused, but a pid with its start time names one process for ever.

This tells a running trial from another process with the same pid, and ends what a killed engine left.
Linux keeps these facts under /proc; elsewhere the answers are "unknown" and nothing is killed.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

STUDY_VARIABLE = "TUNER_STUDY"  # in the environment of every process a study starts: its folder
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
    try:
        stat = (_PROC / str(pid) / "stat").read_text()
    except (OSError, ValueError):
        return False
    return stat[stat.rindex(")") + 2] == "Z"


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


def kill_survivors(folder: Path) -> int:
    """SIGKILL every survivor; how many there were. Only the holder of the study's lock may call this."""
    pids = survivors(folder)
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    return len(pids)
