"""The fork server: import the target once, then fork a process a trial in milliseconds instead of seconds.

Started by `local.py` as `python -P -m tuner_tui.engine.warm`, with a socket on a known descriptor. It obeys
one message a trial and answers with the trial's pid. Trials are forked twice, so they become children of the
engine (which has made itself their reaper): the engine reads true exit codes, and the death of this server
touches no trial. Nothing imported here may wake CUDA: a forked process could not use it afterwards.
"""

from __future__ import annotations

import gc
import json
import os
import socket
import sys
import traceback
from typing import Any

from tuner_tui.engine import child, lifeline

_MESSAGE_BYTES = 1 << 20  # a job's parameters as JSON; far above any real search


def main() -> None:
    control = socket.socket(fileno=int(sys.argv[1]))
    lifeline.tie(int(sys.argv[2]))
    facts = _introduce(json.loads(sys.argv[3]))
    control.send(json.dumps(facts).encode())
    if "error" in facts:
        return
    gc.freeze()  # the children share these pages as long as nobody's collector writes to them
    while True:
        data, fds, _, _ = socket.recv_fds(control, _MESSAGE_BYTES, 2)
        if not data:
            return  # the engine let go
        job = json.loads(data)
        try:
            answer = {"trial": job["trial"], "pid": _fork_trial(job, fds, control)}
        except OSError as error:  # no more processes, no more memory
            answer = {"trial": job["trial"], "error": f"could not start a process: {error}"}
        for fd in fds:
            os.close(fd)
        control.send(json.dumps(answer).encode())


def _introduce(first: dict[str, Any]) -> dict[str, Any]:
    """Import the target; say what it takes, or why it can't be imported."""
    sys.path[:0] = first["path"]
    try:
        return child.describe(child.resolve(first["target"]))
    except BaseException as error:  # SystemExit too: a script without a main guard
        traceback.print_exc()
        frames = [f for f in traceback.extract_tb(error.__traceback__) if "importlib" not in f.filename]
        ours = frames[-1] if frames and frames[-1].filename != child.__file__ else None
        where = f" ({ours.filename}:{ours.lineno})" if ours else ""
        return {"error": f"{type(error).__name__}: {error}{where}"}


def _fork_trial(job: dict[str, Any], fds: list[int], control: socket.socket) -> int:
    """Fork a grandchild and return its pid. Its parent leaves at once, so the engine inherits it."""
    read_end, write_end = os.pipe()
    middle = os.fork()
    if middle == 0:
        try:
            os.close(read_end)
            pid = os.fork()
        except OSError:
            os._exit(1)
        if pid == 0:
            os.close(write_end)
            control.close()
            _become_trial(job, *fds)
        os.write(write_end, str(pid).encode())
        os._exit(0)
    os.close(write_end)
    answer = os.read(read_end, 32)
    os.close(read_end)
    os.waitpid(middle, 0)
    if not answer:
        raise OSError("fork failed")
    return int(answer)


def _become_trial(job: dict[str, Any], pipe: int, life: int) -> None:
    code = 1
    try:
        os.setsid()
        lifeline.tie(life)
        os.set_inheritable(pipe, False)
        os.set_inheritable(life, False)
        gc.unfreeze()
        child.prepare_process(job)
        code = child.run(job, pipe)
    except BaseException:
        traceback.print_exc()
    finally:
        child.leave(code)


if __name__ == "__main__":
    main()
