"""What keeps a publisher alive: an open standard input, and no request to stop.

The engine holds the other end of the pipe and never writes to it. When the engine exits or is killed, the
kernel closes its end. Signals from the engine's terminal (Ctrl-C, a lost connection) do not stop the publisher.
"""

from __future__ import annotations

import os
import select
import signal
import time


class Lifeline:
    """Create one per process, in its main thread: it takes over SIGTERM, SIGINT and SIGHUP."""

    def __init__(self, fd: int = 0) -> None:
        self._fd = fd
        self.gone = False  # the other end was closed
        self.stopped = False  # somebody sent SIGTERM
        self._wake, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGTERM, self._stop)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    def wait(self, seconds: float) -> None:
        """Sleep; wake at once when the other end is closed or a stop is asked for."""
        deadline = time.monotonic() + seconds
        while not self.stopped:
            watched = [self._wake] if self.gone else [self._wake, self._fd]
            ready, _, _ = select.select(watched, [], [], max(0.0, deadline - time.monotonic()))
            if self._wake in ready:
                os.read(self._wake, 64)
            if self._fd in ready and not self._still_open():
                self.gone = True
                return
            if time.monotonic() >= deadline:
                return

    def _still_open(self) -> bool:
        try:
            return bool(os.read(self._fd, 4096))
        except OSError:  # closed before we began
            return False

    def _stop(self, number: int, frame: object) -> None:
        self.stopped = True
