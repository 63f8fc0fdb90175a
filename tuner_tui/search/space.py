"""The space of a search: named distributions, how they are grouped, and when they apply.

Plain values without optuna, because the charts need scales and the screen needs groups before, and without,
any sampling. An order is kept: the order of the search file is the order of the panels.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any


@dataclass(frozen=True)
class Float:
    """A float between `low` and `high`, both included; on a log scale or in steps if asked."""

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
    """An integer between `low` and `high`, both included; on a log scale or in steps if asked."""

    low: int
    high: int
    log: bool = False
    step: int = 1


@dataclass(frozen=True)
class Choice:
    """One of several options, without an order."""

    options: tuple[Any, ...]  # JSON scalars, or tuples of them


Distribution = Float | Int | Choice
DISTRIBUTIONS = ("float", "int", "choice")  # their types in JSON


@dataclass(frozen=True)
class Hyperparameter:
    """A distribution with its name, its group and the conditions under which it applies."""

    name: str
    distribution: Distribution
    group: str = ""  # "" when the file does not group
    when: tuple[tuple[str, tuple[Any, ...]], ...] = ()  # all of (other name, values that let it apply)

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
        """All hyperparameter names, in order."""
        return tuple(h.name for h in self.hyperparameters)

    @property
    def groups(self) -> tuple[str, ...]:
        """Group names in order of first appearance."""
        return tuple(dict.fromkeys(h.group for h in self.hyperparameters))


def distribution_to_json(distribution: Distribution) -> dict[str, Any]:
    """The distribution as a dictionary of JSON values; "type" is one of `DISTRIBUTIONS`."""
    match distribution:
        case Float(low, high, log, step):
            return {"type": "float", "low": low, "high": high, "log": log, "step": step}
        case Int(low, high, log, step):
            return {"type": "int", "low": low, "high": high, "log": log, "step": step}
        case Choice(options):
            return {"type": "choice", "options": [plain(option) for option in options]}


def distribution_from_json(record: Mapping[str, Any]) -> Distribution:
    """Rebuild a distribution from the dictionary that `distribution_to_json` makes."""
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
