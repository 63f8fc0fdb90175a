"""A quadratic bowl, whose training and hypergradients have a closed form: an independent reference.

    inner  ½ (x−c)ᵀA(x−c) + ½ Σ λx²,    outer  ½ ‖x_T − d‖²,    A = Q diag(a) Qᵀ

Along each eigenvector the heavy ball is a 2×2 matrix. With h = a + λ, z = Qᵀ(x − x*) and x* = (A+λ)⁻¹Ac,

    (z, v)_{t+1} = M_t (z, v)_t,    M = ( 1 − α(1−β)h   αβ )
                                        (   −(1−β)h      β )

so that x_T takes nothing but a product of T such matrices, or a power of one where the rates are constant.
Derivatives come by the complex step, f′(λ) = Im f(λ + iε)/ε, exact to the last digits: no difference is taken and
no automatic differentiation is involved (Squire & Trapp 1998).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import reduce

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from meta.dynamics import HeavyBall
from meta.hypers import Hypers
from meta.problem import Layout, Piece, Problem

EPS = 1e-30  # the complex step; its square is lost beside 1, so the derivative has no truncation error
Array = NDArray[np.complex128]


@dataclass(frozen=True, eq=False)
class Quadratic:
    """float64 all. The target c is learned if hypers.other has "target"."""

    curvature: Tensor  # [P] a > 0
    target: Tensor  # [P] c
    goal: Tensor  # [P] d
    steps: int
    basis: Tensor | None = None  # [P, P] Q; None where A is diagonal
    groups: tuple[int, ...] = ()  # sizes of the groups of parameters, one group if empty
    dynamics: HeavyBall = field(default_factory=HeavyBall)

    def __post_init__(self) -> None:
        if sum(self.sizes) != len(self.curvature):
            raise ValueError(f"groups: {self.groups} do not add up to {len(self.curvature)} parameters")
        if self.basis is not None and len(self.sizes) > 1:
            raise ValueError(
                "groups: their rates differ, and so mix the eigenvectors; leave out the basis or the groups"
            )

    @property
    def sizes(self) -> tuple[int, ...]:
        """The number of parameters of each group."""
        return self.groups or (len(self.curvature),)

    def init(self, seed: int) -> Tensor:  # -> [P]
        """Standard normal first weights, float64."""
        generator = torch.Generator().manual_seed(seed)
        draws = torch.randn(len(self.curvature), generator=generator, dtype=torch.float64)
        return draws.to(self.curvature.device)

    def problem(self) -> Problem:
        """The bowl as a Problem, to be trained by the methods."""
        pieces = tuple(Piece(f"x{g}", (size,), g) for g, size in enumerate(self.sizes))

        def inner_loss(x: Tensor, h: Hypers, batch: tuple[()]) -> Tensor:
            off = x - h.other.get("target", self.target).to(x.dtype)
            along = off if self.basis is None else self.basis.to(x.dtype).T @ off
            return 0.5 * (self.curvature.to(x.dtype) * along * along).sum()

        def outer_loss(x: Tensor, h: Hypers) -> Tensor:
            return 0.5 * (x - self.goal.to(x.dtype)).square().sum()

        return Problem(
            Layout(pieces), self.steps, self.init, inner_loss, outer_loss, lambda t, seed: (), self.dynamics
        )

    def exact(self, hypers: Hypers, seed: int = 0) -> tuple[float, Hypers]:
        """The outer loss and its gradient. Schedules have T rows, or one where they are constant."""
        parts = {name: part.detach().double().cpu().numpy() for name, part in hypers.parts().items()}
        value = self._outer(parts, seed).real
        grads = {name: np.empty_like(part) for name, part in parts.items()}
        for name, part in parts.items():
            for at in np.ndindex(part.shape):
                moved = part.astype(complex)
                moved[at] += 1j * EPS
                grads[name][at] = self._outer(parts | {name: moved}, seed).imag / EPS
        return float(value), Hypers.of({name: torch.from_numpy(grad) for name, grad in grads.items()})

    def _outer(self, parts: Mapping[str, NDArray], seed: int) -> complex:
        scale = self._spread(np.exp(parts.get("log_init_scale", np.zeros(len(self.sizes)))))  # [P]
        x0 = self._along(scale * _array(self.init(seed)))
        target = self._along(parts.get("other.target", _array(self.target)))
        h = _array(self.curvature) + self._l2(parts)
        rest = _array(self.curvature) * target / h  # x*
        z = self._power(parts, h)[:, 0, 0] * (x0 - rest)  # v₀ = 0
        off = rest + z - self._along(_array(self.goal))
        return 0.5 * (off * off).sum()

    def _power(self, parts: Mapping[str, NDArray], h: Array) -> Array:  # -> [P, 2, 2], M_{T−1} … M₀
        alpha, beta = self._rates(parts)
        blocks = [_block(a, b, h) for a, b in zip(*np.broadcast_arrays(alpha, beta), strict=True)]
        if len(blocks) == 1:
            return np.linalg.matrix_power(blocks[0], self.steps)
        if len(blocks) != self.steps:
            raise ValueError(f"schedules have {len(blocks)} rows; give 1 or {self.steps}")
        return reduce(lambda before, block: block @ before, blocks)

    def _rates(self, parts: Mapping[str, NDArray]) -> tuple[Array, Array]:  # [T, P] each, or [1, P]
        own = np.ones((1, len(self.sizes)))
        alpha = np.exp(parts["log_lr"]) if "log_lr" in parts else self.dynamics.lr * own
        logit = parts.get("logit_momentum")
        beta = self.dynamics.momentum * own if logit is None else 1 / (1 + np.exp(-logit))
        if (
            d := self.dynamics.denominator
        ):  # rounded as in meta.dynamics, its derivative passed straight through
            beta = np.clip(np.round(beta.real * d), 1, d) / d + 1j * beta.imag
        return self._spread(alpha), self._spread(beta)

    def _l2(self, parts: Mapping[str, NDArray]) -> NDArray:  # -> [P], or [1]
        log = parts.get("log_l2")
        if log is None:
            return np.zeros(1)
        if len(log) > 1 and (self.basis is not None or len(log) != len(self.curvature)):
            raise ValueError(f"log_l2 has {len(log)} entries; give 1, or without a basis one a parameter")
        return np.exp(log)

    def _spread(self, values: NDArray) -> NDArray:  # [..., G] -> [..., P]
        return np.repeat(values, self.sizes, axis=-1)

    def _along(self, x: NDArray) -> NDArray:  # [P] -> [P]: along the eigenvectors
        return x if self.basis is None else _array(self.basis).T @ x


def rotated(curvature: Tensor, steps: int, seed: int = 0, dynamics: HeavyBall | None = None) -> Quadratic:
    """With eigenvectors, target and goal drawn from the seed."""
    generator = torch.Generator().manual_seed(seed)
    n = len(curvature)
    square, target, goal = torch.randn(n + 2, n, generator=generator, dtype=torch.float64).split([n, 1, 1])
    basis = torch.linalg.qr(square).Q
    return Quadratic(curvature, target[0], goal[0], steps, basis, dynamics=dynamics or HeavyBall())


def _block(alpha: Array, beta: Array, h: Array) -> Array:  # [P] each -> [P, 2, 2]
    pushed = (1 - beta) * h
    return np.stack([1 - alpha * pushed, alpha * beta, -pushed, beta], -1).reshape(-1, 2, 2)


def _array(tensor: Tensor) -> NDArray:
    return tensor.detach().double().cpu().numpy()
