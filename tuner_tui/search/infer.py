"""The space of trials whose search nobody wrote down, from the values that they had.

The rules, for one hyperparameter over all trials:

    one value in every trial                 fixed, not varied
    only true and false, or texts            a choice, in order of first appearance; sorted if numbers
    numbers                                  a range: whole numbers or not; logarithmic where all are above 0 and
                                             the largest is more than 100 times the smallest
    at most FEW numbers, each met often      a choice: a grid was searched
    more than MANY texts                     left out: names and paths are no hyperparameters
    absent from some trials                  conditional, on the first choice that decides whether it is there
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from .space import Choice, Distribution, Float, Hyperparameter, Int, Space

FEW = 6  # numbers of a grid: what fits side by side in a panel
OFTEN = 4  # trials that each of them has on average, at least; random draws rarely repeat a number
MANY = 30  # texts; a panel has no room for more
LOG_RATIO = 100.0

_INT = re.compile(r"[+-]?[0-9]{1,18}")
_FLOAT = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_BOOLS = {"true": True, "false": False}


@dataclass(frozen=True)
class Inferred:
    """What trials have in common, and what is varied between them."""

    space: Space
    fixed: Mapping[str, Any]


def read_value(text: str) -> bool | int | float | str:
    """A value that was written as text: a number or a boolean where it reads as one."""
    bare = text.strip()
    if _INT.fullmatch(bare):
        return int(bare)
    if _FLOAT.fullmatch(bare) and abs(number := float(bare)) != float("inf"):
        return number
    return _BOOLS.get(bare.lower(), text)


def infer(trials: Sequence[Mapping[str, Any]]) -> Inferred:
    """The space of trials with these parameters."""
    values: dict[str, list[Any]] = {}
    for params in trials:
        for name, value in params.items():
            values.setdefault(name, []).append(value)
    fixed: dict[str, Any] = {}
    found: list[Hyperparameter] = []
    for name, had in values.items():
        different = _different(had)
        if len(different) == 1 and len(had) == len(trials):
            fixed[name] = different[0]
        elif (distribution := _distribution(different, len(had))) is not None:
            found.append(Hyperparameter(name, distribution))
    everywhere = [
        h for h in found if isinstance(h.distribution, Choice) and len(values[h.name]) == len(trials)
    ]
    space = [h if len(values[h.name]) == len(trials) else _conditional(h, everywhere, trials) for h in found]
    return Inferred(Space(tuple(space)), fixed)


def _different(values: Sequence[Any]) -> list[Any]:
    """Each value once. True is not 1 here, though Python calls them equal."""
    return [value for _, value in dict.fromkeys((isinstance(value, bool), value) for value in values)]


def _distribution(different: Sequence[Any], trials: int) -> Distribution | None:
    numbers = [v for v in different if isinstance(v, int | float) and not isinstance(v, bool)]
    if len(numbers) < len(different):
        return Choice(tuple(different)) if len(different) <= MANY else None
    low, high = min(numbers), max(numbers)
    if len(different) <= FEW and trials >= OFTEN * len(different):
        return Choice(tuple(sorted(numbers)))
    log = low > 0 and high / low > LOG_RATIO
    if isinstance(low, int) and isinstance(high, int) and all(isinstance(v, int) for v in numbers):
        return Int(low, high, log)
    return Float(float(low), float(high), log)


def _conditional(
    h: Hyperparameter, choices: Sequence[Hyperparameter], trials: Sequence[Mapping[str, Any]]
) -> Hyperparameter:
    """With the condition that tells the trials that have it from the others, where one choice does."""
    for choice in choices:
        there = _different([params[choice.name] for params in trials if h.name in params])
        absent = _different([params[choice.name] for params in trials if h.name not in params])
        if not any(value in absent for value in there):
            return replace(h, when=((choice.name, tuple(there)),))
    return h
