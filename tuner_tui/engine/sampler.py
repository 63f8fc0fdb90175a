"""Draws the hyperparameters of trials: makes the sampler that a search names. samplers/ has them.

A resumed sweep, or one with more trials at once, should run the same trials. So a sampler is asked for trial n of
seed s by its number, and the ones that do not learn give the same whatever was asked before.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from importlib.util import find_spec
from typing import Any, Protocol

from ..search.sampling import SAMPLERS
from ..search.search import Search
from ..study.snapshot import Trial
from .launcher import CannotRun

# Packages that are not among tuner's own dependencies.
_NEEDS = {"gp": "torch", "cmaes": "cmaes", "controller": "torch"}


class Sampler(Protocol):
    """Values of a space for trials by number. Not safe to share between threads."""

    def ask(self, number: int) -> dict[str, Any]:
        """The hyperparameters of a trial, as JSON holds them, in the order of the search file.

        Those whose condition does not hold are absent; fixed values are not in it. Asking again for a
        number gives the same.
        """
        ...

    def tell(self, trial: Trial) -> None:
        """How a trial ended. Telling again changes nothing."""
        ...


class BadSampler(CannotRun):
    """The sampler can't be made here; str() says what to do."""


def check_sampler(search: Search) -> None:
    """Raise BadSampler for a sampler that is not known, or needs a package that is not installed.

    (A search that was read from a file has a known one.)
    """
    if search.sampler not in SAMPLERS:
        raise BadSampler(f"unknown sampler {search.sampler!r}; choose {' or '.join(SAMPLERS)}")
    package = _NEEDS.get(search.sampler)
    if package and find_spec(package) is None:
        others = ", ".join(name for name in SAMPLERS if name not in _NEEDS)
        raise BadSampler(
            f"the sampler {search.sampler} needs {package}, which is not installed beside tuner: "
            f"pip install {package}; or choose one of {others}"
        )


def make_sampler(search: Search, past: Iterable[Trial] = ()) -> Sampler:
    """The sampler `search` names, which has been told of the trials of `past`: how they ended, or, of those that run,
    that they were drawn. Raises BadSampler."""
    from .samplers import optuna_study, spread

    check_sampler(search)
    search = replace(search, space=search.drawn)
    match search.sampler:
        case "qmc":
            return spread.Sobol(search)
        case "grid":
            return spread.Grid(search)
        case "controller":
            from .samplers.controller import Controller

            sampler = Controller(search)
        case "cmaes":
            sampler = optuna_study.Replayed(search, optuna_study.cmaes)
        case name:
            sampler = optuna_study.OptunaStudy(search, getattr(optuna_study, name))
    sampler.recall(past)
    return sampler
