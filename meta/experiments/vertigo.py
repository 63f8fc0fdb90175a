"""Experiment 8, from the notebook on hyperparameter selection: the first weights themselves as a hyperparameter.

With a learning rate of zero the training changes nothing, and a meta-step on its first weights is a plain step of
gradient descent on the validation set: meta-learning is elementary learning, exactly. The larger the rate, the more
the training set decides. Expected: at a rate that learns something, learned first weights have fewer test errors than
elementary learning on the validation set alone, and than training from small random weights.

    for measured in train(lr=0.0): print(measured["loss/valid"], measured["loss/test"])
"""

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from meta.draw import curves
from meta.dynamics import HeavyBall
from meta.experiments.loop import Measured, descend, over_splits
from meta.experiments.splits import Source
from meta.hypers import Hypers
from meta.problem import Problem
from meta.problems.nets import network
from meta.threads import one_thread
from meta.train.optimisers import Outer, Sgd

SCALE = math.exp(-5)  # of the first weights


@one_thread
def train(
    *,
    data: str = "digits",
    lr: float = 0.01,
    steps: int = 50,
    batch: int = 50,
    train_examples: int = 100,
    valid_examples: int = 100,
    meta_lr: float = 1.0,
    meta_iterations: int = 100,
    splits: int = 3,
    seed: int = 0,
    out: str | None = None,
) -> Iterator[Measured]:
    """Yields means over the splits at the start and after each meta-iteration. Leaves curves.png in `out`.

    As many examples to train on as to validate with, so that neither end of lr has an advantage.
    """
    source = Source(data, train_examples, valid_examples)
    walks = []
    for number in range(splits):
        few = source.split(seed * splits + number)
        problem = small(network(
            few.train, few.valid, test=few.test, steps=steps, batch=batch, dynamics=HeavyBall(lr, 0.9)
        ))  # fmt: skip
        walks.append(descend(problem, Hypers(init=problem.init(0)), Outer(Sgd(), meta_lr), meta_iterations))
    history: list[Measured] = []
    for places in zip(*walks, strict=True):
        history.append(over_splits(places))
        yield history[-1]
    if out is not None:
        at = [one["step"] for one in history]
        panels = {
            said: {
                name: (at, [one[f"{kind}/{name}"] for one in history]) for name in ("train", "valid", "test")
            }
            for said, kind in (("cross-entropy", "loss"), ("share of errors", "error"))
        }
        curves(Path(out) / "curves.png", panels, x="meta-iterations")


def small(problem: Problem) -> Problem:
    """The same problem with first weights of SCALE."""
    return replace(problem, init=lambda seed: SCALE * problem.init(seed))
