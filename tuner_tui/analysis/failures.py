"""Trials that did not finish, grouped by reason, and within one by what was said: the last line of the traceback."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from functools import cached_property, lru_cache

from ..study.outcomes import Outcome
from ..study.snapshot import Snapshot, Trial
from ..study.text import one_line

_NUMBERS = re.compile(
    r"\d+(?:\.\d+)?(?:e[+-]?\d+)?"
)  # sizes, steps, lines: they differ where the fault is one


@dataclass(frozen=True)
class FailureKind:
    """Trials that failed with the same words, numbers aside, in order of their numbers."""

    message: str  # of the first of them, on one line
    trials: tuple[Trial, ...]

    @property
    def devices(self) -> tuple[str, ...]:
        """Where they ran, each once."""
        return tuple(dict.fromkeys(trial.device for trial in self.trials if trial.device))


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

    @cached_property
    def kinds(self) -> tuple[FailureKind, ...]:
        """The trials by what was said of them, the most frequent first."""
        found: dict[str, list[Trial]] = {}
        for trial in self.trials:
            found.setdefault(_said(trial.message)[1], []).append(trial)
        kinds = [FailureKind(one_line(trials[0].message), tuple(trials)) for trials in found.values()]
        return tuple(sorted(kinds, key=lambda kind: (-len(kind.trials), kind.trials[0].number)))

    @property
    def name(self) -> str:
        """The reason that the trials of the group share."""
        return str(self.reason or "unknown")


def failure_groups(snapshot: Snapshot) -> list[FailureGroup]:
    """Every trial of the study's own that ended without finishing, grouped by reason, the largest group first."""
    by_reason: dict[str | None, list[Trial]] = {}
    for trial in sorted(snapshot.own.trials.values(), key=lambda t: t.number):
        if trial.failed:
            by_reason.setdefault(trial.reason, []).append(trial)
    groups: list[FailureGroup] = []
    for reason, trials in by_reason.items():
        messages = Counter(_said(t.message)[0] for t in trials)
        message = messages.most_common(1)[0][0]
        example = next(t for t in trials if _said(t.message)[0] == message)
        groups.append(FailureGroup(reason, tuple(trials), message, example, len(messages)))
    return sorted(groups, key=lambda group: (-len(group.trials), group.trials[0].number))


@lru_cache(maxsize=4096)  # thousands of trials die with the same few words, and a screen asks twice a second
def _said(message: str) -> tuple[str, str]:
    """A message on one line, and that without its numbers."""
    line = one_line(message)
    return line, _NUMBERS.sub("#", line)
