"""Test problems of the ladder: small enough for cheap references, with every kind of hyperparameter.

One tanh network of 27 parameters serves all but implicit differentiation, which needs a training that has arrived:
a softmax regression with a ridge, strongly convex, at whose minimum 60 steps end to the last digit.
"""

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from meta.dynamics import Adam, Dynamics, HeavyBall
from meta.hypers import Hypers, Parts
from meta.inner.steps import Inner
from meta.methods.method import Method, Slope
from meta.problem import Problem
from meta.problems.nets import Examples, network
from meta.problems.transforms import Transform, half_normal

D, HIDDEN, CLASSES = 4, 3, 3
N, BATCH, T = 12, 6, 12
BINS = 5
# On the grid n/2¹⁶, so that rounding β moves nothing and differences may be taken without it.
BETA = 57344 / 2**16

HEAVY_BALL = HeavyBall(lr=0.5, momentum=BETA)
# ε is large: below it Adam is smooth, above it a step is the sign of a gradient, which no difference can follow.
ADAM = Adam(lr=0.03, momentum=BETA, eps=0.1)
# Images of four pixels. The times are all positive: a loss even in the generator would have little gradient.
TRANSFORM = Transform(2, 2, "dense", times=half_normal)
DYNAMICS: dict[str, Dynamics] = {"HeavyBall": HEAVY_BALL, "Adam": ADAM}


@dataclass(frozen=True, eq=False)
class Case:
    """A problem, and the values of the parts that are moved."""

    problem: Problem
    parts: Parts
    device: torch.device

    def inner(self, dtype: torch.dtype = torch.float64) -> Inner:
        """The inner training as a single run with seed 0."""
        return Inner(self.problem, (0,), None, dtype, self.device)

    def slope(self, method: Method, dtype: torch.dtype = torch.float64) -> Slope:
        """The hypergradient that `method` computes for this case, its parts converted to `dtype`."""
        return method(self.inner(dtype), {name: part.to(dtype) for name, part in self.parts.items()})

    def refuses(self, method: Method) -> str | None:
        """Why `method` does not accept this case, or None."""
        return method.refuses(self.inner(), self.parts)

    def unrounded(self) -> "Case":
        """The same case without rounding β: finite differences do not see a rounded value."""
        dynamics = self.problem.dynamics
        assert isinstance(dynamics, HeavyBall | Adam)
        free = dataclasses.replace(dynamics, denominator=None)
        return dataclasses.replace(self, problem=dataclasses.replace(self.problem, dynamics=free))

    def value(self, parts: Parts) -> float:
        """By plain training, float64, nothing rounded."""
        return self.unrounded().inner().value(parts).item()


def _draws(seed: int, device: torch.device) -> Callable[..., Tensor]:
    generator = torch.Generator().manual_seed(seed)  # on the CPU: every device gets the same numbers
    return lambda *shape: torch.randn(*shape, generator=generator, dtype=torch.float64).to(device)


def _examples(device: torch.device) -> tuple[Examples, Examples]:
    normal = _draws(1, device)
    labels = torch.arange(N) % CLASSES
    train = Examples(normal(N, D), labels.to(device))
    return train, Examples(normal(N, D), labels.to(device))


def tanh_network(
    device: torch.device, dynamics: Dynamics = HEAVY_BALL, steps: int = T, batch: int = BATCH
) -> Problem:
    """A network of 27 parameters with one tanh layer."""
    train, valid = _examples(device)
    plain = network(
        train,
        valid,
        (HIDDEN,),
        steps=steps,
        batch=batch,
        classes=CLASSES,
        dynamics=dynamics,
        transform=TRANSFORM,
    )
    return _reading_other(plain)


def convex(device: torch.device, steps: int = 60, ridge: float = 0.3) -> Problem:
    """Softmax regression, all examples at each step; the ridge makes its minimum one and quickly found."""
    train, valid = _examples(device)
    dynamics = HeavyBall(lr=1.0, momentum=0.25)
    still = dataclasses.replace(TRANSFORM, times=_always)  # where the loss moves on nothing can arrive
    plain = network(train, valid, steps=steps, batch=N, classes=CLASSES, dynamics=dynamics, transform=still)
    return _reading_other(plain, ridge)


def _always(step: int, seed: int, rows: Tensor) -> Tensor:
    """The same times for an example at each step."""
    return 0.2 + rows / N


def _reading_other(plain: Problem, ridge: float = 0.0) -> Problem:
    """The same problem with losses that also read `other["tilt"]` [P]."""

    def inner_loss(x: Tensor, h: Hypers, some: Any) -> Tensor:
        loss = plain.inner_loss(x, h, some) + 0.5 * ridge * (x * x).sum()
        return loss + (h.other["tilt"].sin() * x).sum() if "tilt" in h.other else loss

    def outer_loss(x: Tensor, h: Hypers) -> Tensor:
        loss = plain.outer_loss(x, h)
        return loss + 0.1 * h.other["tilt"].cos().sum() if "tilt" in h.other else loss

    return dataclasses.replace(plain, inner_loss=inner_loss, outer_loss=outer_loss)


# ── every kind of hyperparameter, alone ──


def kinds(problem: Problem, device: torch.device) -> dict[str, Parts]:
    """Example values for each kind of hyperparameter, by name; log_l2 at each granularity."""
    normal = _draws(2, device)
    steps, layout = problem.steps, problem.layout
    G = layout.G
    n = 57344 + (4096 * normal(steps, G)).round()  # around BETA, on its grid
    beta = n.clamp(2**14, 2**16 - 2**10) / 2**16
    found: dict[str, Parts] = {
        "log_lr": {"log_lr": math.log(_lr(problem)) + 0.2 * normal(steps, G)},
        "logit_momentum": {"logit_momentum": (beta / (1 - beta)).log()},
        "log_init_scale": {"log_init_scale": -0.5 + 0.3 * normal(G)},
        "init_bins": {"init_bins": torch.cat([-1.5 + 0.1 * normal(G, 1), 0.3 * normal(G, BINS - 1)], 1)},
    }
    found["init"] = {"init": 0.7 * normal(layout.P)}
    for entries, name in sorted(layout.granularities.items()):
        found[f"log_l2 by {name}"] = {"log_l2": -3 + 0.5 * normal(entries)}
    found["data"] = {"data": normal(N, D)}
    found["labels"] = {"labels": normal(N, CLASSES)}
    found["generator"] = {"generator": 0.1 * normal(*TRANSFORM.shape)}
    found["other"] = {"other.tilt": 0.2 * normal(layout.P)}
    return found


def _lr(problem: Problem) -> float:
    assert isinstance(problem.dynamics, HeavyBall | Adam)
    return problem.dynamics.lr


def everything(problem: Problem, device: torch.device) -> Parts:
    """All kinds at once; log_l2 at its finest granularity."""
    return {name: part for each in kinds(problem, device).values() for name, part in each.items()}
