"""`--fail-if CONDITION`: when a sweep that ran to its end should nevertheless fail a CI job.

A condition is one comparison: a quantity, an operator, a number.

    best > 0.5         best, median or worst value of the finished trials
    finished < 10      finished, unfinished, no_start, or failed (unfinished + no_start)
    no_start > 20%     the same, as a share of the ended trials

What can't be judged counts as held: a job must not pass because there was nothing to look at.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from ..analysis.quantities import COUNTS, VALUES, count_of, value_of
from ..study.snapshot import Counts, Snapshot

OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
}
EXAMPLES = "'best > 0.5', 'no_start > 20%', 'finished < 10'"

_FORM = re.compile(
    r"\s*(?P<quantity>[A-Za-z_]+)\s*(?P<operator>[<>=!]+)"
    r"\s*(?P<number>[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)\s*(?P<percent>%?)\s*"
)


@dataclass(frozen=True)
class Verdict:
    """Whether a condition held, and the sentence that says so."""

    holds: bool
    sentence: str  # what was compared and found, for a person


@dataclass(frozen=True)
class Condition:
    """One `--fail-if`: a quantity, a comparison and a limit."""

    quantity: str
    operator: str
    limit: float
    percent: bool = False

    def __str__(self) -> str:
        whole = self.limit.is_integer() and abs(self.limit) < 1e15
        limit = int(self.limit) if whole else self.limit
        return f"{self.quantity} {self.operator} {limit}{'%' if self.percent else ''}"

    def holds(self, snapshot: Snapshot) -> Verdict:
        """Whether it holds for the study; a quantity without a value counts as held."""
        if self.quantity in VALUES:
            return self._value_holds(snapshot)
        return self._count_holds(snapshot.counts)

    def _value_holds(self, snapshot: Snapshot) -> Verdict:
        value = value_of(snapshot, self.quantity)
        if value is None:
            return Verdict(True, f"{self} counts as held: no trial finished, so there is no {self.quantity}")
        if value.trial is None:
            found = f"the {self.quantity} of {value.of} finished trials is {value.value:.10g}"
        else:
            found = f"the {self.quantity} is {value.value:.10g} (trial {value.trial.number})"
        return self._verdict(OPERATORS[self.operator](value.value, self.limit), found)

    def _count_holds(self, counts: Counts) -> Verdict:
        count = count_of(counts, self.quantity)
        if not self.percent:
            return self._verdict(
                OPERATORS[self.operator](count, self.limit), f"{count} of {counts.ended} ended trials"
            )
        if counts.ended == 0:
            return Verdict(True, f"{self} counts as held: no trial ended, so there is no share")
        found = f"{count} of {counts.ended} ended trials, {100 * count / counts.ended:.1f}%"
        # Exactly, with the share as it was written: as floats, 161 of 250 trials are not 64.4%.
        limit = Fraction(repr(self.limit))
        return self._verdict(OPERATORS[self.operator](Fraction(100 * count, counts.ended), limit), found)

    def _verdict(self, holds: bool, found: str) -> Verdict:
        return Verdict(holds, f"{self} {'holds' if holds else 'does not hold'}: {found}")


def parse_condition(text: str) -> Condition:
    """The condition in `text`. Raises ValueError with a sentence that names it and shows examples."""
    match = _FORM.fullmatch(text)
    if not match:
        raise _wrong(text, "it must be a quantity, an operator and a number")
    quantity, sign = match["quantity"], match["operator"]
    limit, percent = float(match["number"]), bool(match["percent"])
    if quantity not in VALUES + COUNTS:
        raise _wrong(text, f"{quantity!r} is none of {', '.join(VALUES + COUNTS)}")
    if sign not in OPERATORS:
        raise _wrong(text, f"{sign!r} is none of {', '.join(OPERATORS)}")
    if not math.isfinite(limit):
        raise _wrong(text, "its number is too large")
    if percent and quantity in VALUES:
        raise _wrong(text, f"a share of the trials can't be compared with {quantity}")
    if percent and not 0 <= limit <= 100:
        raise _wrong(text, "a share lies between 0% and 100%")
    return Condition(quantity, sign, limit, percent)


def _wrong(text: str, what: str) -> ValueError:
    return ValueError(f"--fail-if {text!r}: {what}; for example {EXAMPLES}")
