"""Thousands of instant trials in one sweep: does anything grow? Processor time of each process for each thousand of
trials, memory and open files at its end, and how far the copy in MLflow is behind.

Processor time (user and system) does not depend on what else the machine does; a trial's own is counted with the fork
server, which collects it. Linux only: it reads /proc.

    python benchmarks/crowd.py [--trials 5000] [--parallel 2] [--block 1000]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import machine  # noqa: F401  (makes tuner importable)

TARGET = """
def train(*, x: float = 1.0) -> float:
    return x
"""
SEARCH = """
name = "crowd"
target = "instant:train"
trials = {trials}
parallel = {parallel}
[space]
x = {{ log = [0.01, 10.0] }}
"""
LOOK_S = 0.5
TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
ROLES = {
    "engine": "tuner_tui.cli sweep",
    "fork server and trials": "start.py warm",
    "publisher": "record.publisher",
}


@dataclass(frozen=True)
class Look:
    """What one look at a process found."""

    ended: int  # trials, when it was looked at
    seconds: float  # of processor time so far
    bytes: int  # resident
    files: int  # open


def look(role: str, pid: int, ended: int) -> Look | None:
    place = Path(f"/proc/{pid}")
    try:
        fields = (place / "stat").read_text().rpartition(")")[2].split()
        # With the children it has collected, which are the trials; those of the engine are listed by themselves.
        own, with_children = fields[11:13], fields[11:15]
        seconds = sum(map(int, with_children if role == "fork server and trials" else own)) / TICKS
        resident = int((place / "statm").read_text().split()[1]) * PAGE
        return Look(ended, seconds, resident, len(list((place / "fd").iterdir())))
    except (OSError, IndexError):
        return None


def processes(session: str) -> dict[str, int]:
    """Role -> pid, of the processes whose environment holds this mark."""
    found: dict[str, int] = {}
    for place in Path("/proc").glob("[0-9]*"):
        try:
            if session.encode() not in (place / "environ").read_bytes():
                continue
            command = (place / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        for role, words in ROLES.items():
            # A trial is a copy of the fork server, with its command line; the server leads its session.
            if words in command and (role == "engine" or os.getsid(int(place.name)) == int(place.name)):
                pid = int(place.name)
                found[role] = min(pid, found.get(role, pid))
    return found


class Journal:
    """Counts the ends in a journal as it grows."""

    def __init__(self, path: Path) -> None:
        self.path, self.ended, self._offset = path, 0, 0

    def read(self) -> int:
        if self.path.exists():
            with self.path.open("rb") as file:
                file.seek(self._offset)
                data = file.read()
            whole = data[: data.rfind(b"\n") + 1]
            self._offset += len(whole)
            self.ended += whole.count(b'"event":"trial_ended"')
        return self.ended


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("--trials", type=int, default=5000)
    arguments.add_argument("--parallel", type=int, default=2)
    arguments.add_argument("--block", type=int, default=1000)
    chosen = arguments.parse_args()
    mark = f"TUNER_CROWD={os.getpid()}"
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        (folder / "instant.py").write_text(TARGET)
        (folder / "tuner.toml").write_text(SEARCH.format(trials=chosen.trials, parallel=chosen.parallel))
        with (folder / "out.txt").open("w") as out:
            sweep = subprocess.Popen(
                [sys.executable, "-m", "tuner_tui.cli", "sweep", "--headless", "--mlflow-wait", "600"],
                cwd=folder, stdout=out, stderr=out, env={**os.environ, "TUNER_CROWD": str(os.getpid())},
            )  # fmt: skip
        looks: dict[str, list[Look]] = {role: [] for role in ROLES}
        study = folder / "mlruns" / "crowd-1"
        journal = Journal(study / "journal.jsonl")
        ended_at: float | None = None
        behind = 0
        while sweep.poll() is None:
            ended = journal.read()
            if ended == chosen.trials and ended_at is None:
                ended_at = time.monotonic()
                behind = behind_bytes(study)
            over = ended_at is not None and looks["engine"] and looks["engine"][-1].ended == chosen.trials
            for role, pid in (
                processes(mark).items() if not over else ()
            ):  # reports and waiting are no trial's cost
                if found := look(role, pid, ended):
                    looks[role].append(found)
            time.sleep(LOOK_S)
        waited = time.monotonic() - (ended_at or time.monotonic())
        if sweep.returncode:
            sys.exit((folder / "out.txt").read_text())
        report(looks, chosen.trials, chosen.block)
        size = (study / "journal.jsonl").stat().st_size
        print(f"MLflow was {behind / size:.1%} behind at the last end, and had it all {waited:.1f} s later")


def behind_bytes(study: Path) -> int:
    """How much of the journal MLflow does not have yet."""
    try:
        offset = json.loads((study / "publisher.json").read_text())["offset"]
    except (OSError, ValueError, KeyError):
        offset = 0
    return (study / "journal.jsonl").stat().st_size - offset


def report(looks: dict[str, list[Look]], trials: int, block: int) -> None:
    """For each process and each block of trials: processor time of a trial, memory, open files."""
    for role, taken in looks.items():
        print(f"\n{role:<24}{'ms of processor a trial':>24}{'MB':>10}{'open files':>12}")
        for first in range(0, trials, block):
            inside = [one for one in taken if first <= one.ended <= first + block]
            if len(inside) < 2 or inside[-1].ended == inside[0].ended:
                continue
            spent = (inside[-1].seconds - inside[0].seconds) / (inside[-1].ended - inside[0].ended)
            most = max(one.files for one in inside)
            print(
                f"{first:>12} - {first + block:<9}{1e3 * spent:>24.2f}{inside[-1].bytes / 1e6:>10.1f}{most:>12}"
            )


if __name__ == "__main__":
    main()
