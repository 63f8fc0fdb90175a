"""Peak memory of a block, and memory available."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

_SYSTEM = Path("/proc/meminfo")
_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")
_FORGET_PEAK = "5"  # proc(5): resets the peak resident set size


@dataclass
class Peak:
    """The measured peak, set when the block of `peak` ends. `bytes` is None where the system does not report it."""

    bytes: int | None = None


@contextmanager
def peak(device: torch.device) -> Iterator[Peak]:
    """Measures how far memory rises above its level at the start of the block. On a CPU this is the resident set,
    so memory that the allocator reuses does not count: measure in a fresh process where it matters."""
    told = Peak()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        yield told
        told.bytes = torch.cuda.max_memory_allocated(device) - before
        return
    before = _bytes(_STATUS, "VmRSS") if _forget_peak() else None
    yield told
    after = _bytes(_STATUS, "VmHWM")
    if before is not None and after is not None:
        told.bytes = max(after - before, 0)


def available(device: torch.device) -> int:
    """Free memory in bytes: of the device, or of the system for the CPU."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    # Not MemFree: memory in the file cache is available too.
    if (told := _bytes(_SYSTEM, "MemAvailable")) is not None:
        return told
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")  # other systems: all memory


def _forget_peak() -> bool:
    try:
        _CLEAR.write_text(_FORGET_PEAK)
    except OSError:  # another system, or not allowed
        return False
    return True


def _bytes(file: Path, field: str) -> int | None:
    try:
        lines = file.read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(field + ":")), None)
