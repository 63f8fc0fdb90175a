"""Which proposals will most likely crash: they are drawn again before a trial is spent on them.

The option `survival = true` of the samplers that learn. The chance of a crash is that of a logistic regression on the
trials that have ended, with the position of each number in its range and its square, so that a crash region may lie
at either end or in the middle, and a 0 or 1 for each option of a list and each hyperparameter that has a condition.
On log scales that covers products too, such as what fits into memory. Left out are trials that a person or the engine
ended, or that were pruned.

It depends on the trials that have ended and on nothing else, so a sweep that is resumed goes on as it would have.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from ...search.sampling import SAMPLERS, option
from ...search.search import Search
from ...search.space import Choice
from ...search.uniform import position_of
from ...study.outcomes import Outcome, Reason
from ...study.snapshot import Trial
from .told import NO_VERDICT

if TYPE_CHECKING:
    from numpy import ndarray

EACH = 3  # crashed and finished trials before anything is drawn again: with fewer, one outlier decides
LIKELY = 0.7  # from this chance of a crash on; near the edge, where the best loss may lie, it is lower
DRAWS = 10  # of one trial: where all would likely crash, the least likely is tried
# Of half the squares of the weights. Without one, weights are infinite where a line parts crashes from the rest.
PENALTY = 0.1
STEPS = 15  # of Newton's method, which needs fewer than ten

T = TypeVar("T")


class Survival:
    """Learns from ends of trials, and chooses among proposals. Without the option it takes the first."""

    def __init__(self, search: Search) -> None:
        self.space = search.space
        learns = "survival" in SAMPLERS[search.sampler]
        self.wanted = learns and option(search.sampler, search.sampler_options, "survival")
        self.ends: dict[int, tuple[Mapping[str, Any], bool]] = {}  # by number: hyperparameters, crashed
        self._weights: ndarray | None = None
        self._fitted = 0  # ends

    def tell(self, trial: Trial) -> None:
        """How a trial ended. Telling again changes nothing."""
        if self.wanted and trial.outcome and trial.reason not in {*NO_VERDICT, Reason.PRUNED}:
            self.ends.setdefault(trial.number, (trial.params, trial.outcome is not Outcome.FINISHED))

    def choose(self, propose: Callable[[int], T], params_of: Callable[[T], Mapping[str, Any]]) -> T:
        """The first of at most DRAWS proposals, `propose(0)` and so on, that will not likely crash."""
        safest, least = propose(0), math.inf
        if not self._fit():
            return safest
        for attempt in range(DRAWS):
            proposal = propose(attempt) if attempt else safest
            chance = self.chance(params_of(proposal))
            if chance < LIKELY:
                return proposal
            if chance < least:
                safest, least = proposal, chance
        return safest

    def chance(self, params: Mapping[str, Any]) -> float:
        """That a trial with these hyperparameters crashes."""
        import numpy as np

        assert self._weights is not None
        return 1 / (1 + math.exp(-float(np.clip(self._features(params) @ self._weights, -30, 30))))

    def _fit(self) -> bool:
        """Whether there are enough ends to say anything."""
        import numpy as np

        crashed = sum(crash for _, crash in self.ends.values())
        if min(crashed, len(self.ends) - crashed) < EACH:
            return False
        if self._fitted == len(self.ends):
            return True
        ordered = [
            self.ends[number] for number in sorted(self.ends)
        ]  # sums depend on the order in the last bit
        x = np.array([self._features(params) for params, _ in ordered])  # [N, F]
        y = np.array([float(crash) for _, crash in ordered])  # [N]
        penalty = np.full(x.shape[1], PENALTY)
        penalty[0] = 1e-6  # the constant is free
        w = np.zeros(x.shape[1])
        for _ in range(STEPS):
            p = 1 / (1 + np.exp(-np.clip(x @ w, -30, 30)))
            curvature = (x.T * (p * (1 - p))) @ x + np.diag(penalty)
            w = w + np.linalg.solve(curvature, x.T @ (y - p) - penalty * w)
        self._weights, self._fitted = w, len(self.ends)
        return True

    def _features(self, params: Mapping[str, Any]) -> ndarray:
        import numpy as np

        found = [1.0]
        for h in self.space:
            at = position_of(h.distribution, params[h.name]) if h.name in params else None
            if isinstance(h.distribution, Choice):
                count = len(h.distribution.options)
                found += [float(at is not None and int(at * count) == k) for k in range(count)]
                continue
            x = 0.0 if at is None else 2 * at - 1
            found += [x, x * x]
            if h.when:
                found.append(float(at is not None))
        return np.array(found)
