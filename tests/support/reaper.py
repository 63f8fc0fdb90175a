"""A process that outlives a test run for a moment, to kill whatever of it is still there.

Servers, detached engines and publishers lead sessions of their own, so nothing that happens to pytest reaches
them, and a pytest that is SIGKILLed can't clean up. They all inherit its environment, though: `start` marks
it, and the reaper kills every process that bears the mark once pytest is gone, however it went.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

MARK = "TUNER_TEST_RUN"
LOOK_S = 0.25  # how often it looks whether pytest is still there
FOR_S = 30.0  # how long it goes on killing: what is being forked meanwhile shows up in the next round


def start() -> None:
    """Mark this process's children and start the reaper, once a run: xdist's workers are such children."""
    if MARK in os.environ or not Path("/proc/self/environ").exists():
        return
    os.environ[MARK] = uuid.uuid4().hex
    subprocess.Popen(
        [sys.executable, "-S", "-E", __file__, str(os.getpid()), os.environ[MARK]], cwd="/",
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip


def marked(run: str) -> list[int]:
    """The living processes of that run, this one left out."""
    mark = f"{MARK}={run}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                if mark in (entry / "environ").read_bytes().split(b"\0"):  # a zombie's is empty
                    found.append(int(entry.name))
            except OSError:
                continue  # gone already, or somebody else's
    return found


def reap(pytest: int, run: str) -> None:
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):  # meant for pytest; it ends soon after
        signal.signal(number, signal.SIG_IGN)
    while os.getppid() == pytest:  # an orphan gets another parent at once
        time.sleep(LOOK_S)
    until = time.monotonic() + FOR_S
    while time.monotonic() < until and (left := marked(run)):
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        time.sleep(LOOK_S)


if __name__ == "__main__":
    reap(int(sys.argv[1]), sys.argv[2])
