"""Decides the outcome, the reason and the message of a trial that has ended.

The inputs are what the trial reported, what the engine did to it, and how its process ended. Pure, so that
every case can be tested in a table, in addition to the tests with real processes.
"""

from __future__ import annotations

import math
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..study.outcomes import Outcome, Reason, judge
from .launcher import Exited


@dataclass
class Watched:
    """What the engine knows of a running trial."""

    started: float  # on the engine's monotonic clock, seconds
    heard: float  # when it last measured something
    finite: bool = False  # it has reported a finite objective, before any nan
    nan_at: int | None = None  # the step of its first objective that was nan
    objective: float | None = None  # its last objective, finite or not
    step: int = 0
    names: set[str] = field(default_factory=set)  # measurements it has reported
    last_word: Mapping[str, Any] | None = None
    stopping: tuple[Reason, str] | None = None  # why the engine is ending it, and the sentence
    kill_at: float | None = None  # when asking turns into killing


def measured(watched: Watched, step: int, values: Mapping[str, float], objective: str, now: float) -> None:
    """Take a measurement into account: when it came, and whether the loss is still finite."""
    watched.heard = now
    watched.names |= values.keys()
    watched.step = step
    if objective in values:
        watched.objective = values[objective]
        if math.isnan(watched.objective) and watched.nan_at is None:
            watched.nan_at = step
        watched.finite = watched.finite or (watched.nan_at is None and math.isfinite(watched.objective))


def ending(watched: Watched, exited: Exited, objective: str) -> tuple[Outcome, Reason | None, str]:
    """(outcome, reason, sentence) of a trial that has exited."""
    reason, sentence = _why(watched, exited, objective)
    return judge(reason, watched.finite), reason, sentence


def _why(watched: Watched, exited: Exited, objective: str) -> tuple[Reason | None, str]:
    # A trial that was asked to stop did not end by itself, whatever its last word: many programs handle
    # SIGTERM and return in good order. And nan counts wherever it was measured: whether the engine asked the
    # trial to stop before it returned, raised or crashed is a race, and must not decide.
    if watched.stopping is not None:
        return watched.stopping
    if watched.nan_at is not None:
        return Reason.DIVERGED, diverged(math.nan, watched.nan_at, objective)
    word = watched.last_word or {}
    if exited.cause == "out_of_memory":
        return Reason.OUT_OF_MEMORY, "killed: out of memory"
    if exited.cause == "launch":
        return Reason.EXIT, exited.message
    if returned(watched) and word.get("terminated"):
        return Reason.SIGNAL, "returned after a SIGTERM that tuner did not send (a batch system, or a person)"
    if returned(watched):
        return _returned(watched, objective)
    if word.get("end") == "raised":
        return _raised(word)
    if word.get("end") == "exit":
        return Reason.EXIT, word.get("message") or f"left with exit code {word['code']} (sys.exit)"
    if word.get("end") == "stopped":  # not by us, see above
        return Reason.SIGNAL, "ended at a SIGTERM that tuner did not send (a batch system, or a person)"
    if exited.exit_code is None:
        return Reason.EXIT, "its process vanished without a last word"
    if exited.exit_code < 0:
        return Reason.SIGNAL, f"killed by {signal_name(-exited.exit_code)}"
    return Reason.EXIT, f"left with exit code {exited.exit_code} without a last word (os._exit?)"


def returned(watched: Watched) -> bool:
    """Whether a trial ended by itself and well, as far as its last word says."""
    word = watched.last_word or {}
    return word.get("end") == "returned" or (word.get("end") == "exit" and word.get("code") == 0)


def _raised(word: Mapping[str, Any]) -> tuple[Reason, str]:
    where = f" ({word['where']})" if word.get("where") else ""
    sentence = f"{word['type']}: {word['message']}{where}" if word["message"] else f"{word['type']}{where}"
    if word.get("pruned"):
        why = f": {word['message']}" if word["message"] else ""
        return Reason.PRUNED, f"pruned by itself{why}"
    if word.get("diverged"):
        return Reason.DIVERGED, word["message"] or sentence
    return (Reason.OUT_OF_MEMORY if word.get("memory") else Reason.EXCEPTION), sentence


def _returned(watched: Watched, objective: str) -> tuple[Reason | None, str]:
    if watched.objective is None:
        reported = ", ".join(sorted(watched.names)) or "nothing"
        return Reason.EXIT, f"ended without ever reporting {objective!r} (it reported: {reported})"
    if not math.isfinite(watched.objective):
        return Reason.DIVERGED, diverged(watched.objective, watched.step, objective)
    return None, ""


def diverged(value: float, step: int, objective: str) -> str:
    """The sentence for a loss that became nan or infinite."""
    return f"{objective} became {value} at step {step}"


def signal_name(number: int) -> str:
    """`SIGSEGV` for 11; the number itself for one without a name."""
    try:
        name = signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
    plain = {
        "SIGSEGV": "segmentation fault",
        "SIGABRT": "abort",
        "SIGBUS": "bus error",
        "SIGFPE": "arithmetic",
    }
    return f"{name} ({plain[name]})" if name in plain else name
