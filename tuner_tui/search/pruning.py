"""The pruners that a search file may name, and their options. engine/pruner.py makes them.

A pruner ends a trial early whose loss is worse than that of others at the same step. Steps are those that the trials
report with their loss. The defaults are Optuna's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .options import Option, Options

# The first is the default.
PRUNERS: Mapping[str, Options] = {
    "none": {},
    "median": {
        "startup_trials": Option(5, least=1),  # so many must have finished before one is pruned
        "warmup_steps": Option(0),  # before this step no trial is pruned
        "interval_steps": Option(1, least=1),  # and after it, every so many steps
    },
    "successive_halving": {
        "min_resource": Option("auto", auto=True, least=1),  # the step of the first rung
        "reduction_factor": Option(4, least=2),  # one in so many goes on at each rung
    },
    "hyperband": {
        "min_resource": Option(1, least=1),
        "max_resource": Option("auto", auto=True, least=1),  # the steps of a whole trial
        "reduction_factor": Option(3, least=2),
    },
}


def option(pruner: str, given: Mapping[str, Any], key: str) -> Any:
    """The value of an option: what the file gives, else the default."""
    return given.get(key, PRUNERS[pruner][key].default)
