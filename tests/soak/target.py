"""The trial of the soak: it measures, ends as its `fate` says, and notes what it did in a file of its own.

The notes are what the study is judged by. They lie outside the study, on a disk that never fills, and no part of
tuner writes or reads them: $SOAK_NOTES/<trial>.jsonl, one line for each attempt's beginning, each measurement before
it is reported, and the value before it is returned. As a script: python target.py --x 1.5 --fate 3.
"""

import ctypes
import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

FATES = 24  # those without an entry below return in good order
RAISES, RAISES_EARLY, LEAVES, SEGFAULTS, DIVERGES, EXITS, HAS_CHILD, SAVES, MINDS_SIGTERM, FILLS = range(10)


def note(trial, **what):
    line = json.dumps({"pid": os.getpid(), **what}) + "\n"
    fd = os.open(
        Path(os.environ["SOAK_NOTES"]) / f"{trial}.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600
    )
    os.write(fd, line.encode())
    os.close(fd)


def loss_at(x, seed, step):
    """Any number that needs both and is written with all its digits."""
    return x / (step + 1) + (seed % 1000) / 7e6


def train(*, x=1.0, fate=23, seed=0, trial=-1, out=""):
    asked = []
    if fate == MINDS_SIGTERM:
        signal.signal(signal.SIGTERM, lambda *_: asked.append(True))
    note(trial, begins=True, at=time.time(), seed=seed, x=x, files=len(list(Path("/proc/self/fd").iterdir())))
    if fate == RAISES_EARLY:
        raise ValueError("before anything was measured")
    loss = math.nan
    for step in range(2 + seed % 4):
        loss = loss_at(x, seed, step)
        if fate == DIVERGES and step == 1:
            loss = math.nan
        note(trial, step=step, loss=loss if loss == loss else "nan")
        yield {"step": step, "loss": loss}
        time.sleep(0.02 + seed % 97 / 400)
        if asked:
            return
    if fate == RAISES:
        raise RuntimeError("after some measurements")
    if fate == FILLS:
        fill(Path(out) / "large")
    if fate == LEAVES:
        os._exit(5)
    if fate == SEGFAULTS:
        ctypes.string_at(0)
    if fate == HAS_CHILD:
        subprocess.Popen(["sleep", "600"], start_new_session=True)
    if fate == SAVES:
        (Path(out) / "weights.bin").write_bytes(b"w" * 5000)
    note(trial, done=True)
    if fate == EXITS:
        sys.exit(0)


def fill(path):
    """Write until there is no room (the soak's disk has less), and fail as a program does that saves too much."""
    try:
        with path.open("wb") as file:
            for _ in range(1600):
                file.write(bytes(1 << 16))
        raise OSError("there was room for all of it")
    finally:
        path.unlink(missing_ok=True)


def main():
    given = dict(zip(sys.argv[1::2], sys.argv[2::2], strict=True))
    arguments = {
        "x": float(given["--x"]), "fate": int(given["--fate"]), "seed": int(given["--seed"]),
        "trial": int(os.environ["TUNER_TRIAL"]), "out": os.environ["TUNER_OUT"],
    }  # fmt: skip
    for measured in train(**arguments):
        print(json.dumps(measured), flush=True)


if __name__ == "__main__":
    main()
