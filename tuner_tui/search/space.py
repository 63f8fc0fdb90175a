"""The space of a search: named distributions, how they are grouped, and when they apply.

Plain values without optuna, because the charts need scales and the screen needs groups before, and without,
any sampling. An order is kept: the order of the search file is the order of the panels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Float:
    low: float
    high: float
    log: bool = False
    step: float | None = None


@dataclass(frozen=True)
class Int:
    low: int
    high: int
    log: bool = False
    step: int = 1


@dataclass(frozen=True)
class Choice:
    options: tuple[Any, ...]  # JSON scalars, or tuples of them


Distribution = Float | Int | Choice


@dataclass(frozen=True)
class Hyperparameter:
    name: str
    distribution: Distribution
    group: str = ""  # "" when the file does not group
    when: tuple[tuple[str, tuple[Any, ...]], ...] = ()  # all of (other name, values that let it apply)

    def applies(self, params: Mapping[str, Any]) -> bool:
        """Whether it has a value in a trial whose other values are `params` (fixed ones included)."""
        return all(other in params and params[other] in allowed for other, allowed in self.when)


@dataclass(frozen=True)
class Space:
    hyperparameters: tuple[Hyperparameter, ...] = ()

    def __iter__(self):
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
        return tuple(h.name for h in self.hyperparameters)

    @property
    def groups(self) -> tuple[str, ...]:
        """Group names in order of first appearance."""
        return tuple(dict.fromkeys(h.group for h in self.hyperparameters))


def distribution_to_json(distribution: Distribution) -> dict[str, Any]:
    match distribution:
        case Float(low, high, log, step):
            return {"type": "float", "low": low, "high": high, "log": log, "step": step}
        case Int(low, high, log, step):
            return {"type": "int", "low": low, "high": high, "log": log, "step": step}
        case Choice(options):
            return {"type": "choice", "options": list(options)}


def distribution_from_json(record: Mapping[str, Any]) -> Distribution:
    match record["type"]:
        case "float":
            return Float(record["low"], record["high"], record["log"], record["step"])
        case "int":
            return Int(record["low"], record["high"], record["log"], record["step"])
        case "choice":
            return Choice(tuple(tuple(o) if isinstance(o, list) else o for o in record["options"]))
        case other:
            raise ValueError(f"unknown distribution {other!r}")
