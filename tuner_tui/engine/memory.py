"""Memory use of processes, and whether the kernel has killed one for lack of memory."""

from __future__ import annotations

import os
from pathlib import Path

_PROC = Path("/proc")


def oom_kills() -> int:
    """The number of out-of-memory kills since boot; 0 where the kernel does not report it."""
    try:
        lines = (_PROC / "vmstat").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)


def resident_bytes_by_group() -> dict[int, int]:
    """Process group -> bytes of memory its members hold. A shared page counts once per member."""
    page = os.sysconf("SC_PAGE_SIZE")
    total: dict[int, int] = {}
    for entry in _PROC.iterdir() if _PROC.is_dir() else ():
        if not entry.name.isdigit():
            continue
        try:
            stat = (entry / "stat").read_text()
        except OSError:
            continue  # it has just ended
        fields = stat[stat.rindex(")") + 2 :].split()  # from the third on; see proc(5)
        group, pages = int(fields[2]), int(fields[21])
        total[group] = total.get(group, 0) + pages * page
    return total
