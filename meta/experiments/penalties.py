"""Experiment 1: an L2 penalty for each weight of logistic regression, against one for a class and one for all.

Expected: a penalty for each weight leaves a test loss well below the best shared one in the same setting. They are
drawn as one map per class.

    for measured in train(per="weight"): print(measured["step"], measured["loss/test"])
"""

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from meta.draw import curves, maps
from meta.dynamics import HeavyBall
from meta.experiments.loop import Measured, Place, descend, over_splits
from meta.experiments.splits import Source
from meta.hypers import Hypers
from meta.problem import Problem
from meta.problems.nets import network
from meta.threads import one_thread
from meta.train.caps import capped
from meta.train.optimisers import Adam, Outer

SCALE = math.exp(-5)  # of the first weights
CLASSES = 10


@one_thread
def train(
    *,
    data: str = "digits",
    per: str = "weight",
    start: float = -7.0,
    lr: float = 1.0,
    steps: int = 300,
    batch: int = 100,
    train_examples: int = 0,
    valid_examples: int = 0,
    meta_lr: float = 0.5,
    meta_iterations: int = 20,
    splits: int = 3,
    seed: int = 0,
    out: str | None = None,
) -> Iterator[Measured]:
    """Yields means over the splits at the start and after each meta-iteration.

    per: "weight", "unit" (a class) or "one". start: of log λ. train_examples, valid_examples: by default 200 and
    1,000 of the digits, 1,000 and 10,000 of MNIST: with 400 digits 650 penalties overfit the validation set.
    Leaves map.png, curves.png and penalties.npz in `out`.
    """
    if per not in ("one", "unit", "weight"):
        raise ValueError(f"per = {per!r}: choose one, unit or weight")
    usual = (200, 1000) if data == "digits" else (1000, 10_000)
    source = Source(data, train_examples or usual[0], valid_examples or usual[1])
    walks = []
    for number in range(splits):
        few = source.split(seed * splits + number)
        problem = network(
            few.train, few.valid, test=few.test, steps=steps, batch=batch, dynamics=HeavyBall(lr, 0.9)
        )
        walks.append(_walk(problem, per, start, meta_lr, meta_iterations))
    history: list[Measured] = []
    places: tuple[Place, ...] = ()
    for places in zip(*walks, strict=True):
        history.append(over_splits(places))
        yield history[-1]
    if out is not None and places:
        _leave(Path(out), source.side, places[0], history)


def _walk(problem: Problem, per: str, start: float, meta_lr: float, iterations: int) -> Iterator[Place]:
    granularities = {name: n for n, name in problem.layout.granularities.items()} | {"one": 1}
    hypers = Hypers(log_l2=torch.full((granularities[per],), start))
    fixed = Hypers(log_init_scale=torch.full((problem.layout.G,), math.log(SCALE)))
    # Without the cap heavy ball diverges on the penalty alone, here from log λ = 3.6 on.
    return descend(
        problem, hypers, Outer(Adam(), meta_lr), iterations, after=lambda h: capped(problem, h), fixed=fixed
    )


def _leave(out: Path, side: int, place: Place, history: list[Measured]) -> None:
    layout = place.found.weights.shape[-1]
    assert place.hypers.log_l2 is not None
    whole = place.hypers.log_l2
    pixels = side * side
    if len(whole) == CLASSES:
        whole = torch.cat([whole.expand(pixels, CLASSES).flatten(), whole])
    whole = whole.expand(layout)[: pixels * CLASSES].view(pixels, CLASSES).T
    weights = place.found.weights[0][: pixels * CLASSES].view(pixels, CLASSES).T
    names = [str(digit) for digit in range(CLASSES)]
    low, high = float(whole.min()), float(whole.max())
    wide = (low, high) if high > low else (low - 1, high + 1)
    maps(out / "map.png", {"log λ": whole.numpy()}, side, names, label="log λ", limits=wide, cmap="viridis")
    most = float(weights.abs().max())
    maps(out / "weights.png", {"weights": weights.numpy()}, side, names, label="weight", limits=(-most, most))
    at = [one["step"] for one in history]
    panels = {
        said: {name: (at, [one[f"{kind}/{name}"] for one in history]) for name in ("train", "valid", "test")}
        for said, kind in (("cross-entropy", "loss"), ("share of errors", "error"))
    }
    curves(out / "curves.png", panels, x="meta-iterations")
    np.savez(out / "penalties.npz", log_l2=whole.numpy(), weights=weights.numpy())
