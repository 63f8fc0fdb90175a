"""Experiment 4: the distribution of the first weights, learned for each tensor, weights and biases apart.

A distribution is a log scale ("scale"), or B quantiles between which a normal draw is placed by its rank. These are
learned as gaps with Adam, so that they stay in order ("bins"), or as edges with plain gradient descent, as in the
notebook ("edges"), or so with the mistake of its scripts ("notebook"): the two end edges, [0, −1], were moved by the
gradients of the first two, [0, 1]. Expected: the lower and the upper half of a tensor of weights have gradients of
opposite signs, so that the mistake drives the last edge the wrong way; those of biases are a hundredth as large, and
whatever is done to them shows nothing.

    for measured in train(way="notebook"): print(measured["step"], measured["loss/test"])
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch
from torch import Tensor

from meta.draw import BAD, GOOD, canvas
from meta.dynamics import HeavyBall
from meta.experiments.loop import Measured, standard_error
from meta.experiments.splits import Source
from meta.hypergrad import hypergradient
from meta.hypers import Hypers
from meta.inner.first_weights import bins_of, first_weights, normal_bins, quantiles
from meta.problem import Problem
from meta.problems.nets import network
from meta.refine import training
from meta.result import Result
from meta.threads import one_thread
from meta.train.optimisers import Adam, Outer

WAYS = ("scale", "bins", "edges", "notebook")
USUAL = {
    "scale": 0.1,
    "bins": 0.1,
    "edges": 0.01,
    "notebook": 0.01,
}  # outer steps: of Adam, and of plain descent
NARROW = 1e-6  # edges that would change places stay so far apart
DRAWS = 8  # seeds whose first weights are drawn, and have their gradients taken one by one


@one_thread
def train(
    *,
    data: str = "digits",
    way: str = "bins",
    hidden: int = 50,
    steps: int = 50,
    batch: int = 50,
    lr: float = 0.3,
    init_scale: float = 0.1,
    bins: int = 11,
    seeds: int = 3,
    held: int = 8,
    meta_lr: float = 0.0,
    meta_iterations: int = 20,
    splits: int = 3,
    seed: int = 0,
    out: str | None = None,
) -> Iterator[Measured]:
    """Yields means over the splits at the start and after each meta-iteration, each with new seeds.

    hidden: 0 for one layer. meta_lr: 0 for the usual one of the way. Last come "held/before" and "held/after", test
    losses on seeds that were not learned on, "held/drop" and "held/se"; and of the first gradient by quantiles
    "edges/weights" and "edges/biases", root mean squares over the tensors of each kind.
    Leaves distributions.png, gradients.png and starts.npz in `out`.
    """
    if way not in WAYS:
        raise ValueError(f"way = {way!r}: choose one of {', '.join(WAYS)}")
    source = Source(data)
    walks = []
    for number in range(splits):
        split = seed * splits + number
        few = source.split(split)
        problem = network(
            few.train, few.valid, (hidden,) if hidden else (), test=few.test, steps=steps, batch=batch,
            dynamics=HeavyBall(lr, 0.9),
        )  # fmt: skip
        begin = start(problem, way, init_scale, bins)
        walks.append(Walk(problem, way, Outer(Adam(), meta_lr or USUAL[way]), begin, begin))
    for step in range(meta_iterations + 1):
        some = range(held + step * seeds, held + (step + 1) * seeds)
        measured = {"step": float(step)} | _mean([walk.go(some) for walk in walks])
        if step == meta_iterations:
            measured |= _held(walks, range(held)) | _mean(
                [walk.sizes(init_scale, bins, some) for walk in walks]
            )
        yield measured
    if out is not None:
        _leave(Path(out), walks[0], range(min(held, DRAWS)))


def start(problem: Problem, way: str, scale: float, bins: int) -> Hypers:
    """N(0, scale²) for every tensor."""
    G = problem.layout.G
    if way == "scale":
        return Hypers(log_init_scale=torch.full((G,), math.log(scale)))
    return Hypers(init_bins=bins_of(scale * quantiles(normal_bins(bins))).float().repeat(G, 1))


@dataclass(eq=False)
class Walk:
    """One split's descent. `before`: what `now` was made from by the last step; both are calm at first."""

    problem: Problem
    way: str
    outer: Outer
    first: Hypers
    now: Hypers
    kept: Hypers | None = None

    def go(self, seeds: range) -> Measured:
        """The losses at this place; then one step."""
        found = hypergradient(self.problem, self.now, seeds=seeds)
        scores = self.problem.scores
        assert scores is not None
        each = [scores(x) for x in found.weights]
        self.kept = self.now
        if self.way in ("scale", "bins"):
            self.now, self.outer = self.outer.step(self.now, found.grads)
        else:
            self.now = self._moved_edges(found)
        growth = found.growth.max().item() if found.growth is not None else math.nan
        return {name: fmean(one[name] for one in each) for name in each[0]} | {"growth": growth}

    def _moved_edges(self, found: Result) -> Hypers:
        raw, grad = self.now.init_bins, found.grads.init_bins
        assert raw is not None and grad is not None
        d = by_edge(raw, grad)
        if self.way == "notebook":
            d[:, -1] = d[:, 1]
        edges = (quantiles(raw) - self.outer.lr * d).double()
        apart = edges.sort(-1).values.diff().clamp(min=NARROW)
        edges = torch.cat([edges.min(-1, keepdim=True).values, apart], -1).cumsum(-1)
        return Hypers(init_bins=torch.stack([bins_of(row) for row in edges]).to(raw))

    def sizes(self, scale: float, bins: int, seeds: range) -> Measured:
        """Root mean square of the gradients by quantiles at the start, of weights and of biases."""
        raw = start(self.problem, "bins", scale, bins)
        found = hypergradient(self.problem, raw, seeds=seeds)
        assert raw.init_bins is not None and found.grads.init_bins is not None
        d = by_edge(raw.init_bins, found.grads.init_bins).square().mean(-1)
        kinds = {"edges/weights": "W", "edges/biases": "b"}
        rows = {said: [g for g, name in enumerate(self.problem.layout.groups) if name[0] == kind]
                for said, kind in kinds.items()}  # fmt: skip
        return {said: d[row].mean().sqrt().item() for said, row in rows.items()}

    def tested(self, hypers: Hypers, seeds: range) -> float:
        """The test loss of trainings from there."""
        found = hypergradient(self.problem, hypers, training(hypers), seeds=seeds)
        assert self.problem.scores is not None
        return fmean(self.problem.scores(x)["loss/test"] for x in found.weights)

    def drawn(self, hypers: Hypers, seed: int) -> Tensor:  # -> [P]
        """The first weights under this seed."""
        return first_weights(self.problem.init(seed), hypers.parts(), self.problem.layout)


def by_edge(raw: Tensor, grad: Tensor) -> Tensor:
    """Gradients by the quantiles themselves, from those by their gaps before softplus.  [..., B] each

    An edge is e_k = r₀ + Σ_{1 ≤ j ≤ k} softplus(r_j), so d/dr_j = σ(r_j) Σ_{k ≥ j} d/de_k and d/dr₀ = Σ_k d/de_k.
    """
    beyond = torch.cat([grad[..., :1], grad[..., 1:] / raw[..., 1:].sigmoid()], -1)  # Σ_{k ≥ j} d/de_k
    return beyond - torch.cat([beyond[..., 1:], torch.zeros_like(beyond[..., :1])], -1)


def _mean(each: list[Measured]) -> Measured:
    return {name: fmean(one[name] for one in each) for name in each[0]}


def _held(walks: list[Walk], seeds: range) -> Measured:
    before = [walk.tested(walk.first, seeds) for walk in walks]
    after = [walk.tested(walk.kept or walk.first, seeds) for walk in walks]
    drops = [1 - new / old for old, new in zip(before, after, strict=True)]
    measured = {"held/before": fmean(before), "held/after": fmean(after), "held/drop": fmean(drops)}
    return measured | ({"held/se": standard_error(drops)} if len(drops) > 1 else {})


def _leave(out: Path, walk: Walk, seeds: range) -> None:
    out.mkdir(parents=True, exist_ok=True)
    layout, kept = walk.problem.layout, walk.kept or walk.first
    first, last = (torch.stack([walk.drawn(h, seed) for seed in seeds]) for h in (walk.first, kept))
    grads = torch.stack([
        hypergradient(walk.problem, Hypers(init=x), seeds=(seed,)).grads.parts()["init"]
        for x, seed in zip(first, seeds, strict=True)
    ])  # fmt: skip
    _, axes, save = canvas(3.3 * layout.G, 3.0, 1, layout.G)
    pieces = [one.split(layout.sizes, 1) for one in (first, last, grads)]
    for g, (axis, name) in enumerate(zip(axes[0], layout.groups, strict=True)):
        was, now = (pieces[k][g].flatten().numpy() for k in (0, 1))
        axis.hist(was, bins=60, density=True, color="#bbbbbb", label="first weights before")
        axis.hist(now, bins=60, density=True, histtype="step", color=GOOD, linewidth=1.4, label="after")
        _outline(axis, kept, g, float(np.abs(now).max()))
        axis.set(title=f"{name} ({layout.sizes[g]:,})", xlabel="first weight", yticks=[])
    axes[0, 0].legend(frameon=False, fontsize=7)
    save(out / "distributions.png")
    _, axes, save = canvas(3.3 * layout.G, 3.0, 1, layout.G)
    for g, (axis, name) in enumerate(zip(axes[0], layout.groups, strict=True)):
        x, d = (pieces[k][g].flatten().numpy() for k in (0, 2))
        axis.plot(x, d, ".", color="#bbbbbb", markersize=2, alpha=0.4, rasterized=True)
        rank = np.argsort(x)
        groups = np.array_split(rank, min(10, len(rank) // 4))
        means = [d[some].mean() for some in groups]
        errors = [d[some].std(ddof=1) / len(some) ** 0.5 for some in groups]
        axis.errorbar([x[some].mean() for some in groups], means, errors, fmt="o-", color=BAD, markersize=3)
        high = 3 * float(d.std())
        axis.set(title=name, xlabel="first weight", ylim=(-high, high))
        axis.axhline(0, color="#777777", linewidth=0.8)
    axes[0, 0].set_ylabel("d loss / d first weight")
    save(out / "gradients.png")
    arrays: dict[str, Any] = {name: part.numpy() for name, part in kept.parts().items()}
    np.savez(out / "starts.npz", first=last.numpy(), gradients=grads.numpy(), **arrays)


def _outline(axis: Any, hypers: Hypers, g: int, most: float) -> None:
    """The learned density: of equal mass between quantiles, or a normal one."""
    if hypers.init_bins is not None:
        edges = quantiles(hypers.init_bins[g].double()).numpy()
        density = 1 / (len(edges) - 1) / np.diff(edges)
        axis.stairs(density, edges, color=BAD, linewidth=1.1, label="learned density")
        axis.set_ylim(0, 4 * float(np.median(density)))  # two quantiles close together would hide the rest
    elif hypers.log_init_scale is not None:
        s = float(hypers.log_init_scale[g].exp())
        x = np.linspace(-most, most, 200)
        axis.plot(x, np.exp(-0.5 * (x / s) ** 2) / s / (2 * np.pi) ** 0.5, color=BAD, linewidth=1.1,
                  label="learned density")  # fmt: skip
