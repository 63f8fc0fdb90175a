"""How the reports say things: numbers, durations, parameters and ends, in the same words everywhere.

Messages, parameter values and names come from other people's code. They leave this file on one line and
without a character that could move a cursor, whatever they held before.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..plot.signs import FINISHED, LINES, RUNNING, UNFINISHED
from ..search.space import Choice, Distribution
from ..study.folder import printable
from ..study.outcomes import OUTCOME_WORDS, Outcome
from ..study.snapshot import Counts, Snapshot, Trial

GLYPHS = {
    Outcome.FINISHED: FINISHED.glyph,
    Outcome.UNFINISHED: UNFINISHED.glyph,
    Outcome.NO_START: LINES[0].glyph,
    None: RUNNING.glyph,
}
STYLES = {  # rich styles, the colours of the scatterplots
    Outcome.FINISHED: FINISHED.style,
    Outcome.UNFINISHED: UNFINISHED.style,
    Outcome.NO_START: LINES[2].style,  # the middle one of the reds
    None: RUNNING.style,
}
MESSAGE_CHARS = 160  # of a message in a list: two lines of a terminal; the whole of it is in the log
VALUE_CHARS = 24  # of one parameter's value


def one_line(text: str, limit: int = MESSAGE_CHARS) -> str:
    """`text` on one line, safe for a terminal, at most `limit` characters."""
    text = printable(" ".join(text.split()))
    return text if len(text) <= limit else text[: limit - 1] + "…"


def number(value: float | None) -> str:
    """A measured value with four significant digits, 1.2e-5 as on the axes; "–" where there is none."""
    return "–" if value is None else re.sub(r"e\+?(-?)0*", r"e\1", f"{value:.4g}")


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


def trial_seconds(trial: Trial) -> float | None:
    """How long an ended trial ran; None while it runs."""
    return None if trial.ended_at is None else trial.seconds(trial.ended_at)


def param(value: Any) -> str:
    """A parameter's value in brief."""
    if isinstance(value, float):
        return number(value)
    if isinstance(value, str):
        return one_line(value, VALUE_CHARS)
    try:
        return one_line(json.dumps(value, ensure_ascii=False), VALUE_CHARS)
    except (TypeError, ValueError):
        return one_line(str(value), VALUE_CHARS)


def varied(snapshot: Snapshot) -> tuple[str, ...]:
    """Names of the hyperparameters a trial may differ in, in the order of the search file."""
    return tuple(
        hyperparameter.name
        for hyperparameter in snapshot.search.space
        if not _constant(hyperparameter.distribution)
    )


def _constant(distribution: Distribution) -> bool:
    if isinstance(distribution, Choice):
        return len(distribution.options) < 2
    return distribution.low == distribution.high


def brief_params(trial: Trial, names: Sequence[str], limit: int = 100) -> str:
    """`lr=0.001 width=64 +3 more`: whole pairs, about `limit` characters."""
    pairs = [f"{one_line(name)}={param(trial.params[name])}" for name in names if name in trial.params]
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
    if message.lower().startswith(trial.reason.replace("_", " ")):
        return message  # `out of memory: 512 filters` says it already
    return f"{trial.reason}: {message}" if message else str(trial.reason)


def direction_words(snapshot: Snapshot) -> str:
    return "smaller is better" if snapshot.direction == "minimize" else "larger is better"


def counts_parts(counts: Counts) -> list[tuple[Outcome | None, str]]:
    """Each outcome with its words: `● 9 finished`, `▲ 2 unfinished`, `│ 1 never started`, `○ 2 running`."""
    numbers = {
        Outcome.FINISHED: counts.finished,
        Outcome.UNFINISHED: counts.unfinished,
        Outcome.NO_START: counts.no_start,
    }
    if counts.running:
        numbers |= {None: counts.running}
    return [(outcome, f"{GLYPHS[outcome]} {n} {OUTCOME_WORDS[outcome]}") for outcome, n in numbers.items()]


def ended_words(counts: Counts) -> str:
    """`28 of 30 trials ended`."""
    return f"{counts.ended} of {max(counts.planned, counts.ended + counts.running)} trials ended"


def best_trials(snapshot: Snapshot, count: int) -> list[Trial]:
    """The best finished trials, best first: an unreliable result is never called best."""
    finished = [t for t in snapshot.trials.values() if t.outcome is Outcome.FINISHED and t.value is not None]
    return sorted(finished, key=snapshot.rank)[:count]


def better_but_unfinished(snapshot: Snapshot) -> Trial | None:
    """The unfinished trial that had the best value of all when it ended; worth a second look."""
    unfinished = [
        t for t in snapshot.trials.values() if t.outcome is Outcome.UNFINISHED and t.value is not None
    ]
    candidate = min(unfinished, key=snapshot.rank, default=None)
    best = snapshot.best
    if candidate is None or (best is not None and snapshot.rank(best) <= snapshot.rank(candidate)):
        return None
    return candidate


@dataclass(frozen=True)
class FailureGroup:
    """Trials that did not finish for one reason, in order of their numbers."""

    reason: str | None
    trials: tuple[Trial, ...]
    message: str  # the one that occurs most, on one line
    example: Trial  # the first trial with that message
    messages: int  # how many different ones there are

    @property
    def tally(self) -> dict[Outcome, int]:
        """How many ended prematurely and how many never started; only those there are."""
        counted = Counter(t.outcome for t in self.trials)
        return {o: counted[o] for o in (Outcome.UNFINISHED, Outcome.NO_START) if counted[o]}

    @property
    def name(self) -> str:
        return str(self.reason or "unknown")


def failure_groups(snapshot: Snapshot) -> list[FailureGroup]:
    """Every trial that ended without finishing, grouped by reason, the largest group first."""
    by_reason: dict[str | None, list[Trial]] = {}
    for trial in sorted(snapshot.trials.values(), key=lambda t: t.number):
        if trial.outcome in (Outcome.UNFINISHED, Outcome.NO_START):
            by_reason.setdefault(trial.reason, []).append(trial)
    groups: list[FailureGroup] = []
    for reason, trials in by_reason.items():
        messages = Counter(one_line(t.message) for t in trials)
        message = messages.most_common(1)[0][0]
        example = next(t for t in trials if one_line(t.message) == message)
        groups.append(FailureGroup(reason, tuple(trials), message, example, len(messages)))
    return sorted(groups, key=lambda group: (-len(group.trials), group.trials[0].number))


def trial_list(trials: Sequence[Trial], limit: int = 12) -> str:
    """`3, 7, 12 and 4 more`."""
    shown = ", ".join(str(t.number) for t in trials[:limit])
    return shown if len(trials) <= limit else f"{shown} and {len(trials) - limit} more"
