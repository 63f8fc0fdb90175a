"""The inner training as the methods see it: pure maps between hyperparameters, weights and losses.

    parts ──expand──► x₀ [..., P], rates [T, ..., G], θ ──T steps──► x_T ──outer──► value [...]

A run is one training, under one setting and one seed. The leading axes (...) are runs side by side, [R], or none:
a lone run is spared vmap's overhead. Whatever is elementwise in the weights works on both alike; only the losses
are vmapped here. θ is what the inner loss reads: data, labels, ..., and the strength of the penalty.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from meta.dynamics import Rates, State
from meta.hypers import PENALTY, Hypers, Parts, seen_by_losses
from meta.inner.first_weights import first_weights
from meta.inner.ties import Ties
from meta.problem import Problem

Theta = Parts  # what the inner loss reads; the penalty as [..., P] or [..., 1] under STRENGTH
STRENGTH = "l2"
Pull = Callable[[Tensor, Theta], Tensor]  # u [..., P], dθ -> ∂ₓ(gᵀu) [..., P]; adds ∂θ(gᵀu) to dθ


@dataclass(frozen=True)
class Expanded:
    """The inputs of a training, made from the hyperparameters."""

    x0: Tensor  # [..., P]
    rates: Rates  # [T, ..., G] each
    theta: Theta  # [..., *shape] each


@dataclass(frozen=True, eq=False)
class Inner:
    """One or several runs of a problem. `seeds`: the seed of each run; `runs` is None for a lone one."""

    problem: Problem
    seeds: tuple[int, ...]
    runs: int | None  # R
    dtype: torch.dtype
    device: torch.device
    ties: Ties = field(default_factory=dict)
    fixed: Parts = field(default_factory=dict)  # [*shape]: used by every run, differentiated by none
    drawn: Tensor | None = None  # what `draw` gives, where it was called ahead

    @property
    def T(self) -> int:
        """The number of inner steps."""
        return self.problem.steps

    @property
    def shape(self) -> tuple[int, ...]:
        """The leading axes of every tensor: (R,) for runs side by side, () for a single run."""
        return () if self.runs is None else (self.runs,)

    @property
    def state_bytes(self) -> int:
        """The size of one run's state."""
        return self.problem.dynamics.width * self.problem.layout.P * self.dtype.itemsize

    # ── from hyperparameters to a start, and the adjoint of that ──

    def expand(self, parts: Parts) -> Expanded:
        """Differentiable in `parts`, [..., *shape] each."""
        draws = self.draw() if self.drawn is None else self.drawn
        in_dims = (None if self._one_seed else 0, 0)
        x0, rates, theta = self._vmap(self._expand_one, in_dims, 0)(draws, parts)
        if self.runs is not None:
            rates = tuple(rate.movedim(0, 1) for rate in rates)
        return Expanded(x0, rates, theta)

    def pull_expand(self, parts: Parts, dx0: Tensor | None, drates: Rates, dtheta: Theta) -> Parts:
        """The gradients of x₀, the rates and θ, carried back to the parts they were made from."""
        leaves = {name: part.detach().requires_grad_() for name, part in parts.items()}
        with torch.enable_grad():
            made = self.expand(leaves)
        pairs = [(made.x0, dx0), *zip(made.rates, drates, strict=False)]
        pairs += [(made.theta[name], d) for name, d in dtheta.items()]
        reached = [(out, d) for out, d in pairs if d is not None and out.requires_grad]
        grads = _grad([out for out, _ in reached], list(leaves.values()), [d for _, d in reached])
        return dict(zip(leaves, grads, strict=True))

    def rates_at(self, rates: Rates, t: int) -> Rates:  # -> [..., P] each, or [..., 1]
        """The rates of step t, one value for each weight."""
        return self.problem.layout.spread(torch.stack([rate[t] for rate in rates])).unbind(0)

    # ── the training itself ──

    def advance(self, t: int, state: State, expanded: Expanded, graph: bool = False) -> tuple[State, Tensor]:
        """Step t: the state after it, and the inner loss before it, [...]."""
        g, loss = self.gradient(t, state[0], expanded.theta, graph)
        return self.problem.dynamics.step(state, g, self.rates_at(expanded.rates, t)), loss

    def start(self, expanded: Expanded) -> State:
        """The optimiser's state before the first step."""
        return self.problem.dynamics.start(expanded.x0)

    def losses(self) -> Tensor:
        """An empty tensor for a training's losses, [T, ...]; T small tensors would fragment the heap."""
        return torch.empty(self.T, *self.shape, dtype=self.dtype, device=self.device)

    def trained(self, expanded: Expanded) -> tuple[Tensor, Tensor]:
        """Plain training without a graph: x_T [..., P], and the losses [T, ...]."""
        with torch.no_grad():
            state, losses = self.start(expanded), self.losses()
            for t in range(self.T):
                state, losses[t] = self.advance(t, state, expanded)
            return state[0], losses

    def value(self, parts: Parts) -> Tensor:
        """The outer loss after plain training, [...]."""
        with torch.no_grad():
            expanded = self.expand(parts)
            return self.outer(self.trained(expanded)[0], expanded.theta)

    # ── the inner loss ──

    def gradient(self, t: int, x: Tensor, theta: Theta, graph: bool = False) -> tuple[Tensor, Tensor]:
        """∇ₓL [..., P] and L [...] at step t. With `graph` it can be differentiated by x and θ."""
        g, loss = self._data_gradient(t, x, theta, graph)
        if STRENGTH in theta:  # L = data term + ½ Σ l x², whose derivatives are written out
            loss = loss + 0.5 * torch.linalg.vecdot(theta[STRENGTH] * x, x).detach()
            g = _with_penalty(g, theta, x)
        return g, loss

    def gradient_and_pull(self, t: int, x: Tensor, theta: Theta) -> tuple[Tensor, Pull]:
        """g, and a function for its Hessian-vector products, which may be called once."""
        leaf = x.detach().requires_grad_()
        leaves = {name: part.detach().requires_grad_() for name, part in _without_penalty(theta).items()}
        with torch.enable_grad():
            data_g, _ = self._data_gradient(t, leaf, leaves, graph=True)
        strength = theta.get(STRENGTH)
        g = data_g.detach() if strength is None else _with_penalty(data_g.detach(), theta, x)

        def pull(u: Tensor, dtheta: Theta) -> Tensor:
            dx, *more = _grad([data_g], [leaf, *leaves.values()], [u])
            for name, part in zip(leaves, more, strict=True):
                dtheta[name] += part
            if strength is None:
                return dx
            if strength.shape == x.shape:
                dtheta[STRENGTH].addcmul_(x, u)
            else:  # one for all weights
                dtheta[STRENGTH] += torch.linalg.vecdot(x, u)[..., None]
            return torch.addcmul(dx, strength, u)

        return g, pull

    def _data_gradient(self, t: int, x: Tensor, theta: Theta, graph: bool) -> tuple[Tensor, Tensor]:
        """∇ₓ and value of the problem's own loss, without the penalty."""
        losses = self._losses(t)
        x = x if x.requires_grad else x.detach().requires_grad_()
        with torch.enable_grad():
            loss = losses(x, _without_penalty(theta))
            (g,) = torch.autograd.grad(
                loss.sum(), x, create_graph=graph
            )  # runs do not meet: each gets its own
        return g, loss.detach()

    def step_function(self, t: int) -> Callable[[State, Rates, Theta], tuple[State, Tensor]]:
        """Step t as a pure function of state, rates [..., G] and θ, for torch.func to differentiate either way."""
        losses = self._losses(t)

        def step(state: State, rates: Rates, theta: Theta) -> tuple[State, Tensor]:
            x, strength = state[0], theta.get(STRENGTH)
            pulled: Any = torch.func.vjp(lambda x: losses(x, _without_penalty(theta)), x)
            loss, back = pulled
            (g,) = back(torch.ones_like(loss))
            if strength is not None:
                g, loss = g + strength * x, loss + 0.5 * (strength * x * x).sum(-1)
            spread = tuple(self.problem.layout.spread(rate) for rate in rates)
            return self.problem.dynamics.step(state, g, spread), loss

        return step

    def _losses(self, t: int) -> Callable[[Tensor, Theta], Tensor]:
        """The problem's own loss at step t, without the penalty: x [..., P], θ -> [...].

        Only the loss is vmapped, and its derivatives are taken outside. In torch 2.13 a gradient that was vmapped
        itself, vmap(grad(loss)), has wrong derivatives where the loss has layer or batch norm: their means and
        variances, kept from the first pass, count as constants in the second (20 % off in a Hessian product).
        """
        batch, stacked = self._batch(t)
        losses = self._vmap(self._loss, (0, 0, 0 if stacked else None), 0)
        return lambda x, theta: losses(x, theta, batch)

    # ── the outer loss ──

    def outer(self, x: Tensor, theta: Theta) -> Tensor:  # [..., P] -> [...]
        """The outer loss at the weights x."""
        theta, batch = _without_penalty(theta), self.outer_batch
        in_dims = (0, 0, *[None if self._one_seed else 0 for _ in batch])
        return self._vmap(self._outer_one, in_dims, 0)(x, theta, *batch)

    def outer_and_pull(self, x: Tensor, theta: Theta) -> tuple[Tensor, Tensor, Theta]:
        """The value [...], its gradient by x [..., P], and by θ directly."""
        x = x.detach().requires_grad_()
        theta = {name: part.detach().requires_grad_() for name, part in theta.items()}
        with torch.enable_grad():
            value = self.outer(x, theta)
        dx, *dtheta = _grad([value], [x, *theta.values()], [torch.ones_like(value)])
        return value.detach(), dx, dict(zip(theta, dtheta, strict=True))

    # ── one run ──

    def _expand_one(self, draws: Tensor, parts: Parts) -> tuple[Tensor, Rates, Theta]:
        problem = self.problem
        untied = {name: tie.spread(parts[name]) for name, tie in self.ties.items()}
        parts = self.fixed | parts | untied
        x0 = first_weights(draws, parts, problem.layout)
        rates = problem.dynamics.rates(parts, problem.steps, problem.layout.G, draws)
        theta = {name: parts[name] for name in seen_by_losses(parts)}
        if PENALTY in parts:
            theta[STRENGTH] = problem.layout.penalties(parts[PENALTY].exp())
        return x0, rates, theta

    def _loss(self, x: Tensor, theta: Theta, batch: Any) -> Tensor:
        return self.problem.inner_loss(x, Hypers.of(theta), batch)

    def _outer_one(self, x: Tensor, theta: Theta, *batch: Any) -> Tensor:
        return self.problem.outer_loss(x, Hypers.of(theta), *batch)

    # ── runs side by side ──

    def draw(self) -> Tensor:
        """What the problem draws as first weights, [R, P], or [P] where all runs share one seed."""
        return self._by_run([self.as_float(self.problem.init(seed)) for seed in self._distinct])

    @cached_property
    def outer_batch(self) -> tuple[Any, ...]:
        """The outer loss's batch, by run as `draw`, where the problem has one; () otherwise."""
        if (of := self.problem.outer_batch) is None:
            return ()
        return (pytree.tree_map(self.as_float, self._by_run([of(seed) for seed in self._distinct])),)

    @cached_property
    def _distinct(self) -> list[int]:
        return list(dict.fromkeys(self.seeds))

    @cached_property
    def _one_seed(self) -> bool:
        return self.runs is None or len(set(self.seeds)) == 1

    def _by_run(self, drawn: list[Any]) -> Any:
        """Draws for each distinct seed -> a row for each run, or the draw itself where all runs share one seed."""
        if self._one_seed:
            return drawn[0]
        rows = [self._distinct.index(seed) for seed in self.seeds]
        return pytree.tree_map(lambda *each: torch.stack([each[row] for row in rows]), *drawn)

    def _batch(self, t: int) -> tuple[Any, bool]:
        batch = self._by_run([self.problem.batch(t, seed) for seed in self._distinct])
        if isinstance(batch, tuple) and all(isinstance(part, Tensor) for part in batch):
            return tuple(
                map(self.as_float, batch)
            ), not self._one_seed  # a pytree is ten times slower to walk
        return pytree.tree_map(self.as_float, batch), not self._one_seed

    def _vmap(
        self, f: Callable[..., Any], in_dims: tuple[int | None, ...], out_dims: Any
    ) -> Callable[..., Any]:
        return f if self.runs is None else torch.func.vmap(f, in_dims=in_dims, out_dims=out_dims)

    def as_float(self, value: Any) -> Any:
        """Floats in this run's dtype, anything else as it is."""
        if isinstance(value, Tensor) and value.is_floating_point():
            return value.to(self.dtype)
        return value


def _with_penalty(data_g: Tensor, theta: Theta, x: Tensor) -> Tensor:
    """The gradient with the penalty's added. Reversal needs the same bits in both directions, hence one place."""
    return torch.addcmul(data_g, theta[STRENGTH], x)


def _without_penalty(theta: Theta) -> Theta:
    return {name: part for name, part in theta.items() if name != STRENGTH}


def _grad(outputs: list[Tensor], inputs: list[Tensor], cotangents: list[Tensor]) -> list[Tensor]:
    """torch.autograd.grad, with zeros for an input that no output depends on."""
    reached = [(out, d) for out, d in zip(outputs, cotangents, strict=True) if out.requires_grad]
    if not reached or not inputs:
        return [torch.zeros_like(one) for one in inputs]
    # As one number, which needs no cotangent: given one, torch.autograd.grad imports sympy, a second and a half once.
    with torch.enable_grad():
        dots = [torch.vdot(out.flatten(), d.flatten()) for out, d in reached]
        whole = dots[0] if len(dots) == 1 else torch.stack(dots).sum()
    return list(torch.autograd.grad(whole, inputs, allow_unused=True, materialize_grads=True))
