"""The time of day that events carry. It is read once, when the engine starts, and goes on with a clock that
nobody sets: when the machine's clock jumps, durations and the order of events stay right. Trials on this machine
are told `AHEAD` and read the same clock."""

from __future__ import annotations

import time

from ..trial.pipe import uptime

AHEAD = time.time() - uptime()  # seconds


def steady_time() -> float:
    """Seconds since the Unix epoch, by the time of day at which this process started."""
    return AHEAD + uptime()
