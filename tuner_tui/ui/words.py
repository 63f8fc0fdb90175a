"""Numbers, times and states as a person reads them. Pure functions, so that every screen says the same."""

from __future__ import annotations

import math
from typing import Any

from ..study.folder import State, printable
from ..study.outcomes import OUTCOME_WORDS
from ..study.snapshot import Snapshot, Trial


def number(value: float | None, digits: int = 4) -> str:
    """At most `digits` significant digits; "–" where there is no number."""
    if value is None:
        return "–"
    if not math.isfinite(value):
        return str(float(value))
    if value and not 1e-3 <= abs(value) < 10 ** (digits + 2):
        mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
        return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"
    return f"{value:.{digits}g}" if abs(value) < 10**digits else f"{value:.0f}"


def parameter(value: Any) -> str:
    """A hyperparameter's value; "" where the trial has none."""
    if value is None:
        return ""
    if isinstance(value, float):
        return number(value)
    if isinstance(value, list | tuple):
        return "[" + ", ".join(parameter(v) for v in value) + "]"
    return printable(str(value))


def duration(seconds: float) -> str:
    """Two units at most: 43 s, 3 m 12 s, 2 h 05 m, 3 d 4 h."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} m {whole % 60:02d} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} m"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"


def ago(at: float | None, now: float) -> str:
    if at is None:
        return ""
    seconds = max(0.0, now - at)
    if seconds < 60:
        return "now"
    if seconds < 3600:
        return f"{int(seconds // 60)} min ago"
    if seconds < 86400:
        return f"{int(seconds // 3600)} h ago"
    return f"{int(seconds // 86400)} d ago"


def count(amount: int, thing: str) -> str:
    return f"{amount} {thing}" + ("" if amount == 1 else "s")


def state_word(state: State, snapshot: Snapshot) -> str:
    """One or two words: what the study does at this moment."""
    if state is State.RUNNING:
        if snapshot.opened_at is None:
            return "starting"
        if snapshot.stopping:
            return "stopping"
        return "paused" if snapshot.paused else "running"
    return "not started" if state is State.EMPTY else state.value


def state_sentence(state: State, snapshot: Snapshot) -> str:
    """What the state means and what a person can do about it; "" where nothing needs saying."""
    if state is State.INTERRUPTED:
        return "the engine was killed; press r to resume"
    if state is State.STOPPED:
        return "press r to go on"
    if state is State.FAILED:
        return f"{' '.join(printable(snapshot.closed_message).split())}; r tries again"
    if state is State.EMPTY:
        return "no engine has opened it; l shows what one said"
    if state is State.RUNNING and snapshot.opened_at is not None:
        if snapshot.stopping:
            return "no new trials; running ones end first"
        if snapshot.paused:
            return "no new trials until you press p"
    return ""


def outcome_word(trial: Trial, engine_alive: bool) -> str:
    if trial.running and not engine_alive:
        return "lost"
    return OUTCOME_WORDS[trial.outcome]
