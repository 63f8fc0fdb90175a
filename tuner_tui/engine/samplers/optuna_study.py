"""Optuna's samplers, asked and told through a study in memory.

Each trial's sampler is made for it, seeded by its number: what a trial gets depends on its number and, where the
sampler learns, on what was told before it, and on nothing else. Trials after a resume do not repeat the draws before
it, as those of Optuna's `RandomSampler(seed)` would.

optuna takes 0.3 s to import, so it is imported when a sampler is made and not before.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, cast

from ...search.sampling import option
from ...search.search import Search
from ...search.space import Choice, Distribution, Float, Hyperparameter, Int, frozen, plain
from ...study.outcomes import Reason
from ...study.snapshot import Trial
from .drawing import again, draw_all, seed_of
from .survival import Survival
from .told import Told, as_they_ended

if TYPE_CHECKING:
    import optuna
    from optuna.distributions import BaseDistribution
    from optuna.samplers import BaseSampler
    from optuna.trial import TrialState


class OptunaStudy:
    """A `Sampler` that asks one of Optuna's."""

    def __init__(self, search: Search, make: Callable[[Search, int, int], BaseSampler]) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)  # it reports every trial; the screen is ours
        self.search = search
        self.make = make  # (search, trial number, attempt) -> what draws it
        self.distributions = {h.name: _to_optuna(h.distribution) for h in search.space}
        self.study = optuna.create_study(direction=cast(Any, search.direction))
        self.asked: dict[int, tuple[optuna.Trial, dict[str, Any]]] = {}
        self.told = Told(search)
        self.survival = Survival(search)

    def ask(self, number: int) -> dict[str, Any]:
        """See `Sampler`."""
        if number not in self.asked:
            proposals: list[tuple[optuna.Trial, dict[str, Any]]] = []

            def propose(attempt: int) -> tuple[optuna.Trial, dict[str, Any]]:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # of optuna's, about its own defaults
                    self.study.sampler = self.make(self.search, number, attempt)
                    trial = self.study.ask()
                    drawn = draw_all(
                        self.search, lambda h: _from_optuna(self._suggest(trial, h), h.distribution)
                    )
                proposals.append((trial, drawn))
                return proposals[-1]

            chosen = self.survival.choose(propose, lambda proposal: proposal[1])
            for proposal in proposals:
                if proposal is not chosen:
                    self._discard(proposal[0])
            self.asked[number] = chosen
        return dict(self.asked[number][1])

    def _discard(self, trial: optuna.Trial) -> None:
        """It was not run: optuna's samplers pass over it."""
        from optuna.trial import TrialState

        self.study.tell(trial, state=TrialState.FAIL)

    def _suggest(self, trial: optuna.Trial, h: Hyperparameter) -> Any:
        from optuna.distributions import FloatDistribution, IntDistribution

        match self.distributions[h.name]:
            case FloatDistribution() as d:
                return trial.suggest_float(h.name, d.low, d.high, log=d.log, step=d.step)
            case IntDistribution() as d:
                return trial.suggest_int(h.name, d.low, d.high, log=d.log, step=d.step)
            case d:
                return trial.suggest_categorical(h.name, cast(Any, d).choices)

    def tell(self, trial: Trial) -> None:
        """See `Sampler`. TPE can order pruned trials behind the others, by how far they came and their last loss."""
        self.survival.tell(trial)
        for known, value in self.told.hear(trial):
            self._record(known, value)

    def _record(self, trial: Trial, value: float | None) -> None:
        """Tell Optuna's study. Without a value: that the trial failed, or was pruned at a step with a loss."""
        from optuna.trial import TrialState

        state = TrialState.FAIL if value is None else TrialState.COMPLETE
        pruned: tuple[int, float] | None = None
        if self.search.sampler == "tpe" and trial.reason is Reason.PRUNED and trial.curve:
            state, value, pruned = TrialState.PRUNED, None, trial.curve[-1]
        if trial.number in self.asked:
            asked, _ = self.asked[trial.number]
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                if pruned:
                    asked.report(pruned[1], pruned[0])
                self.study.tell(asked, value, state=state)
        else:
            self._place(trial, state, value, dict([pruned] if pruned else []))

    def _place(
        self, trial: Trial, state: TrialState, value: float | None = None, losses: Mapping[int, float] = {}
    ) -> bool:
        """Add a trial of an earlier engine to Optuna's study. False where it lies outside the space, which was
        changed since or is another study's."""
        from optuna.trial import create_trial

        try:
            known = self._internal(trial.params)
            distributions = {name: self.distributions[name] for name in known}
            past = create_trial(
                state=state, value=value, params=known, distributions=distributions,
                intermediate_values=dict(losses),
            )  # fmt: skip
        except (ValueError, TypeError):
            return False
        self.study.add_trial(past)
        return True

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

    def recall(self, past: Iterable[Trial]) -> None:
        """Hear of the trials of an earlier engine. They are placed in the order in which they were drawn, also those
        that wait for the first that finishes: among equals, TPE goes by it."""
        import optuna

        trials = as_they_ended(past)
        values: dict[int, float | None] = {}
        for trial in trials:
            self.survival.tell(trial)
            values |= {known.number: value for known, value in self.told.hear(trial)}
        for trial in sorted(trials, key=lambda t: t.number):
            if trial.number in values:
                self._record(trial, values[trial.number])
            elif self._place(trial, optuna.trial.TrialState.RUNNING):
                placed = optuna.Trial(self.study, self.study.get_trials(deepcopy=False)[-1]._trial_id)
                self.asked[trial.number] = placed, dict(trial.params)


class Replayed(OptunaStudy):
    """For a sampler that keeps more than its trials, as CMA-ES does: on a resume its questions are asked again,
    in the order in which they were asked and answered."""

    def recall(self, past: Iterable[Trial]) -> None:
        """See `OptunaStudy.recall`."""
        trials = list(past)
        ends = [(trial.ended_at or 0.0, 0, trial) for trial in trials if not trial.running]
        starts = [(trial.started_at, 1, trial) for trial in trials]
        for _, asks, trial in sorted(
            ends + starts, key=lambda moment: (moment[0], moment[1], moment[2].number)
        ):
            if not asks:
                self.tell(trial)
            elif trial.number not in self.told.numbers:
                drawn = self.ask(trial.number)
                if any(trial.params.get(name) != value for name, value in drawn.items()):
                    # It repeats another trial, or the space was changed: CMA-ES has not drawn it, and can't use it.
                    self._discard(self.asked.pop(trial.number)[0])
                    self.told.numbers.add(trial.number)


def random(search: Search, number: int, attempt: int) -> BaseSampler:
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
            sampler = RandomSampler(seed=seed_of(search.seed, number, param_name))
            return sampler.sample_independent(study, trial, param_name, param_distribution)

    return ByName()


def tpe(search: Search, number: int, attempt: int) -> BaseSampler:
    """The Tree-structured Parzen Estimator, which draws near what did well. It learns about a hyperparameter with a
    condition from the trials that had it."""
    from optuna.samplers import TPESampler

    return TPESampler(
        seed=seed_of(search.seed, number, again(attempt)),
        n_startup_trials=option("tpe", search.sampler_options, "startup_trials"),
        group=any(h.when for h in search.space),
    )


def gp(search: Search, number: int, attempt: int) -> BaseSampler:
    """A Gaussian process with expected improvement. Hyperparameters with a condition are drawn at random."""
    from optuna.samplers import GPSampler

    return GPSampler(
        seed=seed_of(search.seed, number, again(attempt)),
        n_startup_trials=option("gp", search.sampler_options, "startup_trials"),
    )


def cmaes(search: Search, number: int, attempt: int) -> BaseSampler:
    """CMA-ES. Choices, and hyperparameters with a condition, are drawn at random."""
    from optuna.samplers import CmaEsSampler

    population = option("cmaes", search.sampler_options, "population")
    return CmaEsSampler(
        seed=seed_of(search.seed, number, again(attempt)),
        n_startup_trials=option("cmaes", search.sampler_options, "startup_trials"),
        popsize=None if population == "auto" else population,
    )


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
