"""Progress of a long job: a bar on a terminal, a line every few seconds in a log."""

import sys
import time
from collections.abc import Callable

EVERY = 5.0  # seconds from one line of a log to the next
REDRAWN = 0.1  # seconds from one bar to the next
WIDTH = 30  # columns of the bar; with its words it fits into 80


class Progress:
    """Call `at` with the amount done, from the thread that created it."""

    def __init__(self, what: str, total: int, say: Callable[[str], None]):
        self.what, self.total, self.say = what, total, say
        self.bar = sys.stderr.isatty()
        self.started = self.told = time.monotonic()

    def at(self, done: int) -> None:
        """Shows that `done` of the total are done, unless the last report is too recent."""
        now = time.monotonic()
        if now - self.told < (REDRAWN if self.bar else EVERY):
            return
        self.told = now
        left = f"{duration((now - self.started) / done * (self.total - done))} to go" if done else ""
        if self.bar:
            full = WIDTH * done // self.total
            drawn = "█" * full + "░" * (WIDTH - full)
            sys.stderr.write(f"\r{drawn} {done:,} of {self.total:,} {self.what}, {left}\x1b[K")
            sys.stderr.flush()
        else:
            self.say(f"{done:,} of {self.total:,} {self.what} ({100 * done // self.total}%), {left}")

    def end(self) -> None:
        """Removes the bar."""
        if self.bar:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


def duration(seconds: float) -> str:
    """40 s, 3 min, 2.5 h."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 100 * 60 else f"{seconds / 3600:.1f} h"
