"""The start of a meta-training from its settings: the problem, its ties, and the first hyperparameters."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from meta.dynamics import Adam, Dynamics, HeavyBall
from meta.hypers import Hypers, Parts
from meta.inner.first_weights import bins_of, normal_bins, quantiles
from meta.inner.ties import Tie, Ties, constant, linear, piecewise
from meta.problem import Problem
from meta.problems.digits import Split, digits, mnist
from meta.problems.nets import network
from meta.refusals import dtype_of
from meta.train.config import Config

BINS = 9  # quantiles of the first weights: eighths
SURE = 5.0  # logit of a label's own class to begin with: 94 % of ten classes
CLASSES = 10
PLAIN: dict[str, Callable[[int, int], Tie]] = {
    "constant": lambda steps, _: constant(steps), "piecewise": piecewise, "linear": linear
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Setup:
    """The problem of a meta-training, its length, and the ties of its hyperparameters."""

    config: Config
    split: Split
    steps: int  # T; half of it after the guards have shortened

    @cached_property
    def problem(self) -> Problem:
        """The network to train, for `steps` steps."""
        config, split = self.config, self.split
        return network(
            split.train, split.valid, config.hidden, steps=self.steps, batch=config.batch, test=split.test,
            classes=CLASSES, dynamics=_dynamics(config),
        )  # fmt: skip

    @property
    def fixed(self) -> Hypers | None:
        """The scale of the first weights, where nothing of them is learned."""
        if {"log_init_scale", "init_bins"} & {*self.config.learn}:
            return None
        scale = torch.full((self.problem.layout.G,), math.log(self.config.init_scale))
        return Hypers(log_init_scale=scale.to(self.split.train.images.device))

    @property
    def ties(self) -> Ties:
        """The tie of rates and momenta along the steps, for those that are learned."""
        if self.config.tie == "none":
            return {}
        tie = PLAIN[self.config.tie](self.steps, self.config.tie_pieces)
        return {name: tie for name in ("log_lr", "logit_momentum") if name in self.config.learn}

    def hypers(self) -> Hypers:
        """The initial hyperparameters."""
        config, train, layout = self.config, self.split.train, self.problem.layout
        rows = config.pieces or self.steps
        scale = 1.0 if "log_init_scale" in config.learn else config.init_scale
        made: dict[str, Callable[[], Tensor]] = {
            "log_lr": lambda: torch.full((rows, layout.G), math.log(config.lr)),
            "logit_momentum": lambda: torch.full(
                (rows, layout.G), math.log(config.momentum / (1 - config.momentum))
            ),
            "log_init_scale": lambda: torch.full((layout.G,), math.log(config.init_scale)),
            "init_bins": lambda: _bins(scale).repeat(layout.G, 1),
            "log_l2": lambda: torch.full(
                (_entries(layout.granularities, config.l2_per),), math.log(config.l2)
            ),
            "data": lambda: train.images.clone(),
            "labels": lambda: SURE * one_hot(train.labels, CLASSES),
        }
        dtype, device = dtype_of(config.precision), train.images.device
        parts: Parts = {name: made[name]().to(device, dtype) for name in config.learn}
        return Hypers.of(parts)

    def shortened(self, hypers: Hypers) -> tuple["Setup", Hypers]:
        """Half as many steps, and the hyperparameters of the first half."""
        half = replace(self, steps=self.steps // 2)
        if self.config.tie != "none":
            return half, hypers
        cut = {
            n: part[: half.steps] if n in ("log_lr", "logit_momentum") else part
            for n, part in hypers.parts().items()
        }
        return half, Hypers.of(cut)

    @property
    def shortest(self) -> int:
        """Fewer steps than this can't be cut into the ties' pieces, or walked back by `truncated`."""
        return max(self.config.pieces, self.config.options.get("last") or 1)


def begin(config: Config, device: str) -> Setup:
    """Loads the examples. Raises ValueError, FileNotFoundError."""
    _refuse(device)
    sizes = config.train_examples, config.valid_examples
    if config.data == "digits":
        return Setup(config, digits(*sizes, seed=config.split_seed, device=device), config.steps)
    return Setup(config, mnist(config.data, *sizes, seed=config.split_seed, device=device), config.steps)


def _dynamics(config: Config) -> Dynamics:
    return {"heavy_ball": HeavyBall, "adam": Adam}[config.optimizer](lr=config.lr, momentum=config.momentum)


def _bins(scale: float) -> Tensor:
    """Quantiles of N(0, scale²), as gaps that a softplus makes."""
    return bins_of(scale * quantiles(normal_bins(BINS)))


def _entries(granularities: dict[int, str], wanted: str) -> int:
    """How many penalties that is. Where layers and one are the same number, the last name is the one kept."""
    return next((n for n, name in granularities.items() if name == wanted), 1)


def _refuse(device: str) -> None:
    try:
        where = torch.device(device)
    except RuntimeError as error:
        raise ValueError(f"device = {device!r} is not a device; give cpu, cuda or cuda:1") from error
    if where.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(
            f"device = {device!r} was asked for, but PyTorch finds no CUDA device here; give cpu"
        )
