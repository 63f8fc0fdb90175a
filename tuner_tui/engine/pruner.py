"""Ends trials early whose loss is worse than that of others at the same step: makes the pruner that a search names.

Optuna decides. It is told of every trial through a study in memory, which is made again from the journal on a resume.
A pruned trial is asked to stop as it would be by a person: every kind of target can be pruned, one that measures
nothing before its end excepted.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Protocol, cast

from ..search.pruning import PRUNERS, option
from ..search.search import Search
from ..study.outcomes import Outcome, Reason
from ..study.snapshot import Trial

if TYPE_CHECKING:
    import optuna

# Readings of a trial that Optuna hears of one by one; of those that follow every tenth, and so on. It copies all that
# it knows of a trial at every reading: 10,000 of them took 4.6 s of processor time, 1,000 took 0.14 s.
_ONE_BY_ONE = 1000


class Pruner(Protocol):
    """Decides which running trials should end. Not safe to share between threads."""

    def started(self, number: int) -> None:
        """A trial begins, or begins again: what it measured before no longer counts."""
        ...

    def measured(self, number: int, step: int, loss: float) -> str:
        """Take a loss into account. Why the trial should end now, as a sentence, or ""."""
        ...

    def ended(self, trial: Trial) -> None:
        """A trial has ended, however."""
        ...


class NoPruner:
    """Lets every trial run."""

    def started(self, number: int) -> None:
        """See `Pruner`."""

    def measured(self, number: int, step: int, loss: float) -> str:
        """See `Pruner`."""
        return ""

    def ended(self, trial: Trial) -> None:
        """See `Pruner`."""


def make_pruner(search: Search, past: Iterable[Trial] = ()) -> Pruner:
    """The pruner `search` names, which has been told of the trials of `past`, ended ones.

    Raises ValueError for one that is not known (a search that was read from a file has a known one).
    """
    if search.pruner not in PRUNERS:
        raise ValueError(f"unknown pruner {search.pruner!r}; choose {' or '.join(PRUNERS)}")
    if search.pruner == "none":
        return NoPruner()
    pruner = OptunaPruner(search)
    for trial in sorted(past, key=lambda t: t.number):
        pruner.started(trial.number)
        for step, loss in trial.curve:
            pruner.measured(trial.number, step, loss)
        pruner.ended(trial)
    return pruner


class OptunaPruner:
    """A `Pruner` that asks one of Optuna's."""

    def __init__(self, search: Search) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.search = search
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that some are experimental
            pruner = _optuna_pruner(search)
        # Hyperband assigns a trial to a bracket by the study's name and the trial's number.
        name = f"seed {search.seed}"
        self.study = optuna.create_study(
            study_name=name, direction=cast(Any, search.direction), pruner=pruner
        )
        self.trials: dict[int, optuna.Trial] = {}
        self.readings: dict[int, int] = {}

    def started(self, number: int) -> None:
        """See `Pruner`."""
        from optuna.trial import TrialState

        if number in self.trials:
            self.study.tell(self.trials[number], state=TrialState.FAIL)
        self.trials[number] = self.study.ask()
        self.readings[number] = 0

    def measured(self, number: int, step: int, loss: float) -> str:
        """See `Pruner`."""
        count = self.readings[number] = self.readings[number] + 1
        passed_over = count > _ONE_BY_ONE and count % 10 ** math.ceil(math.log10(count / _ONE_BY_ONE))
        if passed_over or not math.isfinite(loss) or step < 0:
            return ""
        trial = self.trials[number]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that a step is known already; the first loss counts
            trial.report(loss, step)
            if not trial.should_prune():
                return ""
        return f"pruned at step {step}: {_why(self.search)}"

    def ended(self, trial: Trial) -> None:
        """See `Pruner`."""
        from optuna.trial import TrialState

        finished = (
            trial.outcome is Outcome.FINISHED and trial.value is not None and math.isfinite(trial.value)
        )
        pruned = trial.reason is Reason.PRUNED
        state = TrialState.COMPLETE if finished else TrialState.PRUNED if pruned else TrialState.FAIL
        self.study.tell(self.trials.pop(trial.number), trial.value if finished else None, state=state)


def _optuna_pruner(search: Search) -> optuna.pruners.BasePruner:
    from optuna.pruners import HyperbandPruner, MedianPruner, SuccessiveHalvingPruner

    def given(key: str) -> Any:
        return option(search.pruner, search.pruner_options, key)

    match search.pruner:
        case "median":
            return MedianPruner(given("startup_trials"), given("warmup_steps"), given("interval_steps"))
        case "successive_halving":
            return SuccessiveHalvingPruner(given("min_resource"), given("reduction_factor"))
        case _:
            return HyperbandPruner(given("min_resource"), given("max_resource"), given("reduction_factor"))


def _why(search: Search) -> str:
    if search.pruner == "median":
        return "its best loss so far is worse than the median of the finished trials at this step"
    kept = option(search.pruner, search.pruner_options, "reduction_factor")
    return f"its loss is not among the best 1/{kept} of those that came as far"
