"""`--fail-if CONDITION`: when a sweep that ran to its end should nevertheless fail a CI job.

A condition is one comparison: a quantity, an operator, a number or a calculation.

    best > 0.5                      best, worst, median, mean or std of the values of the finished trials
    finished < 10                   finished, unfinished, no_start, or failed (unfinished + no_start)
    no_start > 20%                  the same, as a share of the ended trials
    valid/acc < 0.9                 any metric: the best trial's last reading
    median(valid/acc) < 0.9         min, max, mean, median or std of a metric over the finished trials
    seconds > 3600                  how long the study took; max(seconds): its slowest finished trial
    best > baseline * 1.02          the same quantity in the study that --baseline names

A metric whose name has other characters in it, or that is named like a quantity, stands in double quotes. What
can't be judged counts as held: a job must not pass because there was nothing to look at.
"""

from __future__ import annotations

import ast
import math
import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from fractions import Fraction
from typing import Any

from ..analysis.quantities import (
    COUNTS,
    SECONDS,
    STATISTICS,
    VALUES,
    Quantity,
    Value,
    metrics_of,
    value_of,
)
from ..study.snapshot import Snapshot
from ..study.text import one_line

OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
}
EXAMPLES = "'best > 0.5', 'no_start > 20%', 'valid/acc < 0.9', 'best > baseline * 1.02'"
BASELINE = "baseline"

_FORM = re.compile(r"""(?P<left>(?:"[^"]*"|[^"<>=!])*)(?P<operator>[<>=!]+)(?P<right>.*)""", re.DOTALL)
_STATISTIC = re.compile(r"(?P<name>[a-z]+)\((?P<inside>.*)\)")
_SHARE = re.compile(r"(?P<number>[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)\s*%")
_PLAIN = re.compile(r"[A-Za-z_][\w./: -]*")
_NEEDS_QUOTES = (*VALUES, *COUNTS, SECONDS)
_LONGEST = 200  # characters of a calculation; it bounds how deeply it can be nested
_CALCULATIONS: dict[type, Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


@dataclass(frozen=True)
class Verdict:
    """Whether a condition held, and the sentence that says so."""

    holds: bool
    sentence: str  # what was compared and found, for a person


@dataclass(frozen=True)
class Condition:
    """One `--fail-if`: a quantity, a comparison and a limit."""

    quantity: Quantity
    operator: str
    limit: str  # a number or a calculation, as Python writes it
    percent: bool = False

    def __str__(self) -> str:
        return f"{_words(self.quantity)} {self.operator} {self.limit}{'%' if self.percent else ''}"

    @property
    def needs_baseline(self) -> bool:
        """Whether it compares with another study."""
        return BASELINE in self.limit

    def holds(self, snapshot: Snapshot, baseline: Snapshot | None = None) -> Verdict:
        """Whether it holds for the study; a quantity without a value counts as held."""
        snapshot = snapshot.own  # a verdict on this sweep, and not on what was known before
        value = value_of(snapshot, self.quantity)
        if value is None:
            return Verdict(True, f"{self} counts as held: {_missing(snapshot, self.quantity)}")
        if self.percent:
            return self._share_holds(value)
        found = _found(self.quantity, value)
        if math.isnan(value.value):
            return Verdict(True, f"{self} counts as held: {found}")
        before = None
        if self.needs_baseline:
            before = None if baseline is None else value_of(baseline, self.quantity)
            if before is None or math.isnan(before.value):
                return Verdict(
                    True, f"{self} counts as held: the baseline has no {_words(self.quantity)}; {found}"
                )
            found += f"; the baseline is {before.value:.10g}"
        try:
            limit = _calculate(ast.parse(self.limit, mode="eval").body, before.value if before else 0.0)
        except ArithmeticError as error:
            return Verdict(
                True, f"{self} counts as held: its right side can't be calculated ({error}); {found}"
            )
        return self._verdict(OPERATORS[self.operator](value.value, limit), found)

    def _share_holds(self, count: Value) -> Verdict:
        if not count.of:
            return Verdict(True, f"{self} counts as held: no trial ended, so there is no share")
        found = f"{_found(self.quantity, count)}, {100 * count.value / count.of:.1f}%"
        # Exactly, with the share as it was written: as floats, 161 of 250 trials are not 64.4%.
        share = Fraction(100 * int(count.value), count.of)
        return self._verdict(OPERATORS[self.operator](share, Fraction(self.limit)), found)

    def _verdict(self, holds: bool, found: str) -> Verdict:
        return Verdict(holds, f"{self} {'holds' if holds else 'does not hold'}: {found}")


def parse_condition(text: str) -> Condition:
    """The condition in `text`. Raises ValueError with a sentence that names it and shows examples."""
    match = _FORM.fullmatch(text)
    if not match or not match["left"].strip():
        raise _wrong(text, "it must be a quantity, an operator and a number")
    sign, right = match["operator"], match["right"].strip()
    if sign not in OPERATORS:
        raise _wrong(text, f"{sign!r} is none of {', '.join(OPERATORS)}")
    quantity = _quantity(text, match["left"].strip())
    if share := _SHARE.fullmatch(right):
        if not quantity.is_count:
            raise _wrong(text, f"a share of the trials can't be compared with {_words(quantity)}")
        number = Fraction(share["number"])
        if not 0 <= number <= 100:
            raise _wrong(text, "a share lies between 0% and 100%")
        return Condition(quantity, sign, share["number"].removeprefix("+"), percent=True)
    return Condition(quantity, sign, _limit(text, right))


def _quantity(text: str, words: str) -> Quantity:
    statistic = ""
    if match := _STATISTIC.fullmatch(words):
        statistic, words = match["name"], match["inside"].strip()
        if statistic not in STATISTICS:
            raise _wrong(text, f"{statistic!r} is none of {', '.join(STATISTICS)}")
    if len(words) > 2 and words[0] == words[-1] == '"' and '"' not in words[1:-1]:
        name = words[1:-1]
        if name in _NEEDS_QUOTES and not (statistic and name == SECONDS):
            raise _wrong(text, f"a metric can't be called {name}")
        return Quantity(name, statistic)
    if not _PLAIN.fullmatch(words):
        raise _wrong(
            text, "it must be a quantity, an operator and a number (an unusual metric name in double quotes)"
        )
    known = (SECONDS,) if statistic else _NEEDS_QUOTES
    if words not in known:
        if statistic and words in _NEEDS_QUOTES:
            raise _wrong(text, f"{words} is one number already; write {words} alone, or a metric inside")
        if close := get_close_matches(words, known, 1, cutoff=0.75):
            raise _wrong(
                text, f'did you mean {close[0]}? For a metric of that name write it in quotes: "{words}"'
            )
    return Quantity(words, statistic)


def _limit(text: str, right: str) -> str:
    """The right side as Python writes it, so that equal ones are equal texts."""
    problem = "its right side must be a number, or a calculation (+ - * /) with `baseline`"
    if len(right) > _LONGEST:
        raise _wrong(text, f"its right side is longer than {_LONGEST} characters")
    try:
        tree = ast.parse(right.strip(), mode="eval").body
        value = _calculate(tree, 1.0)
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        raise _wrong(text, problem) from error
    except ZeroDivisionError:
        value = 0.0  # with another baseline it may be possible
        if BASELINE not in right:
            raise _wrong(text, "it divides by 0") from None
    except OverflowError:
        value = math.inf
    if not math.isfinite(value):
        raise _wrong(text, "its number is too large")
    return ast.unparse(tree)


def _calculate(node: ast.expr, baseline: float) -> float:
    """Raises ValueError for what is no calculation, ArithmeticError for one that has no result."""
    match node:
        case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
            return float(number)
        case ast.Name(id="baseline"):
            return baseline
        case ast.UnaryOp(op=ast.UAdd() | ast.USub() as sign, operand=operand):
            value = _calculate(operand, baseline)
            return -value if isinstance(sign, ast.USub) else value
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _CALCULATIONS:
            return _CALCULATIONS[type(op)](_calculate(left, baseline), _calculate(right, baseline))
        case _:
            raise ValueError("not a calculation")


def _words(quantity: Quantity) -> str:
    """As it is written in a condition."""
    name = quantity.name
    plain = _PLAIN.fullmatch(name) and name == name.strip()
    near = name in _NEEDS_QUOTES or not get_close_matches(name, _NEEDS_QUOTES, 1, cutoff=0.75)
    name = name if plain and near else f'"{name}"'
    return f"{quantity.statistic}({name})" if quantity.statistic else name


def _found(quantity: Quantity, value: Value) -> str:
    if quantity.is_count:
        return f"{value.value:.0f} of {value.of} ended trials"
    number = f"{value.value:.10g}"
    if quantity.name == SECONDS and not quantity.statistic:
        return f"the study took {number} s"
    name = one_line(quantity.name)
    if quantity.name in VALUES:
        trial = f" (trial {value.trial.number})" if value.trial else ""
        over = "" if value.trial else f" of {value.of} finished trials"
        return f"the {name}{over} is {number}{trial}"
    if value.trial is not None:
        return f"{name} is {number} in the best trial ({value.trial.number})"
    return f"the {quantity.statistic} of {name} over {value.of} finished trials is {number}"


def _missing(snapshot: Snapshot, quantity: Quantity) -> str:
    if not snapshot.counts.finished:
        return f"no trial finished, so there is no {_words(quantity)}"
    there = ", ".join(one_line(name) for name in metrics_of(snapshot)) or "none"
    whose = "no finished trial" if quantity.statistic else "the best trial has not"
    return f"{whose} measured {one_line(quantity.name)}; the metrics are {there}"


def _wrong(text: str, what: str) -> ValueError:
    return ValueError(f"--fail-if {text!r}: {what}; for example {EXAMPLES}")
