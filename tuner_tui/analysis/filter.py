"""Filters: which trials a person wants to see, as they type it.

    lr < 1e-3 and outcome = no_start
    convnet.kind in (straight, "straight residual") or not loss/valid < 0.5
    lr in 1e-4..1e-2 and failed

A filter is a condition on one trial. It compares hyperparameters, measurements (their last reading) and what is known
of every trial (FIELDS) with values, and joins comparisons with `and`, `or`, `not` and parentheses. A comparison with
something that a trial does not have is false. Words such as `failed` stand alone.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

from ..search.space import Choice
from ..study.outcomes import Outcome
from ..study.snapshot import Snapshot, Trial

Test = Callable[[Trial], bool]
_T = TypeVar("_T")

# What is known of every trial. A hyperparameter or a measurement of the same name comes first.
FIELDS: Mapping[str, Callable[[Trial], Any]] = {
    "trial": lambda t: t.number,
    "outcome": lambda t: str(t.outcome) if t.outcome else "running",
    "reason": lambda t: t.reason,
    "loss": lambda t: t.value,
    "steps": lambda t: t.steps,
    "seconds": lambda t: t.seconds(0.0) if t.ended_at is not None else None,
    "device": lambda t: t.device,
    "seed": lambda t: t.seed,
    "message": lambda t: t.message,
}
WORDS: Mapping[str, Test] = {
    "failed": lambda t: t.failed,
    "finished": lambda t: t.outcome is Outcome.FINISHED,
    "unfinished": lambda t: t.outcome is Outcome.UNFINISHED,
    "no_start": lambda t: t.outcome is Outcome.NO_START,
    "running": lambda t: t.running,
    "diverged": lambda t: t.diverged,
}
FAILED, RUNNING = "failed", "running"
_JOINTS = ("and", "or", "not", "in")


class FilterError(ValueError):
    """What is wrong with a filter, and where: `at` counts characters from 0."""

    def __init__(self, message: str, at: int) -> None:
        super().__init__(message)
        self.at = at


@dataclass(frozen=True)
class Bounds:
    """What a filter demands of one hyperparameter: a range, or some of its choices."""

    low: float = -math.inf
    high: float = math.inf
    options: tuple[Any, ...] | None = None

    def both(self, other: Bounds) -> Bounds:
        """What is left when both hold."""
        options = self.options if other.options is None else other.options
        if self.options is not None and other.options is not None:
            options = tuple(option for option in self.options if option in other.options)
        return Bounds(max(self.low, other.low), min(self.high, other.high), options)


@dataclass(frozen=True)
class Filter:
    """A condition on a trial. `bounds`: what it demands of single hyperparameters, where its conditions are joined
    by `and` alone."""

    text: str
    test: Test = field(compare=False)
    bounds: Mapping[str, Bounds] = field(default_factory=dict, compare=False)

    def narrow(self, snapshot: Snapshot) -> Snapshot:
        """The study with only the trials that meet the condition; it says so, and keeps what it is a part of."""
        whole = snapshot.part_of or snapshot
        kept = {number: trial for number, trial in whole.trials.items() if self.test(trial)}
        return replace(whole, trials=MappingProxyType(kept), part_of=whole, where=self.text)


@dataclass(frozen=True)
class Names:
    """What a filter for a study can speak of: each name, and the values it has where they can be listed."""

    hyperparameters: Mapping[str, tuple[Any, ...]]  # () for numbers
    measurements: tuple[str, ...]

    @classmethod
    def of(cls, snapshot: Snapshot) -> Names:
        """The names of a study: those of its search, and those that any of its trials has."""
        options: dict[str, tuple[Any, ...]] = {
            h.name: h.distribution.options if isinstance(h.distribution, Choice) else ()
            for h in snapshot.space
        }
        measured: dict[str, None] = {}
        for trial in (snapshot.part_of or snapshot).trials.values():
            measured.update(dict.fromkeys(trial.latest))
            for name, value in trial.params.items():
                known = options.setdefault(name, ())
                if (known or isinstance(value, str)) and value not in known:
                    options[name] = (*known, value)
        if snapshot.objective:
            measured.setdefault(snapshot.objective)
        return cls(options, tuple(measured))

    @property
    def all(self) -> tuple[str, ...]:
        """Every name, each once, those of the search first."""
        return tuple(dict.fromkeys((*self.hyperparameters, *self.measurements, *FIELDS)))

    def values(self, name: str) -> tuple[str, ...]:
        """What the name can be equal to, where that is a short list."""
        if name in self.hyperparameters:
            return tuple(_word(option) for option in self.hyperparameters[name])
        if name == "outcome" and name not in self.measurements:
            return (*(str(outcome) for outcome in Outcome), "running")
        return ()

    def reader(self, name: str) -> Callable[[Trial], Any] | None:
        """How the value of a name is read from a trial; None for a name that there is not."""
        if name in self.hyperparameters:
            return lambda trial: trial.params.get(name)
        if name in self.measurements:
            return lambda trial: trial.latest.get(name)
        return FIELDS.get(name)


def parse(text: str, names: Names) -> Filter | None:
    """The filter that a text means; None for an empty one. Raises FilterError."""
    if not text.strip():
        return None
    return _Parser(text, names).whole()


def completions(text: str, names: Names) -> list[str]:
    """Texts that go on where this one stops in the middle of a name or a value, the likeliest first."""
    tokens = _tokens(text, strict=False)
    last = tokens[-1] if tokens else _Token("end", "", len(text))
    begun = last.text if last.kind in ("word", "number") and text.endswith(last.text) else ""
    before = [token for token in tokens if token is not last or not begun]
    stem = text[: len(text) - len(begun)]
    if before and before[-1].kind == "op" and len(before) > 1:
        found = list(names.values(before[-2].text))
    elif before and (
        before[-1].text == ")" or (before[-1].kind != "sign" and before[-1].text not in _JOINTS)
    ):
        named = before[-1].text in names.all
        found = ["in"] if named else ["and", "or"]
    else:
        found = [_quoted(name) for name in names.all] + list(WORDS) + ["not"]
    return [stem + word for word in found if word.startswith(begun) and word != begun] if begun else []


# ---- from text to tokens


class _Token(NamedTuple):
    kind: str  # word, number, text (quoted), op, sign, end
    text: str
    at: int


_PATTERN = re.compile(
    r"""\s*(?:
      (?P<text>"[^"]*"|'[^']*'|`[^`]*`)
    | (?P<number>[+-]?(?:\d+(?:\.\d+)?|\.\d+)(?:[eE][+-]?\d+)?(?![\w/]))
    | (?P<op><=|>=|!=|==|=|<|>|~)
    | (?P<sign>\.\.|[(),])
    | (?P<word>[^\W\d][\w/\-]*(?:\.(?!\.)[\w/\-]+)*)
    )""",
    re.VERBOSE,
)


def _tokens(text: str, *, strict: bool = True) -> list[_Token]:
    found: list[_Token] = []
    at = 0
    while text[at:].strip():
        match = _PATTERN.match(text, at)
        if match is None:
            if not strict:
                return []
            place = at + len(text[at:]) - len(text[at:].lstrip())
            if text[place] in "\"'`":
                raise FilterError(f"the quote {text[place]} is not closed", place)
            raise FilterError(f"{text[place]!r} has no meaning here", place)
        kind = str(match.lastgroup)
        found.append(_Token(kind, match.group(kind), match.start(kind)))
        at = match.end()
    return found


# ---- from tokens to a condition


class _Parser:
    """One pass over the tokens, by recursive descent: a function for each level of the grammar."""

    def __init__(self, text: str, names: Names) -> None:
        self._text = text
        self._names = names
        self._tokens = [*_tokens(text), _Token("end", "", len(text.rstrip()))]
        self._at = 0
        self._depth = 0

    def whole(self) -> Filter:
        test, bounds = self._either()
        if self._next.kind != "end":
            raise FilterError(f"{self._next.text!r} is too much: join conditions with and, or", self._next.at)
        return Filter(self._text.strip(), test, bounds)

    @property
    def _next(self) -> _Token:
        return self._tokens[self._at]

    def _take(self, *texts: str) -> _Token | None:
        """The next token, if it is one of these; any, if none is named."""
        token = self._next
        if texts and (token.kind == "text" or token.text not in texts):
            return None
        self._at += token.kind != "end"
        return token

    def _either(self) -> tuple[Test, dict[str, Bounds]]:
        parts = [self._both()]
        while self._take("or"):
            parts.append(self._both())
        if len(parts) == 1:
            return parts[0]
        tests = [test for test, _ in parts]
        return (lambda trial: any(test(trial) for test in tests)), {}

    def _both(self) -> tuple[Test, dict[str, Bounds]]:
        parts = [self._one()]
        while self._take("and"):
            parts.append(self._one())
        if len(parts) == 1:
            return parts[0]
        bounds: dict[str, Bounds] = {}
        for _, found in parts:
            for name, more in found.items():
                bounds[name] = bounds[name].both(more) if name in bounds else more
        tests = [test for test, _ in parts]
        return (lambda trial: all(test(trial) for test in tests)), bounds

    def _one(self) -> tuple[Test, dict[str, Bounds]]:
        if self._depth > _DEEPEST:
            raise FilterError("too many parentheses", self._next.at)
        if self._take("not"):
            self._depth += 1
            test, _ = self._one()
            self._depth -= 1
            return (lambda trial: not test(trial)), {}
        if opened := self._take("("):
            self._depth += 1
            inner = self._either()
            self._depth -= 1
            if not self._take(")"):
                raise FilterError("this parenthesis is not closed", opened.at)
            return inner
        return self._comparison()

    def _comparison(self) -> tuple[Test, dict[str, Bounds]]:
        token = self._next
        if token.kind not in ("word", "text") or token.text in _JOINTS:
            said = f"{token.text!r}" if token.text else "the end"
            raise FilterError(f"a name is needed here, not {said}", token.at)
        self._take()
        name = _unquoted(token)
        negated = self._take("not") is not None
        if self._take("in"):
            return self._among(name, token, negated)
        if negated:
            raise FilterError("`not` after a name goes on with `in`", self._next.at)
        op = self._next
        if op.kind != "op":
            if token.kind == "word" and name in WORDS:
                return WORDS[name], {}
            if self._names.reader(name) is None:
                raise self._unknown(name, token)
            raise FilterError(f"what of {name}? compare it: = != < <= > >= ~ in", op.at)
        self._take()
        read = self._reader(name, token)
        value = self._value(name, exact=op.text in ("=", "==", "!="))
        if op.text == "~":
            wanted = str(value).lower()
            return (lambda trial: (found := read(trial)) is not None and wanted in _word(found).lower()), {}
        if op.text in ("=", "=="):
            return (lambda trial: _equal(read(trial), value)), self._bounds(name, (value,))
        if op.text == "!=":
            return (lambda trial: (found := read(trial)) is not None and not _equal(found, value)), {}
        if not isinstance(value, float):
            raise FilterError(f"{op.text} compares numbers; for {name} use = != ~ in", op.at)
        limit = Bounds(high=value) if op.text.startswith("<") else Bounds(low=value)
        return _ordered(read, op.text, value), self._bounds(name, None, limit)

    def _among(self, name: str, token: _Token, negated: bool) -> tuple[Test, dict[str, Bounds]]:
        read = self._reader(name, token)
        opened = self._take("(")
        first = self._value(name, exact=opened is not None)
        if opened is None:
            if not self._take(".."):
                raise FilterError(f"write {name} in (a, b), or {name} in low..high", self._next.at)
            at = self._next.at
            last = self._value(name, exact=False)
            if not isinstance(first, float) or not isinstance(last, float):
                raise FilterError("a range is between two numbers", at)
            inside = _inside(read, first, last)
            if negated:
                return (lambda trial: read(trial) is not None and not inside(trial)), {}
            return inside, self._bounds(name, None, Bounds(first, last))
        values = [first]
        while self._take(","):
            values.append(self._value(name, exact=True))
        if not self._take(")"):
            raise FilterError("this parenthesis is not closed", opened.at)

        def among(trial: Trial) -> bool:
            found = read(trial)
            return found is not None and any(_equal(found, value) for value in values) != negated

        return among, {} if negated else self._bounds(name, tuple(values))

    def _bounds(
        self, name: str, values: tuple[Any, ...] | None, limit: Bounds | None = None
    ) -> dict[str, Bounds]:
        if name not in self._names.hyperparameters:
            return {}
        if limit is not None:
            return {name: limit}
        options = self._names.hyperparameters[name]
        if options:
            return {
                name: Bounds(options=tuple(o for o in options if any(_equal(o, v) for v in values or ())))
            }
        numbers = [value for value in values or () if isinstance(value, float)]
        return {name: Bounds(min(numbers), max(numbers))} if numbers else {}

    def _reader(self, name: str, token: _Token) -> Callable[[Trial], Any]:
        read = self._names.reader(name)
        if read is None:
            raise self._unknown(name, token)
        return read

    def _unknown(self, name: str, token: _Token) -> FilterError:
        near = get_close_matches(name, (*self._names.all, *WORDS), 1)
        hint = f"; did you mean {near[0]}?" if near else f"; the names are {_some(self._names.all)}"
        return FilterError(f"nothing is called {name}{hint}", token.at)

    def _value(self, name: str, *, exact: bool) -> float | str:
        token = self._next
        if token.kind in ("op", "sign", "end") or (token.kind == "word" and token.text in _JOINTS):
            said = f"{token.text!r}" if token.text else "the end"
            raise FilterError(f"a value is needed here, not {said}", token.at)
        self._take()
        if token.kind == "number":
            return float(token.text)
        word = _unquoted(token)
        if token.kind == "word" and word in ("nan", "inf"):
            return float(word)
        values = self._names.values(name)
        if exact and values and word not in values:
            near = get_close_matches(word, values, 1)
            hint = f"; did you mean {near[0]}?" if near else f"; it can be {_some(values)}"
            raise FilterError(f"{name} is never {word}{hint}", token.at)
        return word


_DEEPEST = 50  # levels of parentheses: more than anybody types, fewer than Python's stack holds


def _ordered(read: Callable[[Trial], Any], op: str, value: float) -> Test:
    compare: dict[str, Callable[[float], bool]] = {
        "<": lambda found: found < value,
        "<=": lambda found: found <= value,
        ">": lambda found: found > value,
        ">=": lambda found: found >= value,
    }
    chosen = compare[op]
    return lambda trial: _number(found := read(trial)) and chosen(found)


def _inside(read: Callable[[Trial], Any], low: float, high: float) -> Test:
    return lambda trial: _number(found := read(trial)) and low <= found <= high


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _equal(found: Any, value: float | str) -> bool:
    if isinstance(value, float):
        if _number(found):
            return found == value or (math.isnan(value) and math.isnan(found))
        return isinstance(found, str) and found == f"{value:g}"
    return found is not None and _word(found) == value


def _word(value: Any) -> str:
    """A value as a person types it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _unquoted(token: _Token) -> str:
    return token.text[1:-1] if token.kind == "text" else token.text


def _quoted(name: str) -> str:
    match = _PATTERN.fullmatch(name)
    plain = match is not None and match.lastgroup == "word" and name not in (*_JOINTS, *WORDS)
    return name if plain else f'"{name}"'


def _some(names: Iterable[str]) -> str:
    listed = list(names)
    return ", ".join(listed[:8]) + (", …" if len(listed) > 8 else "")


def condition(name: str, low: float, high: float) -> str:
    """The filter for a range of a hyperparameter, in as few digits as are told apart."""
    return f"{_quoted(name)} in {low:.3g}..{high:.3g}"


def one_of(name: str, options: Iterable[Any]) -> str:
    """The filter for some choices of a hyperparameter."""
    listed = [_quoted(_word(o)) if isinstance(o, str) else _word(o) for o in options]
    return (
        f"{_quoted(name)} = {listed[0]}" if len(listed) == 1 else f"{_quoted(name)} in ({', '.join(listed)})"
    )
