"""Experiment 3, first half: learned augmentation, y = exp(At) x with a time t drawn for each training example.

A says what an infinitesimal change of an image is: a stencil around each pixel ("local"), one for all pixels
("shared", so it commutes with translations), or any matrix ("dense"). A and the distribution of t are learned.
Expected: with few training examples a learned transformation lowers the test error. At A = 0 the gradient vanishes
where t is symmetric, so that the start is a small random A.

    for measured in train(kind="local"): print(measured["step"], measured["error/test"])
"""

from collections.abc import Iterator
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch
from torch import Tensor

from meta.draw import BAD, canvas, maps
from meta.dynamics import HeavyBall
from meta.experiments.loop import Measured, Place, descend, over_splits, standard_error
from meta.experiments.splits import Source
from meta.hypergrad import hypergradient
from meta.hypers import Hypers
from meta.problems.nets import Examples, network
from meta.problems.transforms import KINDS, Kind, Transform, normal, two_normal
from meta.threads import one_thread
from meta.train.optimisers import Adam, Outer

FORMS = ("plain", "antisymmetric", "pair")
TIMES = (-2.0, -1.0, 0.0, 1.0, 2.0)  # at which digits are drawn, in standard deviations of t
SCALE = -2.0  # log of the first weights' standard deviation
ROW = 9  # entries in a row of A where it is a stencil of 3 × 3: `size` and `meta_lr` are meant for those


@one_thread
def train(
    *,
    data: str = "digits",
    kind: str = "local",
    form: str = "plain",
    stencil: int = 3,
    smoothness: float = 0.0,
    size: float = 0.05,
    hidden: int = 30,
    lr: float = 0.3,
    steps: int = 100,
    batch: int = 25,
    train_examples: int = 100,
    valid_examples: int = 800,
    seeds: int = 1,
    meta_lr: float = 0.06,
    meta_iterations: int = 20,
    splits: int = 3,
    seed: int = 0,
    out: str | None = None,
) -> Iterator[Measured]:
    """Yields means over splits and seeds at the start and after each meta-iteration.

    form: "plain", "antisymmetric" (A − Aᵀ acts) or "pair" (A and Aᵀ, each with a time of its own). size: of the
    random A at the start; it and the steps of A are smaller where rows of A are longer than a stencil's 9. Last
    come "without/test" and "without/error", of the same trainings without a
    transformation. Leaves digits.png, flow.png and transform.npz in `out`.
    """
    known: dict[str, Kind] = {name: name for name in KINDS}
    if kind not in known:
        raise ValueError(f"kind = {kind!r}: choose one of {', '.join(KINDS)}")
    if form not in FORMS:
        raise ValueError(f"form = {form!r}: choose one of {', '.join(FORMS)}")
    source = Source(data, train_examples, valid_examples)
    transform = Transform(
        source.side, source.side, known[kind], stencil, antisymmetric=form == "antisymmetric", pair=form == "pair",
        smoothness=smoothness, times=two_normal if form == "pair" else normal,
    )  # fmt: skip
    share = ROW / (
        source.side**2 if kind == "dense" else stencil**2
    )  # else ‖A‖ grows with the length of its rows
    first = transform.start(size * share, seed)
    begin = Hypers(generator=first, other={"time": torch.zeros(2)})
    walks, without = [], []
    places: tuple[Place, ...] = ()
    for number in range(splits):
        few = source.split(seed * splits + number)
        problem = network(
            few.train, few.valid, (hidden,), test=few.test, steps=steps, batch=batch, transform=transform,
            dynamics=HeavyBall(lr, 0.9),
        )  # fmt: skip
        fixed = Hypers(log_init_scale=torch.full((problem.layout.G,), SCALE))
        how: dict[str, Any] = {"seeds": range(seeds), "fixed": fixed}
        outer = Outer(Adam(), meta_lr, {"generator": meta_lr * share})
        walks.append(descend(problem, begin, outer, meta_iterations, **how))
        still = begin + -1.0 * Hypers(generator=first)
        found = hypergradient(problem, still, **how)
        assert problem.scores is not None
        without.append([problem.scores(x) for x in found.weights])
    for places in zip(*walks, strict=True):
        measured = over_splits(places)
        if places and places[0].step == meta_iterations:
            flat = [one for some in without for one in some]
            measured |= {f"without/{name}": fmean(one[of] for one in flat)
                         for name, of in (("test", "loss/test"), ("error", "error/test"))}  # fmt: skip
            pairs = [(place.scores["error/test"], fmean(one["error/test"] for one in some))
                     for place, some in zip(places, without, strict=True)]  # fmt: skip
            if len(pairs) > 1:
                measured["se/gain"] = standard_error([old - new for new, old in pairs])
        yield measured
    if out is not None and places:
        _leave(Path(out), transform, places[0], source.split(seed * splits).train)


def _leave(out: Path, transform: Transform, place: Place, examples: Examples) -> None:
    A, time = place.hypers.generator, place.hypers.other["time"]
    assert A is not None
    out.mkdir(parents=True, exist_ok=True)
    first = [int((examples.labels == digit).nonzero()[0]) for digit in range(10)]
    images = examples.images[first]
    rows = {}
    for z in TIMES:
        t = (time[0] + time[1].exp() * z).expand(10)
        rows[f"t = {t[0]:.1f}"] = transform(
            A, torch.stack([t, 0 * t], 1) if transform.pair else t, images
        ).numpy()
    side = transform.height
    maps(
        out / "digits.png",
        rows,
        side,
        [str(n) for n in range(10)],
        label="pixel",
        cmap="gray",
        limits=(0.0, 1.0),
    )
    _, axes, save = canvas(9, 4.2, 1, 2)
    matrix = transform.matrix(A)
    dx, dy, growth = flow(matrix, side)
    rows_, columns = np.divmod(np.arange(side * side), side)
    axes[0, 0].quiver(columns, rows_, dx, dy, growth, cmap="coolwarm", angles="xy")
    axes[0, 0].set(title="where the mass of a pixel goes", aspect="equal", xticks=[], yticks=[])
    axes[0, 0].invert_yaxis()
    middle = side * (side // 2) + side // 2
    response = torch.matrix_exp(matrix.double() * float(time[1].exp()))[:, middle].view(side, side)
    axes[0, 1].imshow(response.numpy(), cmap="gray")
    axes[0, 1].plot(side // 2, side // 2, "+", color=BAD)
    axes[0, 1].set(title="one pixel (+) after a standard deviation of t", xticks=[], yticks=[])
    save(out / "flow.png")
    np.savez(out / "transform.npz", generator=A.numpy(), time=time.numpy())


def flow(matrix: Tensor, side: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of dx/dt = Ax: for each pixel where its mass moves (right, down), and how fast it grows.  [D] each"""
    rows, columns = np.divmod(np.arange(side * side), side)
    a = matrix.double().numpy()  # a[p, q]: from q to p
    dx = (a * (columns[:, None] - columns)).sum(0)
    dy = (a * (rows[:, None] - rows)).sum(0)
    return dx, dy, a.sum(0)
