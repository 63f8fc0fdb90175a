"""The space of a search: named distributions, how they are grouped, and when they apply.

Plain values without optuna, because the charts need scales and the screen needs groups before, and without,
any sampling. An order is kept: the order of the search file is the order of the panels.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from graphlib import TopologicalSorter
from typing import Any


@dataclass(frozen=True)
class Float:
    """A range of real numbers, both ends included; `log`: uniform in the logarithm."""

    low: float
    high: float
    log: bool = False
    step: float | None = None

    @property
    def steps(self) -> int:
        """How many steps fit between low and high. Only for a distribution that has a step."""
        return math.floor((Decimal(repr(self.high)) - Decimal(repr(self.low))) / Decimal(repr(self.step)))

    def at_step(self, k: int) -> float:
        """low + k * step, counted in decimals: 0.3, not 0.30000000000000004."""
        return float(Decimal(repr(self.low)) + k * Decimal(repr(self.step)))

    def step_of(self, value: float) -> int | None:
        """The k whose step `value` is, or None when it lies between steps or outside."""
        if not self.low <= value <= self.high:
            return None
        k = min(round((value - self.low) / (self.step or 1.0)), self.steps)
        return k if abs(self.at_step(k) - value) <= 1e-9 * (self.step or 1.0) else None


@dataclass(frozen=True)
class Int:
    """A range of integers, both ends included."""

    low: int
    high: int
    log: bool = False
    step: int = 1


@dataclass(frozen=True)
class Choice:
    """One of several options, each as likely."""

    options: tuple[Any, ...]  # JSON scalars, or tuples of them


SCIENTIFIC = "scientific"  # its effect is the question
NUISANCE = "nuisance"  # tuned anew for each value of a scientific one, so that these are compared fairly
FIXED = "fixed"  # has one value in this search, and a range for another
ROLES = (SCIENTIFIC, NUISANCE, FIXED)  # as in Google's Deep Learning Tuning Playbook

Distribution = Float | Int | Choice
DISTRIBUTIONS = ("float", "int", "choice")  # their types in JSON


@dataclass(frozen=True)
class Hyperparameter:
    """A name with its distribution, its group of panels, and when it applies."""

    name: str
    distribution: Distribution
    group: str = ""  # "" when the file does not group
    when: tuple[tuple[str, tuple[Any, ...]], ...] = ()  # all of (other name, values that let it apply)
    role: str = field(
        default="", compare=False
    )  # one of ROLES or "": what is asked of it, not how it is drawn

    def applies(self, params: Mapping[str, Any]) -> bool:
        """Whether it has a value in a trial whose other values are `params` (fixed ones included)."""
        return all(other in params and frozen(params[other]) in allowed for other, allowed in self.when)


@dataclass(frozen=True)
class Space:
    """The hyperparameters of a search, in the order of the search file."""

    hyperparameters: tuple[Hyperparameter, ...] = ()

    def __iter__(self) -> Iterator[Hyperparameter]:
        return iter(self.hyperparameters)

    def __len__(self) -> int:
        return len(self.hyperparameters)

    def __getitem__(self, name: str) -> Hyperparameter:
        for hyperparameter in self.hyperparameters:
            if hyperparameter.name == name:
                return hyperparameter
        raise KeyError(name)

    @property
    def names(self) -> tuple[str, ...]:
        """The names, in order."""
        return tuple(h.name for h in self.hyperparameters)

    @property
    def groups(self) -> tuple[str, ...]:
        """Group names in order of first appearance."""
        return tuple(dict.fromkeys(h.group for h in self.hyperparameters))


def in_dependency_order(space: Space) -> list[Hyperparameter]:
    """Each after those that its conditions speak of."""
    by_name = {h.name: h for h in space}
    graph = {h.name: [other for other, _ in h.when if other in by_name] for h in space}
    return [by_name[name] for name in TopologicalSorter(graph).static_order()]


def widest(spaces: Iterable[Space]) -> Space:
    """Every hyperparameter of several spaces, over the widest range, with every choice; in the order of the last.

    Where two of one name are of different kinds, the last is kept.
    """
    found: dict[str, Hyperparameter] = {}
    last: tuple[str, ...] = ()
    for space in spaces:
        last = space.names
        for h in space:
            old = found.get(h.name)
            found[h.name] = (
                h if old is None else replace(h, distribution=_both(old.distribution, h.distribution))
            )
    order = {name: place for place, name in enumerate((*last, *(n for n in found if n not in last)))}
    return Space(tuple(sorted(found.values(), key=lambda h: order[h.name])))


def _both(old: Distribution, new: Distribution) -> Distribution:
    match old, new:
        case Choice(), Choice():
            return Choice((*new.options, *(option for option in old.options if option not in new.options)))
        case (Float(), Float()) | (Int(), Int()):
            return replace(new, low=min(old.low, new.low), high=max(old.high, new.high))
        case _:
            return new


def distribution_to_json(distribution: Distribution) -> dict[str, Any]:
    """The distribution as values that JSON can hold."""
    match distribution:
        case Float(low, high, log, step):
            return {"type": "float", "low": low, "high": high, "log": log, "step": step}
        case Int(low, high, log, step):
            return {"type": "int", "low": low, "high": high, "log": log, "step": step}
        case Choice(options):
            return {"type": "choice", "options": [plain(option) for option in options]}


def distribution_from_json(record: Mapping[str, Any]) -> Distribution:
    """The distribution again. Raises ValueError for a type that is not known."""
    match record["type"]:
        case "float":
            return Float(record["low"], record["high"], record["log"], record["step"])
        case "int":
            return Int(record["low"], record["high"], record["log"], record["step"])
        case "choice":
            return Choice(tuple(frozen(option) for option in record["options"]))
        case other:
            raise ValueError(f"unknown distribution {other!r}")


def plain(value: Any) -> Any:
    """The value as JSON gives it back: an option that is a tuple is a list to the outside."""
    return list(value) if isinstance(value, tuple) else value


def frozen(value: Any) -> Any:
    """The value as a `Choice` or a condition holds it: a list as a tuple."""
    return tuple(value) if isinstance(value, list) else value
