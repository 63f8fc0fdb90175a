"""A recurrent controller that proposes trials and is trained by policy gradient, for any space: Zoph & Le, Neural
Architecture Search with Reinforcement Learning, ICLR 2017 (arXiv 1611.01578).

An LSTM proposes one hyperparameter after the other, in an order in which each comes after those that its condition
speaks of; its input is the last proposal, so a later hyperparameter may depend on all earlier ones, and one that does
not apply is passed over. A softmax chooses among the options of a list, the values of a short range, or equal bins of
a long one, in which a value is drawn uniformly (section 3.1 there; they have lists only).

Each trial that ends is one step of REINFORCE with a moving average of the rewards as baseline (section 3.2), and a
bonus for the entropy of the choices, which keeps them open (Williams & Peng, 1991). They train on thousands of trials
of an accuracy; here there are tens, of a loss of unknown scale. So the reward is the share of earlier trials that it
beats, ties counted half, and the learning rate is larger than their 6e-4: of 0.003, 0.01, 0.03 and 0.1 the best after
60 trials of a quadratic function of four hyperparameters.
"""

from __future__ import annotations

import bisect
import random
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from ...search.sampling import option
from ...search.search import Search
from ...search.space import Choice, Hyperparameter, in_dependency_order
from ...search.uniform import count_of, position_of, value_at
from ...study.snapshot import Trial
from .drawing import again, seed_of
from .survival import Survival
from .told import Told, as_they_ended

if TYPE_CHECKING:
    from torch import Tensor

HIDDEN = 35  # units of the LSTM, as in the paper
SPREAD = 0.08  # first weights are uniform in ± this, as in the paper: the first proposals are almost uniform


class Controller:
    """A `Sampler`. What it has learned depends on the trials it was told and their order, and on nothing else."""

    def __init__(self, search: Search) -> None:
        import torch

        self.search = search
        self.told = Told(search)
        self.survival = Survival(search)
        self.order = in_dependency_order(search.space)
        self.arms = {h.name: self._arms(h) for h in self.order}
        weights = torch.Generator().manual_seed(seed_of(search.seed, 0, "controller"))

        def parameter(*shape: int) -> Tensor:
            return torch.empty(shape).uniform_(-SPREAD, SPREAD, generator=weights).requires_grad_()

        self.cell = torch.nn.LSTMCell(HIDDEN, HIDDEN)
        with torch.no_grad():
            for tensor in self.cell.parameters():
                tensor.uniform_(-SPREAD, SPREAD, generator=weights)
        self.first = parameter(HIDDEN)
        self.inputs = {name: parameter(arms, HIDDEN) for name, arms in self.arms.items()}
        self.outputs = {name: parameter(arms, HIDDEN) for name, arms in self.arms.items()}
        everything = [*self.cell.parameters(), self.first, *self.inputs.values(), *self.outputs.values()]
        self.optimizer = torch.optim.Adam(everything, lr=self._option("learning_rate"))
        self.losses: list[float] = []  # of the trials so far, sorted
        self.baseline = 0.5  # the reward of a trial that is as good as most

    def ask(self, number: int) -> dict[str, Any]:
        """See `Sampler`."""
        return self.survival.choose(lambda attempt: self._propose(number, attempt), lambda params: params)

    def _propose(self, number: int, attempt: int) -> dict[str, Any]:
        import torch

        rng = random.Random(seed_of(self.search.seed, number, f"controller{again(attempt)}"))
        values = dict(self.search.fixed)

        def draw(h: Hyperparameter, log_p: Tensor) -> int:
            shares = log_p.exp().tolist()
            choice = rng.choices(range(len(shares)), shares)[0]
            values[h.name] = value_at(h.distribution, (choice + rng.random()) / len(shares))
            return choice

        with torch.no_grad():
            self._walk(values, draw)
        return {name: values[name] for name in self.search.space.names if name in values}

    def tell(self, trial: Trial) -> None:
        """See `Sampler`."""
        self.survival.tell(trial)
        for known, value in self.told.hear(trial):
            if value is not None:
                self._learn(known.params, self.search.sign * value)

    def recall(self, past: Iterable[Trial]) -> None:
        """Hear of the trials of an earlier engine."""
        for trial in as_they_ended(past):
            self.tell(trial)

    def _learn(self, params: Mapping[str, Any], loss: float) -> None:
        """One step of REINFORCE for a trial with this loss, smaller is better."""
        import torch

        worse = len(self.losses) - bisect.bisect_right(self.losses, loss)
        equal = len(self.losses) - worse - bisect.bisect_left(self.losses, loss)
        reward = (worse + 0.5 * equal) / len(self.losses) if self.losses else self.baseline
        bisect.insort(self.losses, loss)
        advantage = reward - self.baseline
        keep = self._option("baseline")
        self.baseline = keep * self.baseline + (1 - keep) * reward

        log_ps: list[Tensor] = []
        entropies: list[Tensor] = []

        def find(h: Hyperparameter, log_p: Tensor) -> int | None:
            at = position_of(h.distribution, params.get(h.name))
            if at is None:
                return None  # it lies outside the space, which was changed since
            choice = min(int(at * len(log_p)), len(log_p) - 1)
            log_ps.append(log_p[choice])
            entropies.append(-(log_p.exp() * log_p).sum())
            return choice

        if not self._walk(params, find) or not log_ps:
            return
        bonus = self._option("entropy") * torch.stack(entropies).sum()
        objective = advantage * torch.stack(log_ps).sum() + bonus
        self.optimizer.zero_grad()
        (-objective).backward()
        self.optimizer.step()

    def _walk(
        self, values: Mapping[str, Any], choose: Callable[[Hyperparameter, Tensor], int | None]
    ) -> bool:
        """Ask `choose` for each hyperparameter that applies, given the log probabilities of its choices [arms].
        `values` has the values so far. False where it ended early, because nothing was chosen."""
        import torch

        x = self.first
        state = torch.zeros(1, HIDDEN), torch.zeros(1, HIDDEN)
        for h in self.order:
            if not h.applies(values):
                continue
            state = self.cell(x[None], state)
            choice = choose(h, torch.log_softmax(self.outputs[h.name] @ state[0][0], 0))
            if choice is None:
                return False
            x = self.inputs[h.name][choice]
        return True

    def _arms(self, h: Hyperparameter) -> int:
        """How many choices a hyperparameter has."""
        bins = self._option("bins")
        count = count_of(h.distribution)
        return count if isinstance(h.distribution, Choice) and count else min(bins, count or bins)

    def _option(self, key: str) -> Any:
        return option("controller", self.search.sampler_options, key)
