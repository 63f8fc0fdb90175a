"""How long until there is something to see: `tuner --help`, and the first paint of the screen in a real pty.

Beside each stands its limit, measured in the same run: a bare interpreter, and the import of textual alone.
First paint is the moment the first drawn cell arrives at the terminal, not when the process starts.

    python benchmarks/start.py [RUNS]
"""

from __future__ import annotations

import fcntl
import os
import pty
import select
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import time
from pathlib import Path

RUNS = 7  # the median of seven shrugs off one run that the machine disturbed
GIVE_UP_S = 30.0
PAINTED = b"No studies yet"  # a word that only the drawn screen holds


def wall(command: list[str]) -> float:
    """Seconds until the command has ended. Raises CalledProcessError if it fails."""
    began = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - began


def first_paint(command: list[str], size: tuple[int, int] = (120, 40)) -> float:
    """Seconds until PAINTED arrives at the terminal. Raises TimeoutError if it never does."""
    began = time.perf_counter()
    pid, fd = pty.fork()
    if pid == 0:
        os.environ |= {"TERM": "xterm-256color", "COLORTERM": "truecolor"}
        os.execvp(command[0], command)
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))
    seen = b""
    try:
        while time.perf_counter() - began < GIVE_UP_S:
            ready, _, _ = select.select([fd], [], [], 0.5)
            if ready:
                seen += os.read(fd, 65536)
            if PAINTED in seen:
                return time.perf_counter() - began
        raise TimeoutError(f"nothing was painted: {seen[-400:]!r}")
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
        os.close(fd)


def median(measure, runs: int) -> float:
    measure()  # the first run fills the file cache and writes bytecode
    return statistics.median(measure() for _ in range(runs))


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else RUNS
    python = sys.executable
    bare = median(lambda: wall([python, "-c", "pass"]), runs)
    textual = median(lambda: wall([python, "-c", "import textual.app"]), runs)
    tuner_help = median(lambda: wall([python, "-m", "tuner_tui.cli", "--help"]), runs)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "mlruns"
        paint = median(lambda: first_paint([python, "-m", "tuner_tui.cli", "--mlruns", str(root)]), runs)
    print(f"median of {runs} runs, seconds of wall time")
    print(f"  {'python -c pass':<28}{bare:8.3f}")
    print(f"  {'tuner --help':<28}{tuner_help:8.3f}   {tuner_help / bare:5.1f} x a bare interpreter")
    print(f"  {'import textual.app':<28}{textual:8.3f}")
    print(f"  {'first paint of the screen':<28}{paint:8.3f}   {paint / textual:5.1f} x importing textual")


if __name__ == "__main__":
    main()
