"""Plain training of a small network with four hyperparameters, for a random search, and its refinement.

`start` gives the four to every tensor, and the two rates to every tenth of the training: one value each to begin
with, and some ninety that hypergradients may move apart.

    tuner sweep plain
    tuner refine plain
"""

import math
from collections.abc import Iterator
from functools import lru_cache

import torch

from meta.dynamics import HeavyBall
from meta.hypers import Hypers
from meta.inner.ties import piecewise
from meta.problems.digits import Split, digits, mnist
from meta.problems.nets import network
from meta.refine import Measured, Start, refiner
from meta.threads import one_thread

MARKS = 10  # measurements of a training


def start(
    *,
    lr: float = 0.3,
    momentum: float = 0.9,
    init_scale: float = 0.1,
    l2: float = 1e-4,
    data: str = "digits",
    train_examples: int = 1000,
    valid_examples: int = 400,
    split_seed: int = 0,
    hidden: int = 32,
    steps: int = 100,
    batch: int = 50,
    pieces: int = 10,
) -> Start:
    """A network of one hidden layer and heavy ball. pieces: of the training, each with rates of its own.

    data: "digits", or the folder of MNIST's four files. Raises ValueError for a hyperparameter out of its range.
    """
    for name, value, most in (("lr", lr, 100), ("momentum", momentum, 0.9999), ("init_scale", init_scale, 100),
                              ("l2", l2, 1e6)):  # fmt: skip
        if not 0 < value <= most:
            raise ValueError(f"{name} = {value}: give a number above 0, up to {most}")
    few = _split(data, train_examples, valid_examples, split_seed)
    problem = network(
        few.train,
        few.valid,
        (hidden,),
        test=few.test,
        steps=steps,
        batch=batch,
        dynamics=HeavyBall(lr, momentum),
    )
    layout = problem.layout
    hypers = Hypers(
        log_lr=torch.full((pieces, layout.G), math.log(lr)),
        logit_momentum=torch.full((pieces, layout.G), math.log(momentum / (1 - momentum))),
        log_init_scale=torch.full((layout.G,), math.log(init_scale)),
        log_l2=torch.full((2,), math.log(l2)),  # one for each layer
    )
    tie = piecewise(steps, pieces)
    return Start(problem, hypers, {"log_lr": tie, "logit_momentum": tie})


@one_thread
def train(
    *,
    lr: float = 0.3,
    momentum: float = 0.9,
    init_scale: float = 0.1,
    l2: float = 1e-4,
    data: str = "digits",
    train_examples: int = 1000,
    valid_examples: int = 400,
    split_seed: int = 0,
    hidden: int = 32,
    steps: int = 100,
    batch: int = 50,
    seed: int = 0,
) -> Iterator[Measured]:
    """One training: "loss/train" along the way, on batches; last the losses and errors on whole sets."""
    begun = start(
        lr=lr, momentum=momentum, init_scale=init_scale, l2=l2, data=data, train_examples=train_examples,
        valid_examples=valid_examples, split_seed=split_seed, hidden=hidden, steps=steps, batch=batch, pieces=1,
    )  # fmt: skip
    found = begun.trained(begun.hypers, range(seed, seed + 1))
    inner = found.curves["inner"][0]
    for t in range(0, steps, max(1, steps // MARKS)):
        yield {"step": float(t), "loss/train": inner[t].item()}
    assert begun.problem.scores is not None
    yield {"step": float(steps)} | begun.problem.scores(found.weights[0])


@lru_cache(maxsize=4)  # every trial of a split asks for it
def _split(data: str, train: int, valid: int, seed: int) -> Split:
    return digits(train, valid, seed=seed) if data == "digits" else mnist(data, train, valid, seed=seed)


refine = refiner(start)
