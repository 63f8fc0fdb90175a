"""Implicit differentiation: the gradient of where the training converges to, whatever path it took there.

Where ∇ₓL(x, θ) = 0 holds for every θ, the implicit function theorem gives (Bengio 2000; Lorraine et al. 2020,
theorem 1)

    dE/dθ = ∂θE − ∂θ(∇ₓL)ᵀ q,    (∇²ₓL + δI) q = ∂ₓE,    all at x_T

Nothing of the training is kept, so memory does not grow with T. Two things to know before it is believed:

- It is true only at a stationary point. Result.inner_grad_norm is ‖∇ₓL(x_T)‖, which it takes for zero.
- L must be one function, while a training sees a batch a step. L here is the loss on the batch of step T, the one
  after the last. Let the problem give the full batch; otherwise q and the gradient are those of a sample.

Learning rates, momenta and first weights do not enter the equations: their gradient would be structurally zero,
which is wrong for a training of T steps, so they are refused.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from meta.dynamics import HeavyBall
from meta.hypers import SCHEDULES, STARTS, Parts
from meta.inner.steps import Expanded, Inner, Theta
from meta.methods.method import Slope

Product = Callable[[Tensor], Tensor]  # u -> A u, both [..., P]; A is symmetric

SOLVERS = ("cg", "neumann")


@dataclass(frozen=True)
class Implicit:
    """solver: "cg" takes P iterations at most in exact arithmetic, about √(condition number) to gain a digit.
    It is meant for a Hessian that is positive definite: at a saddle pᵀAp can pass through zero, and the iterates
    jump; choose a damping above the most negative curvature. "neumann" sums a series that needs step · ‖A‖ < 2;
    cut short, it forgets the flattest directions first. With no iterations it is T1–T2 (Luketina et al. 2016).
    """

    solver: str = "cg"
    iterations: int = 50  # Hessian products; 50 solved 7,850 penalties on 500 examples to 1.5e-9
    step: float | None = None  # Neumann's; by default see `stable_step`
    damping: float = 0.0  # δ
    name = "implicit"

    def __post_init__(self) -> None:
        if self.solver not in SOLVERS:
            raise ValueError(f"Implicit: solver {self.solver!r} is unknown; give one of {', '.join(SOLVERS)}")
        if self.iterations < 0:
            raise ValueError(f"Implicit: {self.iterations} iterations; give 0 or more")

    def refuses(self, inner: Inner, parts: Parts) -> str | None:
        """Refuses parts on which the point of convergence does not depend, and a Neumann series without a step."""
        if gone := [name for name in parts if name in (*SCHEDULES, *STARTS)]:
            return (
                f"where the training converges to does not depend on {', '.join(gone)}, so the gradient would be "
                'zero by construction; leave this out of hypers, or use method="tape"'
            )
        dynamics = inner.problem.dynamics
        if self.solver == "neumann" and self.step is None and not isinstance(dynamics, HeavyBall):
            kind = type(dynamics).__name__
            return f"a step for the Neumann series follows from heavy ball's rates, not {kind}'s; give step="
        return None

    def bytes(self, inner: Inner, parts: Parts) -> int:
        """The vectors that the solver holds, for one run."""
        return 6 * inner.problem.layout.P * inner.dtype.itemsize  # b, q, r, p, Ap and one on its way

    def __call__(self, inner: Inner, parts: Parts) -> Slope:
        with torch.no_grad():
            expanded = inner.expand(parts)
            x, losses = inner.trained(expanded)
        value, dx, dtheta = inner.outer_and_pull(x, expanded.theta)
        hessian, mixed = second_derivatives(inner, x, expanded.theta)
        q, residual = self.solve(inner, expanded, hessian, dx)
        through = mixed(q)
        dtheta = {name: direct - through[name] for name, direct in dtheta.items()}
        found, figures = inner.pull_expand(parts, None, (), dtheta), {"residual": residual}
        return Slope(value, found, x, losses, figures=figures)

    def solve(self, inner: Inner, expanded: Expanded, hessian: Product, b: Tensor) -> tuple[Tensor, Tensor]:
        """q [..., P] and what is left of the equation, ‖b − Aq‖ / ‖b‖ [...]."""

        def damped(u: Tensor) -> Tensor:
            return hessian(u) + self.damping * u

        if self.solver == "cg":
            q = conjugate_gradient(damped, b, self.iterations)
        else:
            step = stable_step(inner, expanded) if self.step is None else self.step
            q = neumann(damped, b, step, self.iterations)
        r = b - damped(q)
        return q, ratio(dot(r, r), dot(b, b)).sqrt().squeeze(-1)


def second_derivatives(inner: Inner, x: Tensor, theta: Theta) -> tuple[Product, Callable[[Tensor], Theta]]:
    """u -> ∇²ₓL u and u -> ∂θ(∇ₓLᵀu) at the batch of step T, from one graph of the gradient.

    Unlike Inner's pull, the first may be asked again and again, and pays for no θ.
    """
    x = x.detach().requires_grad_()
    theta = {name: part.detach().requires_grad_() for name, part in theta.items()}
    with torch.enable_grad():
        g, _ = inner.gradient(inner.T, x, theta, graph=True)

    def hessian(u: Tensor) -> Tensor:
        hu = (
            torch.autograd.grad(g, x, u, retain_graph=True, allow_unused=True)[0] if g.requires_grad else None
        )
        if hu is None:
            raise ValueError(
                "implicit: the inner loss is linear in the weights: there is no minimum to speak of"
            )
        return hu

    def mixed(u: Tensor) -> Theta:
        by = list(theta.values())
        found = torch.autograd.grad(g, by, u, retain_graph=True, allow_unused=True, materialize_grads=True)
        return dict(zip(theta, found, strict=True))

    return hessian, mixed


# ── solving A q = b; the runs side by side are systems of their own, with scalars [..., 1] of their own ──


def conjugate_gradient(A: Product, b: Tensor, iterations: int) -> Tensor:
    """Hestenes & Stiefel 1952; Shewchuk 1994, section B2, with a fixed number of iterations: a GPU never waits."""
    q, r, p = torch.zeros_like(b), b, b  # r = b − Aq
    for _ in range(iterations):
        Ap = A(p)
        alpha = ratio(dot(r, r), dot(p, Ap))
        q = q + alpha * p
        r_new = r - alpha * Ap
        p = next_direction(r_new, r, p)
        r = r_new
    return q


def next_direction(r_new: Tensor, r: Tensor, p: Tensor) -> Tensor:
    """The new residual, made A-orthogonal to all directions before. (Betty's CG took r for r_new in this place.)"""
    beta = ratio(dot(r_new, r_new), dot(r, r))
    return r_new + beta * p


def neumann(A: Product, b: Tensor, step: Tensor | float, iterations: int) -> Tensor:
    """η Σ_{k ≤ K} (I − ηA)ᵏ b → A⁻¹b, as Lorraine et al. 2020, algorithm 3. η may differ by parameter."""
    q = step * b
    for _ in range(iterations):
        q = q + step * (b - A(q))
    return q


def stable_step(inner: Inner, expanded: Expanded) -> Tensor:  # [..., P] or [..., 1]
    """η = α (1−β)/(1+β) at the last step.

    Heavy ball v ← βv − (1−β)g, x ← x + αv is stable where αλ < 2(1+β)/(1−β) for every curvature λ; then ηλ < 2.
    So wherever the training converged, the series does.
    """
    alpha, beta = inner.rates_at(expanded.rates, inner.T - 1)
    return alpha * (1 - beta) / (1 + beta)


def dot(a: Tensor, b: Tensor) -> Tensor:  # [..., P] -> [..., 1]
    """Σ ab over the last axis, which is kept."""
    return (a * b).sum(-1, keepdim=True)


def ratio(a: Tensor, b: Tensor) -> Tensor:
    """a/b, and 0 where b is 0: a system that is solved already, or has b = 0, must stay as it is."""
    zero = b == 0
    return torch.where(zero, 0, a / torch.where(zero, 1, b))
