"""Identify processes: a pid is reused, but a pid with its start time names one process for ever.

This tells a running trial from another process with the same pid, and ends what a killed engine left. The facts come
from psutil, which knows them on Linux, macOS and Windows. Where a system does not tell the environment of a process,
what a killed engine left is not found.
"""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import psutil

STUDY_VARIABLE = "TUNER_STUDY"  # in the environment of every process a study starts: its folder
SPARED_VARIABLE = "TUNER_SPARED"  # in that of processes which may outlive their engine: the publisher
_GONE = (psutil.Error, OSError)  # it has ended, or is not ours to look at


def start_ticks(pid: int) -> float | None:
    """When `pid` started; None when there is no such process.

    On Linux in clock ticks after boot, from the kernel itself: seconds since the epoch, which psutil gives and other
    systems keep, would move when the clock is set.
    """
    if not psutil.LINUX:
        try:
            return psutil.Process(pid).create_time()
        except (*_GONE, ValueError):
            return None
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (OSError, ValueError):
        return None
    # The second field, the command's name, may hold spaces and brackets: count from the last bracket.
    return float(stat[stat.rindex(")") + 2 :].split()[19])


def resident_bytes(pid: int, started: float | None) -> int | None:
    """Resident memory of a process that started at that time (in ticks); None where it is gone or not here."""
    if started is None or start_ticks(pid) != started:
        return None
    try:
        return psutil.Process(pid).memory_info().rss
    except _GONE:
        return None


def nvidia_smi(*options: str) -> list[str]:
    """The lines that NVIDIA's own tool prints; none where it is not there or fails."""
    try:
        told = subprocess.run(
            ["nvidia-smi", *options], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return []
    return told.stdout.splitlines()


def gpu_mebibytes() -> dict[int, int]:
    """Process group -> MiB of GPU memory that its members hold, on all GPUs of this machine together.

    Asked of `nvidia-smi`, which takes up to a second: not for a thread that answers keys. Empty where there is
    none, and in containers that hide the processes of a GPU.
    """
    found: dict[int, int] = {}
    for line in nvidia_smi("--query-compute-apps=pid,used_memory", "--format=csv,noheader,nounits"):
        try:
            pid, memory = (int(part) for part in line.split(","))
            group = os.getpgid(pid)
        except (ValueError, OSError):
            continue  # "[N/A]", or it has just ended
        found[group] = found.get(group, 0) + memory
    return found


def is_zombie(pid: int) -> bool:
    """Whether the process has ended and only waits to be collected by its parent."""
    return _status(pid) == psutil.STATUS_ZOMBIE


def is_stopped(pid: int) -> bool:
    """Whether a signal (SIGSTOP) or a debugger has stopped the process."""
    return _status(pid) in (psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP)


def _status(pid: int) -> str:
    """Its state as psutil names it; "" when there is no such process."""
    try:
        return psutil.Process(pid).status()
    except (*_GONE, ValueError):
        return ""


def survivors(folder: Path) -> list[int]:
    """Pids of living processes that were started for the study at `folder` (trials and what they started)."""
    marked = str(folder.resolve())
    found: list[int] = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and process.environ().get(STUDY_VARIABLE) == marked:
                found.append(process.pid)
        except _GONE:
            continue
    return [pid for pid in found if not is_zombie(pid)]


def children(pid: int) -> set[int]:
    """Living children of a process, adopted ones included."""
    try:
        found = psutil.Process(pid).children()
    except _GONE:
        return set()
    return {child.pid for child in found if not is_zombie(child.pid)}


def kill_adopted(before: set[int]) -> int:
    """SIGKILL what has become a child of this process since it had the children `before`, and is not marked as
    spared; how many there were.

    A daemon that a trial has started leaves its group and may clean its environment, but the reaper of its
    ancestors becomes its parent all the same.
    """
    killed = 0
    for pid in children(os.getpid()) - before:
        try:
            if psutil.Process(pid).environ().get(SPARED_VARIABLE) != "1":
                os.kill(pid, signal.SIGKILL)
                killed += 1
        except _GONE:
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
