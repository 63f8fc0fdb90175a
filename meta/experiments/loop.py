"""Descent by hypergradients, one experiment's several splits in step with each other."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

from meta.hypergrad import hypergradient
from meta.hypers import Hypers
from meta.problem import Problem
from meta.result import Result
from meta.train.optimisers import Outer

Measured = dict[str, float]


@dataclass(frozen=True, eq=False)
class Place:
    """Hyperparameters, and what a training with them gave. scores: means over the seeds."""

    step: int  # meta-iterations before it
    hypers: Hypers
    found: Result
    scores: Measured


def descend(
    problem: Problem, hypers: Hypers, outer: Outer, iterations: int,
    after: Callable[[Hypers], Hypers] = lambda hypers: hypers, **how: Any,
) -> Iterator[Place]:  # fmt: skip
    """The start, and the place after each of `iterations` meta-iterations. `after` bounds what a step gives.

    how: arguments of `hypergradient`.
    """
    assert problem.scores is not None
    for step in range(iterations + 1):
        found = hypergradient(problem, hypers, **how)
        each = [problem.scores(x) for x in found.weights]
        yield Place(step, hypers, found, {name: fmean(one[name] for one in each) for name in each[0]})
        hypers, outer = outer.step(hypers, found.grads)
        hypers = after(hypers)


def over_splits(places: Sequence[Place]) -> Measured:
    """Means over the splits, and the standard error of the test loss between them."""
    measured: Measured = {"step": places[0].step}
    measured |= {name: fmean(place.scores[name] for place in places) for name in places[0].scores}
    growths = [place.found.growth.max().item() for place in places if place.found.growth is not None]
    if growths:
        measured["growth"] = max(growths)
    if len(places) > 1:
        measured["se/test"] = standard_error([place.scores["loss/test"] for place in places])
    return measured


def standard_error(values: Sequence[float]) -> float:
    """Of the mean of two or more values."""
    return stdev(values) / len(values) ** 0.5
