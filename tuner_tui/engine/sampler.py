"""Draws the hyperparameters of trials: the only file that samples with optuna (sources/optuna.py reads its storages).

A resumed sweep, or one with more trials at once, should run the same trials. So trial n of seed s is drawn from
generators seeded by (s, n, name of the hyperparameter): a random trial does not depend on what was asked
before, and a hyperparameter not on which others there are. Optuna's own `RandomSampler(seed)` would repeat
its first trials after every resume.

optuna takes 0.3 s to import, so it is imported when a sampler is made and not before.
"""

from __future__ import annotations

import hashlib
import math
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from graphlib import TopologicalSorter
from typing import TYPE_CHECKING, Any, Protocol, cast

from ..search.search import Search
from ..search.space import Choice, Distribution, Float, Hyperparameter, Int, Space, frozen, plain
from ..study.outcomes import Outcome
from ..study.snapshot import Trial

if TYPE_CHECKING:
    import optuna
    from optuna.distributions import BaseDistribution
    from optuna.samplers import BaseSampler


class Sampler(Protocol):
    """Values of a space for trials by number. Not safe to share between threads."""

    def ask(self, number: int) -> dict[str, Any]:
        """The hyperparameters of a trial, as JSON holds them, in the order of the search file.

        Those whose condition does not hold are absent; fixed values are not in it. Asking again for a
        number gives the same.
        """
        ...

    def tell(self, number: int, params: Mapping[str, Any], value: float | None, outcome: Outcome) -> None:
        """How a trial ended. Telling again changes nothing."""
        ...


def make_sampler(search: Search, past: Iterable[Trial] = ()) -> Sampler:
    """The sampler `search` names, which has been told the ended trials of `past`.

    Raises ValueError for an unknown sampler (a search that was read from a file has a known one).
    """
    draws = SAMPLERS.get(search.sampler)
    if draws is None:
        raise ValueError(f"unknown sampler {search.sampler!r}; choose {' or '.join(SAMPLERS)}")
    import optuna

    search = replace(search, space=search.drawn)
    optuna.logging.set_verbosity(optuna.logging.ERROR)  # it reports every trial; the screen is ours
    sampler = _InMemory(search, draws)
    for trial in past:
        if trial.outcome is not None:
            sampler.tell(trial.number, trial.params, trial.value, trial.outcome)
    return sampler


class _InMemory:
    """An optuna study in memory, asked and told. Each trial's sampler is made for it, seeded by its number.

    What a trial gets depends on its number and, where the sampler learns, on what was told before it, and on
    nothing else: trials after a resume do not repeat the draws before it.
    """

    def __init__(self, search: Search, sampler: Callable[[int, int], BaseSampler]) -> None:
        import optuna

        self.search = search
        self.sampler = sampler  # (seed, trial number) -> what draws it
        self.distributions = {h.name: _to_optuna(h.distribution) for h in search.space}
        self.study = optuna.create_study(direction=cast(Any, search.direction))
        self.asked: dict[int, tuple[optuna.Trial, dict[str, Any]]] = {}
        self.told: set[int] = set()

    def ask(self, number: int) -> dict[str, Any]:
        if number not in self.asked:
            self.study.sampler = self.sampler(self.search.seed, number)
            trial = self.study.ask()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of optuna's, about its own defaults
                drawn = _draw_all(self.search, lambda h: self._suggest(trial, h))
            self.asked[number] = trial, drawn
        return dict(self.asked[number][1])

    def _suggest(self, trial: optuna.Trial, h: Hyperparameter) -> Any:
        from optuna.distributions import FloatDistribution, IntDistribution

        match self.distributions[h.name]:
            case FloatDistribution() as d:
                return trial.suggest_float(h.name, d.low, d.high, log=d.log, step=d.step)
            case IntDistribution() as d:
                return trial.suggest_int(h.name, d.low, d.high, log=d.log, step=d.step)
            case d:
                return trial.suggest_categorical(h.name, cast(Any, d).choices)

    def tell(self, number: int, params: Mapping[str, Any], value: float | None, outcome: Outcome) -> None:
        from optuna.trial import TrialState, create_trial

        if number in self.told:
            return
        self.told.add(number)
        # A loss from before a crash is not what the hyperparameters are worth, so only finished trials teach.
        finished = outcome is Outcome.FINISHED and value is not None and math.isfinite(value)
        state = TrialState.COMPLETE if finished else TrialState.FAIL
        if number in self.asked:
            trial, _ = self.asked[number]
            self.study.tell(trial, value if finished else None, state=state)
            return
        try:
            known = self._internal(params)
            past = create_trial(
                state=state,
                value=value if finished else None,
                params=known,
                distributions={name: self.distributions[name] for name in known},
            )
        except (ValueError, TypeError):
            return  # it lies outside the space, which was changed since or is another study's: it can't be placed
        self.study.add_trial(past)

    def _internal(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """The values as optuna has them, without fixed ones. Raises ValueError for one that is no option."""
        known: dict[str, Any] = {}
        for h in self.search.space:
            if h.name not in params:
                continue
            value = params[h.name]
            match h.distribution:
                case Choice(options):
                    value = options.index(frozen(value))
                case Float(_, _, _, step) if step is not None:
                    value = h.distribution.step_of(float(value))
                    if value is None:
                        raise ValueError(f"{h.name} = {params[h.name]} is between the steps")
            known[h.name] = value
        return known


def _random(seed: int, number: int) -> BaseSampler:
    """Draws every hyperparameter from a generator of its own, so that none depends on which others there are."""
    from optuna.samplers import BaseSampler, RandomSampler

    class ByName(BaseSampler):
        def infer_relative_search_space(self, study: Any, trial: Any) -> dict[str, BaseDistribution]:
            return {}

        def sample_relative(self, study: Any, trial: Any, search_space: Any) -> dict[str, Any]:
            return {}

        def sample_independent(
            self, study: Any, trial: Any, param_name: str, param_distribution: BaseDistribution
        ) -> Any:
            sampler = RandomSampler(seed=_seed(seed, number, param_name))
            return sampler.sample_independent(study, trial, param_name, param_distribution)

    return ByName()


def _tpe(seed: int, number: int) -> BaseSampler:
    """The Tree-structured Parzen Estimator, which draws near what did well."""
    from optuna.samplers import TPESampler

    return TPESampler(seed=_seed(seed, number, ""))


# By the names that search.SAMPLERS lists.
SAMPLERS: dict[str, Callable[[int, int], BaseSampler]] = {"random": _random, "tpe": _tpe}


def _seed(seed: int, number: int, name: str) -> int:
    """32 bits, which is what numpy's RandomState takes. Not Python's hash(): that differs by process."""
    key = f"{seed}/{number}/{name}".encode()
    return int.from_bytes(hashlib.blake2b(key, digest_size=4).digest(), "little")


def _draw_all(search: Search, draw: Callable[[Hyperparameter], Any]) -> dict[str, Any]:
    """Draw what applies, each after those its condition speaks of; `draw` gives optuna's values."""
    values: dict[str, Any] = dict(search.fixed)
    drawn: dict[str, Any] = {}
    for h in _in_dependency_order(search.space):
        if h.applies(values):
            drawn[h.name] = values[h.name] = _from_optuna(draw(h), h.distribution)
    return {name: drawn[name] for name in search.space.names if name in drawn}


def _in_dependency_order(space: Space) -> list[Hyperparameter]:
    by_name = {h.name: h for h in space}
    graph = {h.name: [other for other, _ in h.when if other in by_name] for h in space}
    return [by_name[name] for name in TopologicalSorter(graph).static_order()]


def _to_optuna(distribution: Distribution) -> BaseDistribution:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    match distribution:
        case Choice(options):
            # By index: optuna's choices are scalars and nothing else, ours may be lists.
            return CategoricalDistribution(list(range(len(options))))
        case Int(low, high, log, step):
            # Optuna wants the range to be whole steps and would say so on every draw.
            return IntDistribution(low, low + (high - low) // step * step, log=log, step=step)
        case Float(low, high, log, None):
            return FloatDistribution(low, high, log=log)
        case Float():
            # By number of steps: counted in binary, optuna's last step may fall short of ours.
            return IntDistribution(0, distribution.steps)


def _from_optuna(value: Any, distribution: Distribution) -> Any:
    """A plain Python value: numpy's numbers don't go into JSON."""
    match distribution:
        case Choice(options):
            return plain(options[int(value)])
        case Int():
            return int(value)
        case Float(_, _, _, None):
            return float(value)
        case Float():
            return distribution.at_step(int(value))
