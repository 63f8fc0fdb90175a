"""The trial's end of the connection to the engine. Messages are lines of JSON:

    {"step": 12, "values": {"loss": 0.5}, "at": 1700000000.0}     a measurement
    {"end": "returned", "terminated": false} | {"end": "stopped"} | {"end": "exit", "code": 3, "message": "..."}
    {"end": "raised", "type": "ValueError", "message": "...", "where": "train.py:12", "memory": false,
     "diverged": false}

A pipe that ends without an "end" is a crash; the engine reads the process's exit status then.
"""

from __future__ import annotations

import json
import math
import os
import threading
import time
from collections.abc import Iterable, Mapping
from typing import Any

MASK = "***"
_SECRET_CHARS = 4  # a shorter value is no secret, and would be found in half of all words
_NOT_FINITE = {math.inf: "inf", -math.inf: "-inf"}


class Pipe:
    """The connection to the engine. `at` increases strictly, so that it identifies a measurement."""

    def __init__(self, fd: int, ahead: float | None = None, secrets: Iterable[str] = ()) -> None:
        """`ahead`: seconds by which the time of day is ahead of `uptime`, as the engine has it; None: as now."""
        self._fd = fd
        self._secrets = [secret for secret in secrets if len(secret) >= _SECRET_CHARS]
        self._ahead = time.time() - uptime() if ahead is None else ahead
        self._at = 0.0
        self._steps = 0
        self._owner = os.getpid()
        self._lock = threading.Lock()  # `report` may be called from a thread of a trainer

    @property
    def ours(self) -> bool:
        """Whether this is the trial's own process, and not a copy that the target has forked."""
        return os.getpid() == self._owner

    def send(self, message: Mapping[str, Any]) -> None:
        """Write one message to the engine. A forked copy of the trial sends nothing: it does not speak for it."""
        if not self.ours:
            return
        line = json.dumps(message, allow_nan=False, separators=(",", ":"))
        for secret in self._secrets:
            line = line.replace(json.dumps(secret)[1:-1], MASK)
        data = f"{line}\n".encode()
        while data:
            data = data[os.write(self._fd, data) :]

    def mask(self, text: str) -> str:
        """A text without the values of secrets."""
        for secret in self._secrets:
            text = text.replace(secret, MASK)
        return text

    def measure(self, measured: Any, objective: str) -> None:
        """Send one measurement: a number (the objective), or a mapping of names to numbers, "step" among them.

        Raises TypeError, ValueError or OverflowError for what are no numbers.
        """
        if not self.ours:
            return
        values = dict(measured) if isinstance(measured, Mapping) else {objective: measured}
        with self._lock:
            step = whole_step(values.pop("step")) if "step" in values else self._steps
            numbers = {str(name): number(name, value) for name, value in values.items()}
            self._steps = step + 1
            self._at = max(self._ahead + uptime(), self._at + 1e-6)
            self.send({"step": step, "values": numbers, "at": self._at})


def uptime() -> float:
    """Seconds on a clock that nobody sets, the same for all processes of this machine. It runs on while the machine
    sleeps, where the system has such a clock."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


def whole_step(value: Any) -> int:
    """A step as a whole number. Raises TypeError for what is none."""
    try:
        return int(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise TypeError(f"step is {value!r}, not a whole number") from error


def number(name: object, value: Any) -> float | str:
    """A measured value as JSON can hold it: nan and the infinities as text. Raises TypeError for no number."""
    try:
        found = float(value)  # also numpy and torch scalars
    except (TypeError, ValueError, OverflowError) as error:
        raise TypeError(f"measurement {name!r} is {value!r}, not a number") from error
    if math.isfinite(found):
        return found
    return _NOT_FINITE.get(found, "nan")
