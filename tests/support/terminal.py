"""A real terminal for a real `tuner`: a pty of a given size whose output is kept."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import termios
import threading
from pathlib import Path

from support.patience import PATIENCE_S, wait_until
from support.sabotage import TUNER

ESCAPE = re.compile(
    r"\x1b\[[0-9;?<>=]*[A-Za-z]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[=>PX^_][^\x1b]*(?:\x1b\\)?|\x1b."
)


class Terminal:
    """`tuner WORDS` on a terminal of `size` (columns, rows). `text` is all it wrote, without escapes."""

    def __init__(
        self,
        folder: Path,
        *words: str,
        size: tuple[int, int] = (120, 40),
        controlling: bool = True,
        nohup: bool = False,
    ) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))
        environment = {**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor"}
        environment.pop("NO_COLOR", None)

        def login() -> None:
            if controlling:
                fcntl.ioctl(0, termios.TIOCSCTTY, 0)
            if nohup:
                signal.signal(signal.SIGHUP, signal.SIG_IGN)

        self.process = subprocess.Popen(
            [*TUNER, *words], cwd=folder, stdin=slave, stdout=slave, stderr=slave, env=environment,
            start_new_session=True, preexec_fn=login,
        )  # fmt: skip
        os.close(slave)
        self._raw = b""
        threading.Thread(target=self._read, daemon=True).start()

    @property
    def text(self) -> str:
        return ESCAPE.sub(" ", self._raw.decode(errors="replace"))

    def press(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def wait_for(self, pattern: str) -> re.Match[str]:
        try:
            return wait_until(lambda: re.search(pattern, self.text), f"{pattern!r} is shown", every=0.05)
        except AssertionError as error:
            raise AssertionError(f"{error}; the last was {self.text[-2000:]}") from None

    def leave(self) -> int:
        """Press q and return the exit code."""
        self.press("q")
        return self.process.wait(PATIENCE_S)

    def hang_up(self) -> None:
        """The line is lost: the terminal is gone, and the kernel tells the session so."""
        os.close(self._master)
        self.process.wait(PATIENCE_S)

    def _read(self) -> None:
        while True:
            try:
                data = os.read(self._master, 1 << 16)
            except OSError:
                return
            if not data:
                return
            self._raw += data
