"""What trials use, seen on real processes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
from support.patience import wait_until

from tuner_tui.engine.usage import Usage, system_metrics, usage_by_group

BUSY = """
import subprocess, sys
held = bytearray(60_000_000)
if len(sys.argv) > 1:
    subprocess.Popen([sys.executable, __file__])
while True:
    sum(range(10_000))
"""


@pytest.fixture
def busy(tmp_path) -> Iterator[int]:
    """A process group of two that hold 60 MB each and never rest."""
    script = tmp_path / "busy.py"
    script.write_text(BUSY)
    process = subprocess.Popen([sys.executable, str(script), "twice"], start_new_session=True)
    yield process.pid
    os.killpg(process.pid, 9)
    process.wait()


def test_a_group_is_counted_with_all_its_members(busy):
    used = wait_until(
        lambda: (u := usage_by_group()).get(busy, Usage()).resident > 120e6 and u, "both hold it"
    )
    first = used[busy]
    later = wait_until(
        lambda: (u := usage_by_group()[busy]).cpu_seconds > first.cpu_seconds + 0.2 and u, "they work on"
    )
    values = system_metrics(first, later, 1.0, [])
    cores = os.cpu_count() or 1
    spent = later.cpu_seconds - first.cpu_seconds
    assert values["system/cpu_utilization_percentage"] == pytest.approx(100 * spent / cores, abs=0.1)
    assert values["system/system_memory_usage_megabytes"] == pytest.approx(later.resident / 1e6, abs=0.1)
    assert 0 < values["system/system_memory_usage_percentage"] < 100


def test_a_member_that_ended_is_no_negative_use():
    values = system_metrics(Usage(1, 10.0), Usage(1, 4.0), 1.0, [])
    assert values["system/cpu_utilization_percentage"] == 0.0


def test_the_names_are_those_of_mlflow(monkeypatch):
    """MLflow's own monitors are the source of the names."""
    from mlflow.system_metrics.metrics.cpu_monitor import CPUMonitor

    monitor = CPUMonitor()
    monitor.collect_metrics()
    ours = {name.removeprefix("system/") for name in system_metrics(Usage(), Usage(), 1.0, [])}
    assert ours == set(monitor.aggregate_metrics())


def test_a_gpu_that_can_not_be_asked_is_left_out():
    assert not [name for name in system_metrics(Usage(), Usage(), 1.0, [97]) if "gpu" in name]
