"""`--set key=value`: what a person changes about a search for one sweep, without editing the file.

Overrides change the raw TOML before anything is checked, so they obey the same rules and give the same
messages; each value they touch is remembered, so that a message about it names `--set` and not the file.

    trials=30                      a key of the file
    limits.trial_seconds=60        a key of [limits]
    sampler=tpe                    a sampler with its defaults; so for pruner
    sampler.startup_trials=20      an option of the sampler that the file names
    fixed.width=64                 a fixed value; it leaves the space if it was there
    lr=0.01                        a hyperparameter by its name: it becomes fixed
    lr={ log = [1e-4, 1e-2] }      ... or, given a table or a list, is drawn from that instead
    space.optimizer.lr={ ... }     the same by its place, also for one that is new
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, time
from typing import Any

from .distributions import is_distribution
from .keys import LIMIT_KEYS, SCALAR_KEYS
from .problems import OVERRIDE, Findings, Keys, Problem, nearest, show
from .space import FIXED

_LIMITS = tuple(f"limits.{key}" for key in LIMIT_KEYS)


@dataclass(frozen=True)
class _Place:
    """Where a hyperparameter stands in the raw [space]."""

    group: str
    name: str

    @property
    def keys(self) -> Keys:
        return ("space", self.group, self.name) if self.group else ("space", self.name)

    @property
    def path(self) -> str:
        return ".".join(self.keys)


class _Draft:
    """The raw file under change. Tables of a wrong type are left for the checks to report."""

    def __init__(self, raw: dict[str, Any], findings: Findings) -> None:
        self.raw = raw
        self.findings = findings
        self.space = _table(raw, "space")
        self.fixed = _table(raw, "fixed")
        self.limits = _table(raw, "limits")

    def places(self) -> Iterator[_Place]:
        for key, value in self.space.items():
            if isinstance(value, dict) and not is_distribution(value):
                yield from (_Place(key, name) for name in value)
            else:
                yield _Place("", key)

    def named(self, name: str) -> list[_Place]:
        return [place for place in self.places() if place.name == name]

    def fix(self, name: str, value: Any, typed: str) -> None:
        for place in self.named(name):
            self._leave_space(place)
        self.fixed[name] = value
        self.findings.overridden[("fixed", name)] = typed

    def draw(self, place: _Place, value: Any, typed: str) -> None:
        """Give a hyperparameter this distribution. Its condition and role stay unless `value` brings its own."""
        holder = self.space.setdefault(place.group, {}) if place.group else self.space
        old = holder.get(place.name)
        kept = {key: old[key] for key in ("when", "role") if key in old} if isinstance(old, dict) else {}
        if kept.get("role") == FIXED:
            del kept["role"]  # it is varied now
        if kept:
            value = {"choices": value} if isinstance(value, list) else value
            if isinstance(value, dict):
                value = {**kept, **value}
        holder[place.name] = value
        self.fixed.pop(place.name, None)
        self.findings.overridden[place.keys] = typed

    def _leave_space(self, place: _Place) -> None:
        holder = self.space[place.group] if place.group else self.space
        del holder[place.name]
        if place.group and not holder:
            del self.space[place.group]  # an empty group would be reported


def apply_overrides(raw: dict[str, Any], overrides: Sequence[str], findings: Findings) -> None:
    """Change `raw` in place; the last override of a key wins. A key that fits nowhere becomes a problem."""
    draft = _Draft(raw, findings)
    for override in overrides:
        typed, equals, text = override.partition("=")
        typed = typed.strip()
        if not equals or not typed:
            message = f"{show(override)} is not key=value; write trials=30 or lr=0.01, say"
            findings.problems.append(Problem(OVERRIDE, "", message))
            continue
        try:
            value = parse_value(text.strip())
        except ValueError as error:
            findings.problems.append(Problem(OVERRIDE, typed, str(error)))
            continue
        message = _apply(draft, typed, value)
        if message:
            findings.problems.append(Problem(OVERRIDE, typed, message))


def parse_value(text: str) -> Any:
    """A TOML value, or else the text itself. Raises ValueError for broken TOML that was meant as such."""
    try:
        table = tomllib.loads(f"value = {text}")
        if set(table) == {"value"} and not isinstance(table["value"], date | time):
            return table["value"]
    except (ValueError, RecursionError) as error:
        if text[:1] in ("{", "[", '"', "'"):  # as a plain string it would be a surprise later
            raise ValueError(f"{show(text)} is not valid TOML; close its brackets and quotes") from error
    if text in ("True", "False"):
        return text == "True"
    try:
        return float(text)  # TOML knows no .5 and no 5.
    except ValueError:
        return text


def _apply(draft: _Draft, typed: str, value: Any) -> str | None:
    """Make one override; the message of what is wrong with it, if anything."""
    keys = _split(typed)
    overridden = draft.findings.overridden
    match keys:
        case (key,) if key in SCALAR_KEYS:
            draft.raw[key] = value
            overridden[(key,)] = typed
        case ("space" | "fixed" | "limits" as table,):
            return f"is a table; set one key of it: {table}.{_example(draft, table)}=..."
        case ("sampler" | "pruner" as table, key):
            named = draft.raw.setdefault(table, {})
            if not isinstance(named, dict):
                named = draft.raw[table] = {"name": named}
            named[key] = value
            overridden[(table, key)] = typed
        case ("limits", key) if key in LIMIT_KEYS:
            draft.limits[key] = value
            overridden[("limits", key)] = typed
        case ("limits", *_):
            return f"unknown limit{nearest(typed, _LIMITS) or '; the limits are ' + ', '.join(LIMIT_KEYS)}"
        case ("fixed", *rest):
            draft.fix(".".join(rest), value, typed)
        case ("space", *rest):
            return _set_place(draft, rest, value, typed)
        case _:
            return _set_name(draft, ".".join(keys), value, typed)
    return None


def _set_place(draft: _Draft, rest: Sequence[str], value: Any, typed: str) -> str | None:
    found = [place for place in draft.places() if place.path == ".".join(("space", *rest))]
    groups = {place.group for place in draft.places() if place.group}
    if len(rest) == 1 and rest[0] in groups:
        return "is a group; set one of its hyperparameters"
    if found:
        place = found[0]
    elif len(rest) <= 2 or rest[0] in groups:
        place = _Place("", rest[0]) if len(rest) == 1 else _Place(rest[0], ".".join(rest[1:]))
        holder = draft.space.get(place.group, {}) if place.group else {}
        if not isinstance(holder, dict) or (place.group and is_distribution(holder)):
            return f"{place.group} is a hyperparameter, not a group"
    else:
        return 'has too many dots; quote the name: space.group."a.name"'
    draft.draw(place, value, typed)
    return None


def _set_name(draft: _Draft, name: str, value: Any, typed: str) -> str | None:
    places = draft.named(name)
    if places and isinstance(value, dict | list):
        draft.draw(places[0], value, typed)
    elif name in draft.fixed and isinstance(value, dict):
        draft.draw(_Place("", name), value, typed)
    elif places or name in draft.fixed:
        draft.fix(name, value, typed)
    else:
        known = [*SCALAR_KEYS, *_LIMITS, *(place.name for place in draft.places()), *draft.fixed]
        bare = [limit for limit in _LIMITS if limit == f"limits.{name}"]
        hint = f"; did you mean {bare[0]}?" if bare else nearest(name, known)
        hint = hint or f"; for a new fixed value write fixed.{name}"
        return f"is no key of a search and no hyperparameter{hint}"
    return None


def _split(typed: str) -> tuple[str, ...]:
    """The parts of a key as TOML splits it, or at its dots where it is not TOML."""
    try:
        table: Any = tomllib.loads(f"{typed} = 0")
    except (ValueError, RecursionError):
        return tuple(typed.split("."))
    parts: list[str] = []
    while isinstance(table, dict) and len(table) == 1:
        key, table = next(iter(table.items()))
        parts.append(key)
    return tuple(parts)


def _table(raw: dict[str, Any], key: str) -> dict[str, Any]:
    value = raw.setdefault(key, {})
    return value if isinstance(value, dict) else {}


def _example(draft: _Draft, table: str) -> str:
    if table == "limits":
        return LIMIT_KEYS[0]
    names = (place.path.removeprefix("space.") for place in draft.places())
    return next(names if table == "space" else iter(draft.fixed), "name")
