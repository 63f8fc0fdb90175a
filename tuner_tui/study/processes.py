"""Identifies processes: pids are reused, but a pid together with its start time identifies one process.

Used to tell a running trial from another process that got its pid, and to kill what a dead engine left
running. Reads /proc on Linux; on other systems the answers are "unknown" and nothing is killed.
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


def is_zombie(pid: int) -> bool:
    """Whether the process has ended but its parent has not yet collected its exit status."""
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
