"""Experiment 3, second half: "convnets are a fancy form of regularisation of fully-connected nets".

A convolution is a fully-connected layer whose weights lie in a subspace: each output reads a k × k window, with the
same kernel everywhere (a Toeplitz matrix). Here the layer stays dense, and its squared distance from that subspace is
penalised by ½λ ‖W − ΠW‖²; hypergradients learn λ. At λ = 0 it is a dense network, and at λ = ∞ the convnet whose
kernels learn n times slower, as Π takes the mean over n places. Expected: λ rises from nearly nothing, and the
network gets better than the dense one, at least as good as the convnet.

    for measured in train(): print(measured["log_strength"], measured["loss/test"])
"""

import math
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from meta.draw import curves, maps
from meta.dynamics import HeavyBall
from meta.experiments.loop import Measured, descend, over_splits, standard_error
from meta.experiments.splits import Source
from meta.hypergrad import hypergradient
from meta.hypers import Hypers
from meta.methods.truncated import Truncated
from meta.problem import Problem
from meta.problems.digits import Split
from meta.problems.modules import of_module
from meta.threads import one_thread
from meta.train.optimisers import Adam, Outer

KERNEL = 3
MOMENTUM = 0.9
MARGIN = 1.0  # of log λ below the limit at which heavy ball diverges on the penalty alone
STRENGTH = "log_strength"
TRAINING = Truncated(1)  # where only the trained weights are of interest: a way back of one step


@one_thread
def train(
    *,
    data: str = "digits",
    first: str = "convolution",
    channels: int = 4,
    start: float = -8.0,
    lr: float = 1.0,
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
    """Yields means over the splits at the start and after each meta-iteration.

    first: the dense layer's first weights, those of a "convolution" or "random". start: of log λ. "distance" is the
    share of the layer's squared norm that lies outside of the subspace. Last come "dense/..." and "convnet/..." of
    the same training at λ = 0 and λ = ∞. Leaves layer.png, curves.png and convnet.npz in `out`.
    """
    if first not in ("convolution", "random"):
        raise ValueError(f"first = {first!r}: choose convolution or random")
    source = Source(data, train_examples, valid_examples)
    window = Window(source.side, channels)
    limit = math.log(2 * (1 + MOMENTUM) / (lr * (1 - MOMENTUM))) - MARGIN
    walks, ends = [], []
    for number in range(splits):
        split = seed * splits + number
        few, made = source.split(split), {"steps": steps, "batch": batch, "dynamics": HeavyBall(lr, MOMENTUM)}
        problem, convnet = window.dense(few, **made), window.convnet(few, **made)
        x0 = convnet.init(split)
        begun = Hypers(init=window.widened(convnet, x0) if first == "convolution" else problem.init(split))
        walks.append(descend(
            problem, Hypers(other={STRENGTH: torch.tensor([start])}), Outer(Adam(), meta_lr), meta_iterations,
            after=lambda h: Hypers(other={STRENGTH: h.other[STRENGTH].clamp(max=limit)}), fixed=begun,
        ))  # fmt: skip
        plain, slow = window.dense(few, penalised=False, **made), window.slow(steps, lr)
        ends.append({
            "dense": _trained(plain, torch.full_like(slow, math.log(lr)), begun),
            "convnet": _trained(convnet, slow, Hypers(init=x0)),
        })  # fmt: skip
    history: list[Measured] = []
    weights = torch.empty(0)
    for places in zip(*walks, strict=True):
        weights = places[0].found.weights[0]
        strengths = [place.hypers.other[STRENGTH].item() for place in places]
        shares = [window.share(place.found.weights[0]) for place in places]
        history.append(over_splits(places) | {"log_strength": fmean(strengths), "distance": fmean(shares)})
        if places[0].step == meta_iterations:
            history[-1] |= _beside([place.scores for place in places], ends)
        yield history[-1]
    if out is not None:
        _leave(Path(out), window, weights, history)


def _trained(problem: Problem, log_lr: Tensor, fixed: Hypers) -> Measured:
    assert problem.scores is not None
    found = hypergradient(problem, Hypers(log_lr=log_lr), TRAINING, fixed=fixed)
    return problem.scores(found.weights[0])


def _beside(scores: list[Measured], ends: list[dict[str, Measured]]) -> Measured:
    """Both ends of λ: their scores, and how much more their test loss is than the learned one's, split by split."""
    found: Measured = {}
    for name in ends[0]:
        each = [some[name] for some in ends]
        for short, key in (("valid", "loss/valid"), ("test", "loss/test"), ("error", "error/test")):
            found[f"{name}/{short}"] = fmean(one[key] for one in each)
        if len(each) > 1:
            more = [
                one["loss/test"] - learned["loss/test"] for one, learned in zip(each, scores, strict=True)
            ]
            found[f"{name}/more"], found[f"{name}/se"] = fmean(more), standard_error(more)
    return found


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

    def widened(self, convnet: Problem, x: Tensor) -> Tensor:
        """The weights x of a convnet as those of the dense network that computes the same."""
        kernels, bias, *rest = convnet.layout.split(x)
        wide = [self.spread(kernels.flatten(1)), bias.repeat_interleave(self.places), *rest]
        return torch.cat([part.flatten() for part in wide])

    def slow(self, steps: int, lr: float) -> Tensor:
        """Log rates [T, 4] at which the convnet trains as the dense network does at the rate lr and λ = ∞.

        The gradient by a kernel is the sum over its n places, and Π takes their mean.
        """
        return math.log(lr) - torch.tensor([1.0, 1.0, 0.0, 0.0]).expand(steps, 4) * math.log(self.places)

    def distance(self, weight: Tensor, bias: Tensor) -> Tensor:
        """‖W − ΠW‖², and the same for the biases, which are one for each channel in a convolution.  []"""
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
