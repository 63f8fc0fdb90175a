"""How numbers, durations, parameters, ends and states are written: the one vocabulary of screen and reports.

Messages, parameter values and names come from other people's code. They leave this file on one line and
without a character that could move a cursor.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ..analysis.pace import is_finishing
from ..study.outcomes import Outcome
from ..study.snapshot import Counts, Snapshot, Trial
from ..study.state import State
from ..study.text import MESSAGE_CHARS, one_line, printable
from .signs import BEFORE, OUTCOME_SIGNS

VALUE_CHARS = 24  # of one parameter's value
NOTHING = "–"  # where there is no number

OUTCOME_WORDS: dict[Outcome | None, str] = {
    Outcome.FINISHED: "finished",
    Outcome.UNFINISHED: "unfinished",
    Outcome.NO_START: "never started",
    None: "running",
}
BRIEF_WORDS: dict[Outcome | None, str] = {
    Outcome.FINISHED: "done",
    Outcome.UNFINISHED: "early",
    Outcome.NO_START: "no start",
    None: "live",
}


def number(value: float | None, digits: int = 4) -> str:
    """A number as short as it can be read: 0.05, 2000, 1e-3, 1.235e5. `digits`: significant ones at most."""
    if value is None:
        return NOTHING
    if value == 0 or not math.isfinite(value):
        return "0" if value == 0 else str(float(value))
    plain = f"{value:.{digits}g}"
    if "e" not in plain and len(plain.lstrip("-")) <= 4:
        return plain
    mantissa, _, exponent = f"{value:.{digits - 1}e}".partition("e")
    mantissa = mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa
    short = f"{mantissa}e{int(exponent)}"
    return short if "e" in plain or len(short) < len(plain) else plain


def p_value(p: float) -> str:
    """`p = 0.02`, to one digit, and no smaller than anyone needs: `p < 0.001`."""
    return "p < 0.001" if p < 0.001 else f"p = {float(f'{p:.1g}'):g}"


def plural(count: int, noun: str) -> str:
    """`1 trial`, `2 trials`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def duration(seconds: float | None) -> str:
    """3.2s, 48s, 12m05s, 3h20m, 2d04h; "–" when unknown."""
    if seconds is None:
        return "–"
    if seconds < 9.95:
        return f"{seconds:.1f}s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    if whole < 86400:
        return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
    return f"{whole // 86400}d{whole % 86400 // 3600:02d}h"


def ago(at: float | None, now: float) -> str:
    """`now`, `5 min ago`, `3 h ago`, `2 d ago`; "" when unknown."""
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


def parameter(value: Any, limit: int = VALUE_CHARS) -> str:
    """A hyperparameter's value, at most `limit` characters; "" where the trial has none."""
    return one_line(_parameter(value), limit)


def _parameter(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return number(value)
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_parameter(item) for item in value) + "]"
    return str(value)


def brief_params(trial: Trial, names: Sequence[str], limit: int = 100) -> str:
    """`lr=0.001 width=64 +3 more`: whole pairs, about `limit` characters."""
    pairs = [f"{one_line(name)}={parameter(trial.params[name])}" for name in names if name in trial.params]
    text = ""
    for index, pair in enumerate(pairs):
        if text and len(text) + 1 + len(pair) > limit:
            return f"{text} +{len(pairs) - index} more"
        text = f"{text} {pair}" if text else pair
    return text


def why(trial: Trial, limit: int = MESSAGE_CHARS) -> str:
    """The reason and the message of an end: `timeout: ran longer than 60 s`; "" for a finished trial."""
    if trial.reason is None:
        return one_line(trial.message, limit)
    message = one_line(trial.message, limit)
    if message.lower().startswith(reason_word(trial.reason)):
        return message  # `out of memory: 512 filters` says it already
    return f"{reason_word(trial.reason)}: {message}" if message else reason_word(trial.reason)


def reason_word(reason: str | None) -> str:
    """`out of memory`; a reason of a newer version as it is written there; "" for none."""
    return "" if reason is None else one_line(reason.replace("_", " "), VALUE_CHARS)


def direction_words(snapshot: Snapshot) -> str:
    """`smaller is better` or `larger is better`."""
    return "smaller is better" if snapshot.direction == "minimize" else "larger is better"


def part_words(snapshot: Snapshot) -> str:
    """`120 of 3,000 trials: lr < 1e-3`, where a filter holds; "" where all trials are shown."""
    if snapshot.part_of is None:
        return ""
    all_of_them = len(snapshot.part_of.trials)
    return f"{len(snapshot.trials):,} of {all_of_them:,} trials: {printable(snapshot.where)}"


def best_words(best: Trial | None) -> str:
    """`0.0123 (trial 7)`; "–" when there is no best."""
    return NOTHING if best is None else f"{number(best.value)} (trial {best.number})"


def count_words(counts: Counts) -> list[tuple[Outcome | None, str]]:
    """Each outcome with its count: `9 finished`, `2 unfinished`, `1 never started`, and `2 running` if any."""
    return [
        (outcome, f"{n} {OUTCOME_WORDS[outcome]}")
        for outcome, n in counts.tally.items()
        if n or outcome is not None
    ]


def counts_parts(counts: Counts) -> list[tuple[Outcome | None, str]]:
    """Each outcome with its words: `● 9 finished`, `▲ 2 unfinished`, `│ 1 never started`, `○ 2 running`."""
    return [(outcome, f"{OUTCOME_SIGNS[outcome].glyph} {words}") for outcome, words in count_words(counts)]


def before_words(snapshot: Snapshot) -> str:
    """`97 trials from before: optuna:sqlite:///trials.db digits`; "" where there are none."""
    sources = dict.fromkeys(trial.source for trial in snapshot.trials.values() if trial.source)
    if not sources:
        return ""
    return f"{plural(snapshot.before, 'trial')} from before: {', '.join(map(one_line, sources))}"


def best_of_words(counts: Counts) -> str:
    """What the best trials are the best of: `Best of 9 finished trials`, `... and 97 trials from before`."""
    before = f" and {plural(counts.before, 'trial')} from before" if counts.before else ""
    return f"Best of {plural(counts.finished, 'finished trial')}{before}"


def trial_name(trial: Trial) -> str:
    """Its number; with a sign for a trial from before the study."""
    return f"{BEFORE.glyph}{trial.number}" if trial.source else str(trial.number)


def ended_words(counts: Counts) -> str:
    """`28 of 30 trials ended`, and `97 from before` where there are such."""
    before = f", {counts.before} from before" if counts.before else ""
    return f"{counts.ended} of {max(counts.planned, counts.ended + counts.running)} trials ended{before}"


def trial_list(trials: Sequence[Trial], limit: int = 12) -> str:
    """`3, 7, 12 and 4 more`."""
    shown = ", ".join(str(t.number) for t in trials[:limit])
    return shown if len(trials) <= limit else f"{shown} and {len(trials) - limit} more"


def state_word(state: State, snapshot: Snapshot) -> str:
    """One or two words: what the study does at this moment."""
    if state is State.RUNNING:
        if snapshot.opened_at is None:
            return "starting"
        if snapshot.stopping:
            return "stopping"
        if is_finishing(snapshot):
            return "finishing"
        return "paused" if snapshot.paused else "running"
    return "not started" if state is State.EMPTY else state.value


def state_sentence(state: State, snapshot: Snapshot) -> str:
    """What the state means; "" where the word says it all. What can be done about it depends on the face."""
    if state is State.INTERRUPTED:
        return "the engine was killed"
    if state is State.FAILED:
        return " ".join(printable(snapshot.closed_message).split())
    if state is State.EMPTY:
        return "no engine has opened it"
    if state is State.IDLE:
        return "no trial is running"
    if state is State.RUNNING and snapshot.opened_at is not None:
        if is_finishing(snapshot):
            return "all trials have ended; the engine writes the summary"
        if snapshot.stopping:
            return "no new trials; running ones end first"
        if snapshot.paused:
            return "no new trials"
    return ""


def outcome_word(trial: Trial, engine_alive: bool = True) -> str:
    """How a trial ended; `lost` for one that was running when its engine was killed."""
    if trial.running and not engine_alive:
        return "lost"
    return OUTCOME_WORDS[trial.outcome]
