"""Experiment 2: ten training examples, one of each class. What should they look like?

Their pixels are hyperparameters: logistic regression is trained on the ten for a few steps, and judged on the
validation set. Expected: canonical digits; with few validation images they are overfitted, as any training set is.

    for measured in train(valid_examples=100): print(measured["error/valid"], measured["error/test"])
"""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from meta.draw import curves, maps
from meta.dynamics import HeavyBall
from meta.experiments.loop import Measured, Place, descend, over_splits
from meta.experiments.splits import Source
from meta.hypers import Hypers
from meta.problems.nets import Examples, network
from meta.threads import one_thread
from meta.train.optimisers import Adam, Outer

CLASSES = 10
FRAMES = (0, 1, 2, 5, 10, 20, 50, 100, 200, 300)  # meta-iterations that are drawn
SCALE = math.exp(-5)


@one_thread
def train(
    *,
    data: str = "digits",
    valid_examples: int = 0,
    lr: float = 1.5,
    steps: int = 20,
    meta_lr: float = 0.03,
    meta_iterations: int = 100,
    splits: int = 3,
    seed: int = 0,
    out: str | None = None,
) -> Iterator[Measured]:
    """Yields means over the splits at the start and after each meta-iteration; "train" is the ten learned examples.

    valid_examples: 0 for the default of the data. Leaves digits.png, curves.png and digits.npz in `out`.
    """
    source = Source(data, 1, valid_examples or None)
    fixed = Hypers(log_init_scale=torch.full((2,), math.log(SCALE)))
    walks = []
    for number in range(splits):
        few = source.split(seed * splits + number)
        ten = Examples(torch.zeros(CLASSES, source.side**2), torch.arange(CLASSES))
        problem = network(
            ten, few.valid, test=few.test, steps=steps, batch=CLASSES, dynamics=HeavyBall(lr, 0.9)
        )
        hypers = Hypers(data=ten.images)
        walks.append(descend(problem, hypers, Outer(Adam(), meta_lr), meta_iterations, fixed=fixed))
    history: list[Measured] = []
    frames: dict[str, np.ndarray] = {}
    for places in zip(*walks, strict=True):
        measured = over_splits(places)
        measured |= {
            "loss/train": _last_loss(places),
            "gap/error": measured["error/test"] - measured["error/valid"],
        }
        del measured["error/train"]  # of blank images
        history.append(measured)
        data_ = places[0].hypers.data
        assert data_ is not None
        if places[0].step in FRAMES or places[0].step == meta_iterations:
            frames[str(places[0].step)] = data_.numpy()
        yield measured
    if out is not None:
        _leave(Path(out), source.side, frames, history)


def _last_loss(places: tuple[Place, ...]) -> float:
    """The inner loss on the ten before the last step."""
    return sum(place.found.curves["inner"][:, -1].mean().item() for place in places) / len(places)


def _leave(out: Path, side: int, frames: dict[str, np.ndarray], history: list[Measured]) -> None:
    most = max(float(np.abs(frame).max()) for frame in frames.values())
    maps(
        out / "digits.png", frames, side, [str(n) for n in range(CLASSES)], label="pixel", limits=(-most, most),
        cmap="RdBu",
    )  # fmt: skip
    at = [one["step"] for one in history]
    panels = {
        "cross-entropy": {n: (at, [one[f"loss/{n}"] for one in history]) for n in ("train", "valid", "test")},
        "share of errors": {n: (at, [one[f"error/{n}"] for one in history]) for n in ("valid", "test")},
    }
    curves(out / "curves.png", panels, x="meta-iterations")
    arrays: dict[str, Any] = {f"step{name}": frame for name, frame in frames.items()}
    np.savez(out / "digits.npz", **arrays)
