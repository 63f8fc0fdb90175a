"""Plays a bundled problem with a sampler in this process: one trial after the other, none of them a process."""

from __future__ import annotations

from ..study.outcomes import Outcome, Reason
from ..study.snapshot import Trial
from .problems import Problem
from .sampler import make_sampler


def play(problem: Problem, sampler: str, trials: int, repeat: int, seed: int) -> tuple[float | None, ...]:
    """The loss of each trial, None where it crashed. `repeat` is the number of the instance."""
    draws = make_sampler(problem.search(sampler, trials, seed))
    loss = problem.instance(repeat)
    losses: list[float | None] = []
    for number in range(trials):
        params = draws.ask(number)
        value = loss(params)
        losses.append(value)
        crashed = value is None
        draws.tell(
            Trial(
                number, params, value=value, started_at=number + 0.5, ended_at=number + 1.0,
                outcome=Outcome.NO_START if crashed else Outcome.FINISHED,
                reason=Reason.EXCEPTION if crashed else None,
            )
        )  # fmt: skip
    return tuple(losses)
