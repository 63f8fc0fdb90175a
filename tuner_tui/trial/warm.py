"""The fork server: import the target once, then fork one process per trial, in milliseconds instead of seconds.

Started by `engine/forkserver.py` through start.py, with a socket on a known descriptor. It obeys
two kinds of messages: a job, answered with the trial's pid, and {"reap": pid} for a trial that has died,
answered with its wait status, which only a parent may read. When this server itself dies the engine, reaper
of its descendants, becomes the parent: no trial is touched and no exit status lost. Nothing imported here may
initialise CUDA: a forked process could not use it afterwards.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import socket
import sys
import traceback
from typing import Any

from . import child, lifeline
from .optuna_trial import PREFIX
from .pipe import uptime

_MESSAGE_BYTES = 1 << 20  # a job's parameters as JSON; far above any real search


def main(arguments: list[str]) -> None:
    """Import the target and serve forks of this process until the engine goes."""
    control = socket.socket(fileno=int(arguments[0]))
    lifeline.tie(int(arguments[1]))
    facts = _introduce(json.loads(arguments[2]))
    control.send(json.dumps(facts).encode())
    if "error" in facts:
        return
    gc.freeze()  # the children share these pages as long as nobody's collector writes to them
    while True:
        data, fds, _, _ = socket.recv_fds(control, _MESSAGE_BYTES, 2)
        if not data:
            return  # the engine let go
        message = json.loads(data)
        if "reap" in message:
            _tell_end(message["reap"], control)
        else:
            control.send(json.dumps(_start(message, fds, control)).encode())
        for fd in fds:
            os.close(fd)


def _introduce(first: dict[str, Any]) -> dict[str, Any]:
    """Import the target; say {"target": …} and what it takes, or why it can't be imported."""
    sys.path[:0] = first["path"]
    if not first["target"]:  # trials that run a command: nothing to import
        return {"target": "", "names": [], "required": [], "any": True, "yields": False, "defaults": {}}
    try:
        return {"target": first["target"], **_described(first["target"])}
    except BaseException as error:  # SystemExit too: a script without a main guard
        traceback.print_exc()
        frames = [f for f in traceback.extract_tb(error.__traceback__) if "importlib" not in f.filename]
        ours = frames[-1] if frames and frames[-1].filename != child.__file__ else None
        where = f" ({ours.filename}:{ours.lineno})" if ours else ""
        return {"target": first["target"], "error": f"{type(error).__name__}: {error}{where}"}


def _described(target: str) -> dict[str, Any]:
    function = child.resolve(target)
    if target.startswith(PREFIX):  # it takes one trial, which suggests whatever it asks for
        return {"names": [], "required": [], "any": True, "yields": False, "defaults": {}}
    return child.describe(function)


def _tell_end(pid: int, control: socket.socket) -> None:
    """Say how a trial ended, and only then let go of it: if this server is killed in between, the engine can still
    ask the kernel."""
    ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert ended is not None
    code = ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status
    control.send(json.dumps({"reaped": pid, "exit_code": code}).encode())
    os.waitpid(pid, 0)


def _start(message: dict[str, Any], fds: list[int], control: socket.socket) -> dict[str, Any]:
    at = message["ahead"] + uptime()  # before anything that the trial measures
    try:
        pid = os.fork()
    except OSError as error:  # no more processes, no more memory
        return {
            "trial": message["trial"],
            "error": f"could not start a process: {error}",
            "errno": error.errno,
        }
    if pid == 0:
        control.close()
        _become_trial(message, *fds)
    return {"trial": message["trial"], "pid": pid, "at": at}


def _become_trial(job: dict[str, Any], pipe: int, life: int) -> None:
    code = 1
    try:
        os.setsid()
        lifeline.tie(life)
        os.set_inheritable(pipe, False)
        os.set_inheritable(life, False)
        # What the server's imports registered is the server's to run at its end (torch's alone takes 30 ms);
        # what the trial registers from here on is run when it leaves.
        atexit._clear()
        child.prepare_process(job)
        code = child.run(job, pipe)
    except BaseException:
        traceback.print_exc()
    finally:
        child.leave(code)
