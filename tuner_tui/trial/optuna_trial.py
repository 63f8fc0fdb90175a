"""What an Optuna objective is called with: a `trial` that suggests what the search has drawn, and draws the rest.

    target = "optuna:module:objective"

Optuna need not be told: the object has the methods of optuna.trial.Trial, and the objective runs unchanged. A
hyperparameter that the search does not declare is drawn here, from a generator that is seeded by the trial's seed and
its name, and reported to the engine as it becomes known.
"""

from __future__ import annotations

import datetime
import inspect
import math
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .pipe import Pipe

PREFIX = "optuna:"


class SuggestedTrial:
    """One trial, as an objective sees it (optuna.trial.Trial's methods)."""

    def __init__(self, job: Mapping[str, Any], pipe: Pipe, asked_to_end: Callable[[], bool]) -> None:
        self.number: int = job["trial"]
        self.params: dict[str, Any] = {}  # what has been suggested so far
        self.distributions: dict[str, Any] = {}
        self.user_attrs: dict[str, Any] = {}
        self.system_attrs: dict[str, Any] = {}
        self.datetime_start = datetime.datetime.now()
        self._given = dict(job["params"])
        self._seed = job["seed"]
        self._objective = job["objective"]
        self._pipe = pipe
        self._asked_to_end = asked_to_end

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        """A number between `low` and `high`, both included."""
        space = {"type": "float", "low": float(low), "high": float(high), "log": log, "step": step}

        def draw(generator: random.Random) -> float:
            if step is not None:
                return min(high, low + step * generator.randint(0, int((high - low) / step + 1e-9)))
            if log:
                return min(high, max(low, math.exp(generator.uniform(math.log(low), math.log(high)))))
            return generator.uniform(low, high)

        return float(self._suggest(name, space, draw))

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        """A whole number between `low` and `high`, both included."""
        space = {"type": "int", "low": int(low), "high": int(high), "log": log, "step": step}

        def draw(generator: random.Random) -> int:
            if log:
                found = math.exp(generator.uniform(math.log(low - 0.5), math.log(high + 0.5)))
                return min(high, max(low, round(found)))
            return low + step * generator.randint(0, (high - low) // step)

        return int(self._suggest(name, space, draw))

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """One of `choices`. What JSON can't hold is drawn and shown by its text."""
        shown = [choice if isinstance(choice, (bool, int, float, str)) else str(choice) for choice in choices]
        space = {"type": "choice", "options": shown}
        found = self._suggest(name, space, lambda generator: shown[generator.randrange(len(shown))])
        for choice, text in zip(choices, shown):
            if text == found and isinstance(text, bool) == isinstance(found, bool):
                return choice
        raise ValueError(f"{name} = {found!r} is none of the choices {shown}; correct it in the search file")

    def suggest_uniform(self, name: str, low: float, high: float) -> float:
        """An old name of `suggest_float`."""
        return self.suggest_float(name, low, high)

    def suggest_loguniform(self, name: str, low: float, high: float) -> float:
        """An old name of `suggest_float` with `log`."""
        return self.suggest_float(name, low, high, log=True)

    def suggest_discrete_uniform(self, name: str, low: float, high: float, q: float) -> float:
        """An old name of `suggest_float` with `step`."""
        return self.suggest_float(name, low, high, step=q)

    def report(self, value: float, step: int) -> None:
        """Measure the objective at a step."""
        self._pipe.measure({self._objective: value, "step": step}, self._objective)

    def should_prune(self) -> bool:
        """Whether the trial has been asked to end."""
        return self._asked_to_end()

    def set_user_attr(self, key: str, value: Any) -> None:
        """Keep a value; a number is a measurement too."""
        self.user_attrs[key] = value
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            self._pipe.measure({key: value}, self._objective)

    def set_system_attr(self, key: str, value: Any) -> None:
        """Keep a value."""
        self.system_attrs[key] = value

    def _suggest(self, name: str, space: dict[str, Any], draw: Callable[[random.Random], Any]) -> Any:
        if name in self.params:
            return self.params[name]
        declared = name in self._given
        value = self._given[name] if declared else draw(random.Random(f"{self._seed}/{name}"))
        self.params[name] = value
        self.distributions[name] = space
        if not declared:
            self._pipe.send({"suggested": name, "value": value, "distribution": space})
        return value


def objective_of(function: Callable[..., Any]) -> Callable[..., Any]:
    """The objective, checked: it takes one trial. Raises TypeError for what is called otherwise."""
    try:
        inspect.signature(function).bind(None)
    except TypeError:
        name = getattr(function, "__name__", "objective")
        raise TypeError(
            f"{name} can't be called with one trial; an Optuna objective is `def {name}(trial)`"
        ) from None
    return function
