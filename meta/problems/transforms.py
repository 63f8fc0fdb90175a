"""Learned augmentation: examples are moved along the flow of a generator A, y = exp(At) x, t drawn for each.

A says what an infinitesimal change of an image is: one matrix, or a small stencil around every pixel, the same one
for all (so it commutes with translations) or one each. exp(At) is never formed; twelve terms of its series act on x:

    y = Σ_{n ≤ 12} (tA)ⁿ x / n!,    |y − exp(At) x|∞ ≤ s eᶿ (θ/s)¹³/13! |x|∞,    θ = |t| ‖A‖∞

where s pieces of it follow each other (Al-Mohy & Higham 2011, section 3). At θ/s = 1 that is 4e-10 s.

A = 0 is a stationary point if t is as often −τ as τ: the loss is then even in A. Start from `Transform.start`, or
draw t with E[t] ≠ 0 (`half_normal`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil, exp, factorial
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn.functional import pad

from meta.batches import generator_at
from meta.hypers import Hypers

TERMS = 12
_STREAM = 1  # of the random numbers; batches draw from stream 0
Kind = Literal["local", "shared", "dense"]
KINDS: tuple[Kind, ...] = get_args(Kind)
Times = Callable[[int, int, Tensor], Tensor]  # step, seed, rows [B] -> t [B]


def normal(step: int, seed: int, rows: Tensor) -> Tensor:
    """N(0, 1), drawn anew for each example of each step."""
    return torch.randn(len(rows), generator=generator_at(seed, step, _STREAM)).to(rows.device)


def half_normal(step: int, seed: int, rows: Tensor) -> Tensor:
    """|N(0, 1)|, whose mean is √(2/π)."""
    return normal(step, seed, rows).abs()


def two_normal(step: int, seed: int, rows: Tensor) -> Tensor:
    """Two of N(0, 1) for each example, for a `pair`.  [B, 2]"""
    return torch.randn(len(rows), 2, generator=generator_at(seed, step, _STREAM)).to(rows.device)


def learned_times(h: Hypers, z: Tensor) -> Tensor:
    """t = μ + σz where h.other["time"] holds (μ, log σ), and z where it is not there."""
    time = h.other.get("time")
    return z if time is None else time[0] + time[1].exp() * z


@dataclass(frozen=True)
class Transform:
    """Of images with height × width = D pixels. `smoothness` λ: the outer loss gets ½λ Σ (A_p − A_q)² over pixels
    p, q side by side. `antisymmetric`: A − Aᵀ acts, so that exp is a rotation and no image grows or fades.
    `pair`: A acts for a time t₁, then Aᵀ for a time of its own, y = exp(Aᵀt₂) exp(At₁) x; `times` gives both, [B, 2].
    """

    height: int
    width: int
    kind: Kind = "local"
    stencil: int = 3  # k; 3 sees a pixel's 8 neighbours, 5 sees 24
    antisymmetric: bool = False
    pair: bool = False
    smoothness: float = 0.0
    pieces: int = 1  # s. Fixed ahead: a loop as long as A asks for would make a GPU wait; see `enough`
    times: Times = normal

    def __post_init__(self) -> None:
        if self.stencil % 2 == 0 or self.stencil < 3:
            raise ValueError(f"stencil: {self.stencil} has no pixel in its middle; give 3 or 5")
        if self.smoothness and self.kind != "local":
            raise ValueError(
                f"smoothness: a {self.kind} generator has no neighbours; give 0, or kind='local'"
            )

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape that a generator A must have."""
        D, k2 = self.height * self.width, self.stencil**2
        return {"local": (D, k2), "shared": (k2,), "dense": (D, D)}[self.kind]

    def start(self, size: float = 1e-2, seed: int = 0) -> Tensor:
        """A small random A: away from zero, where the gradient may vanish."""
        return size * torch.randn(self.shape, generator=torch.Generator().manual_seed(seed))

    def __call__(self, A: Tensor, t: Tensor, images: Tensor) -> Tensor:
        """exp(At) x.  [*shape], [B] or, for a pair, [B, 2], [B, D] -> [B, D]"""
        y = images.to(A.dtype)
        a = self._acting(A)
        if not self.pair:
            return self._flow(a, t, y)
        return self._flow(self._transposed(a), t[:, 1], self._flow(a, t[:, 0], y))

    def _flow(self, a: Tensor, t: Tensor, y: Tensor) -> Tensor:
        act = self._action(a)
        for _ in range(self.pieces):
            term = y
            for n in range(1, TERMS + 1):
                term = act(term) * (t / (self.pieces * n)).to(a.dtype)[:, None]
                y = y + term
        return y

    def matrix(self, A: Tensor) -> Tensor:  # -> [D, D], to look at
        """A as a dense matrix."""
        return self._action(self._acting(A))(
            torch.eye(self.height * self.width, dtype=A.dtype, device=A.device)
        ).T

    def penalty(self, A: Tensor) -> Tensor | float:
        """The smoothness penalty of the outer loss, []; 0 if `smoothness` is 0."""
        if not self.smoothness:
            return 0.0
        maps = self._checked(A).view(self.height, self.width, -1)
        rough = maps.diff(dim=0).square().sum() + maps.diff(dim=1).square().sum()
        return 0.5 * self.smoothness * rough

    def error(self, A: Tensor, t: float) -> float:
        """The bound above, relative to |x|∞."""
        theta = abs(t) * self._norm(A)
        return self.pieces * exp(theta) * (theta / self.pieces) ** (TERMS + 1) / factorial(TERMS + 1)

    def enough(self, A: Tensor, t: float, tolerance: float = 1e-6) -> int:
        """How many pieces keep that bound below the tolerance, for this A and as far as t."""
        theta = abs(t) * self._norm(A)
        whole = exp(theta) * theta ** (TERMS + 1) / factorial(TERMS + 1)
        return max(1, ceil((whole / tolerance) ** (1 / TERMS)))

    def _norm(self, A: Tensor) -> float:
        """‖A‖∞, the largest sum of a row; what a stencil has beyond the image's edge counts too."""
        with torch.no_grad():
            return self._acting(A).abs().sum(-1).max().item()

    def _action(self, a: Tensor) -> Callable[[Tensor], Tensor]:
        if self.kind == "dense":
            return lambda x: x @ a.T
        if self.kind == "local":
            a = a.view(self.height, self.width, -1)
        weights = a.unbind(-1)

        def act(x: Tensor) -> Tensor:  # (Ax)_p = Σ_o a_o x_{p+o}, black beyond the edge
            near = self._around(x.view(-1, self.height, self.width))
            y = weights[0] * near[0]
            for w, other in zip(weights[1:], near[1:], strict=True):
                y = y + w * other
            return y.flatten(1)

        return act

    def _acting(self, A: Tensor) -> Tensor:
        """A, or A − Aᵀ."""
        A = self._checked(A)
        return A - self._transposed(A) if self.antisymmetric else A

    def _transposed(self, A: Tensor) -> Tensor:
        """Transposed, a stencil is turned half round, and what p says of q is said by q of p."""
        if self.kind == "dense":
            return A.T
        turned = A.flip(-1)
        if self.kind == "shared":
            return turned
        around = self._around(turned.T.reshape(-1, self.height, self.width))  # [k², H, W] each
        return torch.stack([maps[o] for o, maps in enumerate(around)], -1).flatten(0, 1)

    def _around(self, x: Tensor) -> list[Tensor]:  # [..., H, W] -> as many for each o of the stencil
        k, H, W = self.stencil, self.height, self.width
        wide = pad(x, (k // 2,) * 4)
        return [wide[..., i : i + H, j : j + W] for i in range(k) for j in range(k)]

    def _checked(self, A: Tensor) -> Tensor:
        if A.shape != self.shape:
            raise ValueError(
                f"hypers.generator: has shape {list(A.shape)}; a {self.kind} one of "
                f"{self.height}×{self.width} images needs {list(self.shape)}"
            )
        return A
