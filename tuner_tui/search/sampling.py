"""The samplers that a search file may name, and their options. engine/sampler.py makes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .options import Option, Options

# What a sampler that learns is told of a trial that did not finish: as bad as the worst so far, or nothing.
_FAILURES = Option("worst", choices=("worst", "ignore"))
# Whether proposals that will most likely crash are drawn again: engine/samplers/survival.py.
_SURVIVAL = Option(False)

# The first is the default.
SAMPLERS: Mapping[str, Options] = {
    "random": {},
    "qmc": {},
    # Values of a range: five show a bend; each more multiplies the trials.
    "grid": {"points": Option(5, least=2)},
    # Trials that are drawn at random before the sampler learns; the defaults are Optuna's.
    "tpe": {"startup_trials": Option(10, least=1), "failures": _FAILURES, "survival": _SURVIVAL},
    "gp": {"startup_trials": Option(10, least=1), "failures": _FAILURES, "survival": _SURVIVAL},
    # auto: 4 + 3 ln(number of hyperparameters), as in Hansen's tutorial.
    "cmaes": {
        "startup_trials": Option(1, least=1),
        "population": Option("auto", auto=True, least=3),
        "failures": _FAILURES,
        "survival": _SURVIVAL,
    },
    # See engine/samplers/controller.py for where these come from.
    "controller": {
        "learning_rate": Option(0.01, above=True, most=1.0),
        "entropy": Option(0.01, most=10.0),  # how much a choice that is still open is worth, in ranks
        "baseline": Option(0.9, most=0.999),  # share of the old value in the moving average of rewards
        "bins": Option(10, least=2),  # of a range
        "failures": _FAILURES,
        "survival": _SURVIVAL,
    },
}


def option(sampler: str, given: Mapping[str, Any], key: str) -> Any:
    """The value of an option: what the file gives, else the default."""
    return given.get(key, SAMPLERS[sampler][key].default)
