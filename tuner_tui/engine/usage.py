"""What the processes of trials use: memory, processor time, GPUs; and whether the kernel killed one for its memory.

`system_metrics` gives a trial's use under the names of MLflow's system metrics, which MLflow's pages draw on a tab of
their own. MLflow's own monitor measures the whole machine; here each trial has what its own process group uses.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

_MEGABYTE = 1e6  # as MLflow counts


@dataclass(frozen=True)
class Usage:
    """What some processes use together. A shared page counts once for each of them."""

    resident: int = 0  # bytes of memory
    cpu_seconds: float = 0.0  # of processor time since they started; of those alive


def usage_by_group() -> dict[int, Usage]:
    """Process group -> what its members use. Empty where the system has no process groups."""
    found: dict[int, Usage] = {}
    if not hasattr(os, "getpgid"):
        return found
    for process in psutil.process_iter():
        try:
            group = os.getpgid(process.pid)
            with process.oneshot():
                memory, cpu = process.memory_info(), process.cpu_times()
        except (psutil.Error, OSError):
            continue  # it has just ended, or is not ours to look at
        known = found.get(group, Usage())
        found[group] = Usage(known.resident + memory.rss, known.cpu_seconds + cpu.user + cpu.system)
    return found


def oom_kills() -> int:
    """The number of out-of-memory kills since boot; 0 where the kernel does not report it."""
    try:
        lines = Path("/proc/vmstat").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)


def system_metrics(before: Usage, now: Usage, seconds: float, gpus: Sequence[int]) -> dict[str, float]:
    """A trial's use over `seconds` as MLflow names it, rounded as there: percentages are of the whole machine.

    `gpus`: their numbers on this machine. Their figures are of the device: trials that share one have the same.
    """
    spent = max(0.0, now.cpu_seconds - before.cpu_seconds)  # less where a member of the group has ended
    values = {
        "cpu_utilization_percentage": 100 * spent / seconds / (os.cpu_count() or 1),
        "system_memory_usage_megabytes": now.resident / _MEGABYTE,
        "system_memory_usage_percentage": 100 * now.resident / psutil.virtual_memory().total,
    }
    for gpu in gpus:
        values |= {f"gpu_{gpu}_{name}": value for name, value in _of_gpu(gpu).items()}
    return {f"system/{name}": round(value, 1) for name, value in values.items()}


def _of_gpu(number: int) -> dict[str, float]:
    """A GPU's memory, use and power, as far as NVIDIA's management library tells."""
    values: dict[str, float] = {}
    try:
        import pynvml  # type: ignore[import-not-found]

        pynvml.nvmlInit()
        try:
            handle = pynvml.nvmlDeviceGetHandleByIndex(number)
            memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
            values["memory_usage_megabytes"] = memory.used / _MEGABYTE
            values["memory_usage_percentage"] = 100 * memory.used / memory.total
            values["utilization_percentage"] = pynvml.nvmlDeviceGetUtilizationRates(handle).gpu
            watts = pynvml.nvmlDeviceGetPowerUsage(handle) / 1000
            values["power_usage_watts"] = watts
            values["power_usage_percentage"] = 1e5 * watts / pynvml.nvmlDeviceGetEnforcedPowerLimit(handle)
        finally:
            pynvml.nvmlShutdown()
    except Exception:  # not installed, no driver, or a GPU that does not tell one of these
        pass
    return values
