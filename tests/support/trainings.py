"""Small trainings that the tests of the methods share: two nets, two optimisers, every kind of hyperparameter."""

import weakref
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from meta import Hypers, Problem
from meta.dynamics import Adam, HeavyBall, Rates, State
from meta.problems.nets import Examples, network

N, D, C = 24, 4, 3
NETS: dict[str, tuple[int, ...]] = {"logistic": (), "tanh": (5,)}
DYNAMICS = {"heavy ball": HeavyBall(lr=0.3, momentum=0.8), "adam": Adam(lr=0.05, momentum=0.8)}
GRANULARITIES = ("one", "layer", "unit", "weight")


def training(
    net: str = "tanh",
    dynamics: str | HeavyBall | Adam = "heavy ball",
    steps: int = 9,
    device: str = "cpu",
) -> Problem:
    """other.push tilts both losses, the outer one by a plain sum."""
    draws = torch.Generator().manual_seed(3)
    images = torch.randn(2 * N, D, generator=draws, dtype=torch.float64)
    labels = torch.randint(0, C, (2 * N,), generator=draws)
    images, labels = images.to(device), labels.to(device)
    train, valid = Examples(images[:N], labels[:N]), Examples(images[N:], labels[N:])
    law = DYNAMICS[dynamics] if isinstance(dynamics, str) else dynamics
    plain = network(train, valid, NETS[net], steps=steps, batch=8, classes=C, dynamics=law)

    def inner(x: Tensor, h: Hypers, batch: tuple[Tensor, ...]) -> Tensor:
        push = h.other.get("push")
        return plain.inner_loss(x, h, batch) + (
            0 if push is None else push[0] * x.square().sum() + push[1] * x.sum()
        )

    def outer(x: Tensor, h: Hypers) -> Tensor:
        return plain.outer_loss(x, h) + (h.other["push"].sum() if "push" in h.other else 0)

    return replace(plain, inner_loss=inner, outer_loss=outer)


def every_part(problem: Problem, granularity: str = "weight", seed: int = 0) -> Hypers:
    draws = torch.Generator().manual_seed(seed)

    def some(*shape: int, scale: float = 0.1) -> Tensor:
        return scale * torch.randn(shape, generator=draws, dtype=torch.float64)

    T, G = problem.steps, problem.layout.G
    penalties = {name: n for n, name in problem.layout.granularities.items()} | {"one": 1}
    rate = -1.0 if isinstance(problem.dynamics, HeavyBall) else -3.0
    return Hypers(
        log_lr=some(T, G) + rate,
        logit_momentum=some(T, G) + 1.5,
        log_init_scale=some(G) - 0.5,
        init_bins=some(G, 5, scale=0.3),
        log_l2=some(penalties.get(granularity, 1)) - 3,  # a net of one layer has one penalty for it
        data=some(N, D, scale=1.0),
        labels=some(N, C, scale=1.0),
        other={"push": some(2)},
    )


def several(problem: Problem, settings: int, granularity: str = "weight") -> Hypers:
    """With an axis of settings in front."""
    each = [every_part(problem, granularity, seed).parts() for seed in range(settings)]
    return Hypers.of({name: torch.stack([parts[name] for parts in each]) for name in each[0]})


def apart(a: Hypers, b: Hypers) -> float:
    """The largest relative error of a part; what is missing, zero or not finite counts as infinite."""
    left, right = a.parts(), b.parts()
    if left.keys() != right.keys() or any(left[name].shape != right[name].shape for name in left):
        return float("inf")
    errors = [(left[name] - right[name]).norm() / right[name].norm() for name in left]
    return float(torch.stack(errors).nan_to_num(nan=torch.inf).max())


@dataclass(frozen=True)
class Counted(HeavyBall):
    """A heavy ball that counts its steps and how many of its states are alive, now and at most."""

    alive: list[weakref.ref] = field(default_factory=list)
    most: list[int] = field(default_factory=lambda: [0])
    steps: list[int] = field(default_factory=lambda: [0])

    def step(self, state: State, g: Tensor, rates: Rates) -> State:
        after = super().step(state, g, rates)
        self.steps[0] += 1
        self.alive[:] = [ref for ref in self.alive if ref() is not None] + [weakref.ref(after[0])]
        self.most[0] = max(self.most[0], len(self.alive))
        return after
