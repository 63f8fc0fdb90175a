"""Experiment 3, second half: "convnets are a fancy form of regularisation of fully-connected nets".

A convolution is a fully-connected layer whose weights lie in a subspace: each output reads a k × k window, with the
same kernel everywhere (a Toeplitz matrix). Here the layer stays dense, and its squared distance from that subspace is
penalised by ½λ ‖W − ΠW‖²; hypergradients learn λ. Expected: with few training examples λ rises, the layer becomes
a convolution, and the test error that of a convnet.

    for measured in train(): print(measured["log_strength"], measured["error/test"])
"""

from collections.abc import Iterator
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from meta.draw import curves, maps
from meta.dynamics import HeavyBall
from meta.experiments.loop import Measured, descend, over_splits
from meta.experiments.splits import Source
from meta.hypers import Hypers
from meta.problem import Problem
from meta.problems.digits import Split
from meta.problems.modules import of_module
from meta.refine import training
from meta.train.optimisers import Adam, Outer

KERNEL = 3
MARGIN = 1.0  # of log λ below the limit at which heavy ball diverges on the penalty alone
STRENGTH = "log_strength"


def train(
    *,
    data: str = "digits",
    channels: int = 4,
    start: float = -5.0,
    lr: float = 0.1,
    steps: int = 200,
    batch: int = 25,
    train_examples: int = 100,
    valid_examples: int = 800,
    meta_lr: float = 0.5,
    meta_iterations: int = 20,
    splits: int = 3,
    seed: int = 0,
    out: str | None = None,
) -> Iterator[Measured]:
    """Yields means over the splits at the start and after each meta-iteration; the first weights are those of seed 0.

    start: of log λ. "distance" is the share of the layer's squared norm outside of the subspace. Last come
    "dense/test", "convnet/test", and their errors, of the same network without the penalty and with a convolution.
    Leaves layer.png, curves.png and convnet.npz in `out`.
    """
    source = Source(data, train_examples, valid_examples)
    window = Window(source.side, channels)
    limit = float(np.log(2 * (1 + 0.9) / (lr * (1 - 0.9)))) - MARGIN
    walks, others = [], []
    for number in range(splits):
        few = source.split(seed * splits + number)
        made = {"steps": steps, "batch": batch, "dynamics": HeavyBall(lr, 0.9)}
        walks.append(descend(
            window.dense(few, **made), Hypers(other={STRENGTH: torch.tensor([start])}), Outer(Adam(), meta_lr),
            meta_iterations, after=lambda h: Hypers(other={STRENGTH: h.other[STRENGTH].clamp(max=limit)}),
        ))  # fmt: skip
        others.append(
            {"dense": window.dense(few, penalised=False, **made), "convnet": window.convnet(few, **made)}
        )
    history: list[Measured] = []
    places: tuple = ()
    for places in zip(*walks, strict=True):
        strengths = [place.hypers.other[STRENGTH].item() for place in places]
        shares = [window.share(place.found.weights[0]) for place in places]
        history.append(over_splits(places) | {"log_strength": fmean(strengths), "distance": fmean(shares)})
        if places[0].step == meta_iterations:
            history[-1] |= _compared(others)
        yield history[-1]
    if out is not None:
        _leave(Path(out), window, places[0].found.weights[0], history)


def _compared(others: list[dict[str, Problem]]) -> Measured:
    """The networks beside: plain trainings, of which nothing is learned."""
    found: Measured = {}
    for name in ("dense", "convnet"):
        each = [_scores(some[name]) for some in others]
        found |= {f"{name}/test": fmean(one["loss/test"] for one in each)}
        found |= {f"{name}/error": fmean(one["error/test"] for one in each)}
        if len(each) > 1:
            found[f"{name}/se"] = stdev(one["loss/test"] for one in each) / len(each) ** 0.5
    return found


def _scores(problem: Problem) -> Measured:
    from meta.hypergrad import hypergradient

    rates = Hypers(log_lr=torch.full((problem.steps, problem.layout.G), float(np.log(problem.dynamics.lr))))  # type: ignore[attr-defined]
    assert problem.scores is not None
    return problem.scores(hypergradient(problem, rates, training(rates)).weights[0])


class Window:
    """A convolution of k × k on images with `side` pixels to a side, as a subspace of dense layers.

    The dense layer has a row for each channel and place: [channels · n, side²], n = (side − k + 1)².
    """

    def __init__(self, side: int, channels: int, kernel: int = KERNEL) -> None:
        self.side, self.channels, self.kernel = side, channels, kernel
        reach = side - kernel + 1
        self.places = reach * reach  # n
        corner = torch.arange(reach)[:, None] * side + torch.arange(reach)  # of each place's window
        offset = torch.arange(kernel)[:, None] * side + torch.arange(kernel)
        self.reads = corner.reshape(-1, 1) + offset.reshape(1, -1)  # [n, k²] pixels

    def kernels(self, weight: Tensor) -> Tensor:  # [C·n, side²] -> [C, k²]
        """The convolution nearest to a dense layer: the mean of its windows."""
        rows = weight.view(self.channels, self.places, -1)
        return rows.gather(2, self.reads.expand(self.channels, -1, -1)).mean(1)

    def spread(self, kernels: Tensor) -> Tensor:  # [C, k²] -> [C·n, side²]
        """A convolution as a dense layer."""
        zeros = kernels.new_zeros(self.channels, self.places, self.side**2)
        wide = kernels[:, None].expand(-1, self.places, -1)
        return zeros.scatter(2, self.reads.expand(self.channels, -1, -1), wide).flatten(0, 1)

    def distance(self, weight: Tensor, bias: Tensor) -> Tensor:
        """‖W − ΠW‖², and of the bias that from one for each channel.  []"""
        off = weight - self.spread(self.kernels(weight))
        rows = bias.view(self.channels, self.places)
        return off.square().sum() + (rows - rows.mean(1, keepdim=True)).square().sum()

    def share(self, x: Tensor) -> float:
        """Of ‖W‖², the part outside of the subspace."""
        weight = x[: self.channels * self.places * self.side**2].view(-1, self.side**2)
        return (self.distance(weight, weight.new_zeros(len(weight))) / weight.square().sum()).item()

    def dense(self, few: Split, *, penalised: bool = True, **how: Any) -> Problem:
        """A dense layer, penalised by exp(h.other["log_strength"]), then tanh and a linear one."""

        def penalty(named: dict[str, Tensor], h: Hypers) -> Tensor:
            return 0.5 * h.other[STRENGTH].exp().sum() * self.distance(named["0.weight"], named["0.bias"])

        body = nn.Linear(self.side**2, self.channels * self.places)
        return self._problem([body], few, penalty if penalised else None, how)

    def convnet(self, few: Split, **how: Any) -> Problem:
        """The same with a convolution in the dense layer's place."""
        image = nn.Unflatten(1, (1, self.side, self.side))
        return self._problem([image, nn.Conv2d(1, self.channels, self.kernel)], few, None, how)

    def _problem(self, body: list[nn.Module], few: Split, penalty: Any, how: dict[str, Any]) -> Problem:
        module = nn.Sequential(*body, nn.Tanh(), nn.Flatten(), nn.Linear(self.channels * self.places, 10))
        train, valid, test = ((some.images, some.labels) for some in (few.train, few.valid, few.test))
        return of_module(module, train=train, valid=valid, test=test, penalty=penalty, **how)


def _leave(out: Path, window: Window, x: Tensor, history: list[Measured]) -> None:
    weight = x[: window.channels * window.places * window.side**2].view(-1, window.side**2)
    some = torch.linspace(0, window.places - 1, 6).long()  # places whose row is drawn
    rows = {f"channel {c}": weight.view(window.channels, window.places, -1)[c, some].numpy()
            for c in range(min(3, window.channels))}  # fmt: skip
    most = max(float(np.abs(row).max()) for row in rows.values())
    maps(
        out / "layer.png",
        rows,
        window.side,
        [f"place {int(p)}" for p in some],
        label="weight",
        limits=(-most, most),
    )
    at = [one["step"] for one in history]
    panels = {
        "log λ": {"": (at, [one["log_strength"] for one in history])},
        "share outside of the convolutions": {"": (at, [one["distance"] for one in history])},
        "cross-entropy": {n: (at, [one[f"loss/{n}"] for one in history]) for n in ("train", "valid", "test")},
    }
    curves(out / "curves.png", panels, x="meta-iterations")
    np.savez(out / "convnet.npz", weight=weight.numpy(), kernels=window.kernels(weight).numpy())
