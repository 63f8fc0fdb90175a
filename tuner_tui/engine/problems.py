"""Problems on which samplers can be compared without training anything: a loss is computed at once.

Four of them are functions of the BBOB suite, written from their definitions (Hansen, Finck, Ros & Auger, Real-
Parameter Black-Box Optimization Benchmarking 2009: Noiseless Functions Definitions, INRIA RR-6829), with instances of
our own: optimum and rotation are drawn anew for each repeat. Three look like trainings; two of these have planted
crashes. No sampler was tuned on any of them.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..search.search import Search
from ..search.space import Choice, Float, Hyperparameter, Int, Space

if TYPE_CHECKING:
    from numpy import ndarray

DIMENSION = 4  # of the functions from BBOB: as many hyperparameters as people vary
Loss = Callable[[Mapping[str, Any]], float | None]


@dataclass(frozen=True)
class Problem:
    """A space, and a loss over it for each instance; None: the trial would have crashed."""

    name: str
    about: str
    space: Space
    instance: Callable[[int], Loss]  # of a repeat's number

    def search(self, sampler: str, trials: int, seed: int) -> Search:
        """The search that a sampler is asked with."""
        return Search(self.name, "", "loss", self.space, sampler=sampler, trials=trials, seed=seed)


def _cube(function: Callable[[int], Callable[[ndarray], float]]) -> Callable[[int], Loss]:
    """An instance over x1 ... xD from a function of a vector."""

    def instance(number: int) -> Loss:
        from numpy import array

        f = function(number)
        return lambda params: float(f(array([params[f"x{k + 1}"] for k in range(DIMENSION)])))

    return instance


_CUBE = Space(tuple(Hyperparameter(f"x{k + 1}", Float(-5.0, 5.0)) for k in range(DIMENSION)))


def _optimum(number: int) -> ndarray:
    """[D], uniform in [-4, 4], as in section 0.2."""
    from numpy.random import default_rng

    return default_rng([number, 1]).uniform(-4, 4, DIMENSION)


def _rotation(number: int) -> ndarray:
    """[D, D], orthogonal, uniform (a QR decomposition of normal numbers)."""
    from numpy import diag, sign
    from numpy.linalg import qr
    from numpy.random import default_rng

    q, r = qr(default_rng([number, 2]).standard_normal((DIMENSION, DIMENSION)))
    return q * sign(diag(r))


def _oscillated(x: ndarray) -> ndarray:
    """T_osz of section 0.2: small irregularities that leave the order of values as it is."""
    from numpy import abs, exp, log, sign, sin, where

    logs = log(where(x == 0, 1.0, abs(x)))
    c1, c2 = where(x > 0, 10.0, 5.5), where(x > 0, 7.9, 3.1)
    return sign(x) * exp(logs + 0.049 * (sin(c1 * logs) + sin(c2 * logs))) * (x != 0)


def _asymmetric(x: ndarray, beta: float) -> ndarray:
    """T_asy^beta of section 0.2."""
    from numpy import arange, maximum, sqrt, where

    power = 1 + beta * arange(len(x)) / (len(x) - 1) * sqrt(maximum(x, 0))
    return where(x > 0, maximum(x, 0) ** power, x)


def _conditioned(alpha: float) -> ndarray:
    """[D], the diagonal of Lambda^alpha."""
    from numpy import arange

    return alpha ** (0.5 * arange(DIMENSION) / (DIMENSION - 1))


def _sphere(number: int) -> Callable[[ndarray], float]:
    """f1."""
    at = _optimum(number)
    return lambda x: ((x - at) ** 2).sum()


def _rastrigin(number: int) -> Callable[[ndarray], float]:
    """f3, with about 10^D local optima."""
    from numpy import cos, pi

    at, scale = _optimum(number), _conditioned(10.0)

    def f(x: ndarray) -> float:
        z = scale * _asymmetric(_oscillated(x - at), 0.2)
        return 10 * (DIMENSION - cos(2 * pi * z).sum()) + (z**2).sum()

    return f


def _rosenbrock(number: int) -> Callable[[ndarray], float]:
    """f8: a bent valley."""
    at = 0.75 * _optimum(number)  # in [-3, 3], as the definition has it
    scale = max(1.0, math.sqrt(DIMENSION) / 8)

    def f(x: ndarray) -> float:
        z = scale * (x - at) + 1
        return (100 * (z[:-1] ** 2 - z[1:]) ** 2 + (z[:-1] - 1) ** 2).sum()

    return f


def _ellipsoid(number: int) -> Callable[[ndarray], float]:
    """f10: rotated, with a condition number of 10^6."""
    at, rotation, weights = _optimum(number), _rotation(number), _conditioned(1e6) ** 2
    return lambda x: (weights * _oscillated(rotation @ (x - at)) ** 2).sum()


def _cliff(number: int) -> Loss:
    """The loss falls with the learning rate up to where training diverges, the earlier the larger the momentum."""
    rng = random.Random(f"cliff {number}")
    edge, best_width = rng.uniform(-2.5, -1.0), rng.uniform(5, 8)

    def loss(params: Mapping[str, Any]) -> float | None:
        rate = math.log10(params["lr"]) - math.log10(
            1 - params["momentum"]
        )  # of a step, with all that follows it
        if rate > edge:
            return None
        width = (math.log2(params["width"]) - best_width) ** 2
        return 0.1 + 0.3 * (edge - rate) + 0.05 * width + 2 * (params["dropout"] - 0.2) ** 2

    return loss


def _memory(number: int) -> Loss:
    """Larger models are better until they do not fit; how large one is depends on its kind, which decides what else
    there is to choose."""
    rng = random.Random(f"memory {number}")
    room, best_rate = rng.uniform(2.5e4, 1e5), rng.uniform(-4, -2)

    def loss(params: Mapping[str, Any]) -> float | None:
        convolutional = params["kind"] == "conv"
        depth = params["depth"] if convolutional else 4 * params["blocks"]
        heads = 1.0 if convolutional else params["heads"]
        size = params["width"] * depth * (1.0 if convolutional else 1.0 + heads / 2)
        if size > room:
            return None
        fit = 3.0 - 0.25 * math.log(size) - (0.1 if not convolutional and heads == 4 else 0.0)
        return fit + 0.2 * (math.log10(params["lr"]) - best_rate) ** 2

    return loss


def _few_matter(number: int) -> Loss:
    """Nine hyperparameters of which two matter, and a loss that differs from run to run."""
    rng = random.Random(f"few {number}")
    two = rng.sample(range(9), 2)
    at = [rng.uniform(0.1, 0.9) for _ in two]

    def loss(params: Mapping[str, Any]) -> float | None:
        far = sum((params[f"h{k + 1}"] - best) ** 2 for k, best in zip(two, at, strict=True))
        return 0.5 + far + rng.gauss(0, 0.02)

    return loss


_RATE = Hyperparameter("lr", Float(1e-5, 1.0, log=True))

PROBLEMS: tuple[Problem, ...] = (
    Problem("sphere", "BBOB f1", _CUBE, _cube(_sphere)),
    Problem("rastrigin", "BBOB f3, many local optima", _CUBE, _cube(_rastrigin)),
    Problem("rosenbrock", "BBOB f8, a bent valley", _CUBE, _cube(_rosenbrock)),
    Problem("ellipsoid", "BBOB f10, rotated and badly conditioned", _CUBE, _cube(_ellipsoid)),
    Problem(
        "cliff",
        "the best learning rates lie at the edge of those that diverge",
        Space(
            (
                _RATE,
                Hyperparameter("momentum", Float(0.0, 0.99)),
                Hyperparameter("width", Int(8, 1024, log=True)),
                Hyperparameter("dropout", Float(0.0, 0.8)),
            )
        ),
        _cliff,
    ),
    Problem(
        "memory",
        "large models are good until they do not fit; with conditions",
        Space(
            (
                _RATE,
                Hyperparameter("width", Int(16, 2048, log=True)),
                Hyperparameter("kind", Choice(("conv", "attention"))),
                Hyperparameter("depth", Int(2, 64, log=True), when=(("kind", ("conv",)),)),
                Hyperparameter("blocks", Int(1, 16), when=(("kind", ("attention",)),)),
                Hyperparameter("heads", Choice((1, 2, 4, 8)), when=(("kind", ("attention",)),)),
            )
        ),
        _memory,
    ),
    Problem(
        "few-matter",
        "two of nine hyperparameters matter, with noise",
        Space(tuple(Hyperparameter(f"h{k + 1}", Float(0.0, 1.0)) for k in range(9))),
        _few_matter,
    ),
)
