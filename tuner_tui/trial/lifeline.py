"""End a process and its group as soon as the engine ends, for whatever reason.

The engine holds the write end of a pipe; here the kernel is told to send SIGKILL to our process group when
that pipe hangs up. No thread of ours has to run for it, so it ends even a trial that holds the interpreter
lock for ever. Under a fork server a parent-death signal would watch the wrong process. Linux only; elsewhere
a thread watches the pipe.
"""

from __future__ import annotations

import fcntl
import os
import signal
import sys
import threading


def tie(read_end: int) -> None:
    """End when the other end of the pipe closes. Call it once the process leads its own group."""
    if sys.platform == "linux":
        fcntl.fcntl(read_end, fcntl.F_SETOWN, -os.getpgrp())  # negative: the whole group
        fcntl.fcntl(read_end, fcntl.F_SETSIG, signal.SIGKILL)  # type: ignore[attr-defined]
        flags = fcntl.fcntl(read_end, fcntl.F_GETFL)
        fcntl.fcntl(read_end, fcntl.F_SETFL, flags | os.O_ASYNC)
        if _hung_up(read_end):  # it died before we were listening
            os.killpg(0, signal.SIGKILL)
    else:
        threading.Thread(target=_watch, args=(read_end,), daemon=True).start()


def _hung_up(read_end: int) -> bool:
    import select

    poll = select.poll()
    poll.register(read_end, 0)
    return bool(poll.poll(0))


def _watch(read_end: int) -> None:
    os.read(read_end, 1)
    os.killpg(0, signal.SIGKILL)
