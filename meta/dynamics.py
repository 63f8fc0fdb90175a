"""One step of an optimiser and its adjoint, as pure functions: v ← βv − (1−β)g; x ← x + αv, or Adam's.

The state is a tuple of [..., P] tensors, the weights first. What an optimiser reads at a step is its rates,
[..., G] each, spread over the groups of parameters. `step` serves every method; `pull` is its adjoint written out,
for the methods that walk back on their own. Leading axes (...) are runs side by side, or none.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from meta.hypers import Parts

State = tuple[Tensor, ...]  # (x, ...), [..., P] each
Rates = tuple[Tensor, ...]  # (α, β, ...)
Dot = Callable[[Tensor, Tensor], Tensor]  # a, b [..., P] -> Σ ab over each group, [..., G]

# β is rounded to n/d everywhere, so that a reversible run and every other method train the same thing: two trainings
# whose β differ in the seventh digit give gradients that differ in the fourth. 16 bits are exact in float32.
DENOMINATOR = 2**16


class Dynamics(Protocol):
    """The interface of an inner optimiser. It may also have `pull`, its adjoint written out: see `pull`."""

    width: int  # tensors in a state

    def rates(self, parts: Parts, steps: int, groups: int, like: Tensor) -> Rates:
        """From the hyperparameters (differentiably) to each step's rates, [T, G]."""
        ...

    def start(self, x: Tensor) -> State:
        """The state before the first step, from the first weights x [..., P]."""
        ...

    def step(self, state: State, g: Tensor, rates: Rates) -> State:
        """g, rates: [..., P] or [..., 1]; elementwise in the weights."""
        ...


def pull(
    dynamics: Dynamics, before: State, after: State, g: Tensor, rates: Rates, adjoint: State, dot: Dot
) -> tuple[State, Tensor, Rates]:
    """From d/d(state after) to d/d(state before), u and the rates' gradients.

    Takes the states around the step, the g between them, and the adjoint of the state after. Returns the adjoint
    of the state before, without what flows through g; u = d/dg, for the caller to pull through the loss (x gets
    ∂ₓ(gᵀu)); and each rate's gradient, which `dot` sums over its group.

    By the optimiser's own `pull` if it has one, else by automatic differentiation of its step.
    """
    own = getattr(dynamics, "pull", None)
    if own is not None:
        return own(before, after, g, rates, adjoint, dot)
    state, g, *each = (
        tuple(part.detach().requires_grad_() for part in before),
        g.detach().requires_grad_(),
        *(rate.expand_as(g).detach().requires_grad_() for rate in rates),
    )
    with torch.enable_grad():
        made = dynamics.step(state, g, tuple(each))
        along = torch.stack([(out * d).sum() for out, d in zip(made, adjoint, strict=True)]).sum()
    found = torch.autograd.grad(along, [*state, g, *each], allow_unused=True, materialize_grads=True)
    n = len(state)
    return found[:n], found[n], tuple(dot(one, torch.ones_like(one)) for one in found[n + 1 :])


def exact_fraction(beta: Tensor, denominator: int | None = DENOMINATOR) -> Tensor:
    """β rounded to n/d, 1 <= n <= d; its derivative is that of β (the rounding is passed straight through)."""
    if denominator is None:
        return beta
    n = (beta.detach() * denominator).round().clamp(1, denominator)
    return beta + (n / denominator - beta).detach()


def _schedule(part: Tensor | None, default: float, steps: int, groups: int, like: Tensor) -> Tensor:  # [T, G]
    if part is None:
        return torch.full((steps, groups), default, dtype=like.dtype, device=like.device)
    return part.expand(steps, groups)


def _rate_and_momentum(
    optimiser: "HeavyBall | Adam", parts: Parts, steps: int, groups: int, like: Tensor
) -> tuple[Tensor, Tensor]:
    """α and β = n/d from the parts that are there and the optimiser's own values, [T, G] each."""
    log_lr, logit = parts.get("log_lr"), parts.get("logit_momentum")
    lr = None if log_lr is None else log_lr.exp()
    momentum = None if logit is None else logit.sigmoid()
    alpha = _schedule(lr, optimiser.lr, steps, groups, like)
    beta = _schedule(momentum, optimiser.momentum, steps, groups, like)
    return alpha, exact_fraction(beta, optimiser.denominator)


@dataclass(frozen=True)
class HeavyBall:
    """SGD with momentum as in Maclaurin et al. 2015, algorithm 1: v ← βv − (1−β)g; x ← x + αv."""

    lr: float = 0.1
    momentum: float = 0.9
    denominator: int | None = DENOMINATOR
    width = 2

    def rates(self, parts: Parts, steps: int, groups: int, like: Tensor) -> Rates:
        """α and β of every step and group, [T, G] each."""
        return _rate_and_momentum(self, parts, steps, groups, like)

    def start(self, x: Tensor) -> State:
        """The weights x and a velocity of zeros, [..., P] each."""
        return x, torch.zeros_like(x)

    def step(self, state: State, g: Tensor, rates: Rates) -> State:
        """The state (x, v) after one step with the gradient g [..., P]."""
        (x, v), (alpha, beta) = state, rates
        v = torch.lerp(-g, v, beta)  # βv − (1−β)g
        return torch.addcmul(x, alpha, v), v

    def pull(
        self, before: State, after: State, g: Tensor, rates: Rates, adjoint: State, dot: Dot
    ) -> tuple[State, Tensor, Rates]:
        """The adjoint of `step`; arguments and result as in `pull`."""
        (_, v), (_, v_), (alpha, beta), (dx, dv) = before, after, rates, adjoint
        dv = torch.addcmul(dv, alpha, dx)
        kept = beta * dv
        return (dx, kept), kept - dv, (dot(dx, v_), dot(dv, v + g))  # u = −(1−β) dv


@dataclass(frozen=True)
class Adam:
    """Kingma & Ba 2015 with ε under the root, so that the step has a derivative where s = 0 as well:

    m ← β₁m + (1−β₁)g;  s ← β₂s + (1−β₂)g²;  x ← x − α (m/c₁) / √(s/c₂ + ε²),  c₁ = 1 − ∏β₁,  c₂ = 1 − β₂ᵗ
    """

    lr: float = 1e-3
    momentum: float = 0.9
    second: tuple[int, int] = (999, 1000)  # β₂ = n/d
    eps: float = 1e-8
    denominator: int | None = DENOMINATOR
    width = 3

    def rates(self, parts: Parts, steps: int, groups: int, like: Tensor) -> Rates:
        """α, β₁, 1/c₁ and 1/c₂; a change of β₁ at one step moves c₁ at all later ones."""
        alpha, beta = _rate_and_momentum(self, parts, steps, groups, like)
        n, d = self.second
        t = torch.arange(1, steps + 1, dtype=like.dtype, device=like.device)[:, None].expand(steps, groups)
        # Not below 2⁻⁵³: β₁ = 1 would divide by zero, and m is then nothing but zeros.
        c1 = (1 - beta.cumprod(0)).clamp_min(2.0**-53)
        c2 = -torch.expm1(t * math.log(n / d))  # 1 − (n/d)ᵗ, which loses four digits in float32 at t = 1
        return alpha, beta, 1 / c1, 1 / c2

    def start(self, x: Tensor) -> State:
        """The weights x and two averages of zeros, [..., P] each."""
        return x, torch.zeros_like(x), torch.zeros_like(x)

    def step(self, state: State, g: Tensor, rates: Rates) -> State:
        """The state (x, m, s) after one step with the gradient g [..., P]."""
        (x, m, s), (alpha, beta, a1, a2) = state, rates
        beta2 = self.second[0] / self.second[1]
        m = beta * m + (1 - beta) * g
        s = beta2 * s + (1 - beta2) * g * g
        return x - alpha * a1 * m * (a2 * s + self.eps**2).rsqrt(), m, s

    def pull(
        self, before: State, after: State, g: Tensor, rates: Rates, adjoint: State, dot: Dot
    ) -> tuple[State, Tensor, Rates]:
        """The adjoint of `step`; arguments and result as in `pull`."""
        (_, m, s), (alpha, beta, a1, a2), (dx, dm, ds) = before, rates, adjoint
        beta2 = self.second[0] / self.second[1]
        # Not from `after`: a reversible run holds its s in units of 2^-60, which are coarse for the first small g².
        m_ = beta * m + (1 - beta) * g
        s_ = beta2 * s + (1 - beta2) * g * g
        r = (a2 * s_ + self.eps**2).rsqrt()  # x' = x − α a₁ m' r;  dr/ds' = −½ a₂ r³
        dm_ = dm - dx * alpha * a1 * r
        dr = -dx * alpha * a1 * m_
        ds_ = ds - 0.5 * dr * a2 * r**3
        u = (1 - beta) * dm_ + 2 * (1 - beta2) * g * ds_
        dalpha, dbeta = dot(-dx * a1, m_ * r), dot(dm_, m - g)
        da1, da2 = dot(-dx * alpha, m_ * r), dot(-0.5 * dr, s_ * r**3)
        return (dx, beta * dm_, beta2 * ds_), u, (dalpha, dbeta, da1, da2)
