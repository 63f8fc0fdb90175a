"""Rung 9: mistakes made by other libraries, and some of our own, each of which a rung must catch.

A proof that passes whatever the code does proves nothing. Each mutant changes one function while the check that is
responsible for it is run again; the check has to hold before, and to fail then.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

from meta.dynamics import Adam, Dot, HeavyBall, Rates, State
from meta.inner.first_weights import through_quantiles
from meta.inner.fixedpoint import InfoBuffer
from meta.inner.integers import Decay
from meta.inner.steps import STRENGTH, Inner, Pull, Theta
from meta.ladder import agreement, buffer, implicit, quadratic, slopes
from meta.ladder.cases import ADAM, HEAVY_BALL, Case, kinds, tanh_network
from meta.ladder.check import Check, at_most
from meta.methods.backwards import Backwards
from meta.methods.reversible import Reversible
from meta.methods.tape import Tape
from meta.methods.unroll import Unroll
from meta.problem import Layout

Responsible = Callable[[torch.device], Check]


@dataclass(frozen=True)
class Mutant:
    """A deliberate mistake: `change` installs it for a block, and `responsible` is the check that must fail there."""

    name: str
    change: Callable[[], AbstractContextManager[Any]]
    responsible: Responsible


def rung(device: torch.device, quick: bool = False) -> Iterator[Check]:
    """Rung 9. Yields one check for each mutant."""
    for mutant in MUTANTS:
        yield caught(mutant, device)


def caught(mutant: Mutant, device: torch.device) -> Check:
    """A check that holds if the responsible check passes without the mutant and fails with it."""
    sound = mutant.responsible(device)
    with mutant.change():
        ill = mutant.responsible(device)
    ok = bool(sound.ok) and not ill.ok
    note = f"by rung {ill.rung}: {ill.what}"
    if not sound.ok:
        note += f", which fails without it too ({sound.figure:.3g})"
    return Check(9, mutant.name, ill.figure, f"not {ill.bound}", ok, note)


# ── the checks that are responsible ──


def _tape_heavy_ball(device: torch.device) -> Check:
    return agreement.same(
        4, "tape = unroll, HeavyBall", Tape(), Unroll(), agreement.case(device, HEAVY_BALL), 1e-12
    )


def _tape_adam(device: torch.device) -> Check:
    return agreement.same(4, "tape = unroll, Adam", Tape(), Unroll(), agreement.case(device, ADAM), 1e-12)


def _reversible(device: torch.device) -> Check:
    it = agreement.case(device, HEAVY_BALL)
    return agreement.same(5, "reversible = unroll, f64", Reversible(), Unroll(), it, agreement.REVERSED)


def _reversible_adam(device: torch.device) -> Check:
    it = agreement.case(device, ADAM)
    return agreement.same(5, "reversible = unroll, Adam, f64", Reversible(), Unroll(), it, agreement.REVERSED)


def _forward(device: torch.device) -> Check:
    figure = agreement.dot_test(agreement.case(device, HEAVY_BALL), agreement.FORWARD)
    return at_most(6, "forward·v = reverse·v, f64", figure, 1e-10)


def _slope(kind: str) -> Responsible:
    def check(device: torch.device) -> Check:
        problem = tanh_network(device)
        return slopes.slope(f"tape × {kind}", Case(problem, kinds(problem, device)[kind], device), Tape())

    return check


def _implicit(device: torch.device) -> Check:
    return implicit.arrived(device, "log_l2 by weight")


def _bowl(device: torch.device) -> Check:
    return quadratic.gradient(device, Tape())


def _buffer(device: torch.device) -> Check:
    n, d = torch.full((2_000,), 9), 10
    return at_most(1, "n/d = 9/10: numbers lost", buffer.there_and_back(device, n, d).wrong, 0)


# ── the mistakes ──


def _no_dv(self: HeavyBall, before: State, after: State, g: Tensor, rates: Rates, adjoint: State, dot: Dot):
    (_, v), (_, v_), (_, beta), (dx, dv) = before, after, rates, adjoint  # dv ← dv + α dx is left out
    return (dx, beta * dv), (beta - 1) * dv, (dot(dx, v_), dot(dv, v + g))


def _no_complement(
    self: HeavyBall, before: State, after: State, g: Tensor, rates: Rates, adjoint: State, dot: Dot
):
    (_, v), (_, v_), (alpha, beta), (dx, dv) = before, after, rates, adjoint
    dv = dv + alpha * dx
    return (dx, beta * dv), -dv, (dot(dx, v_), dot(dv, v + g))  # u = −(1−β) dv


_pull_of_adam = Adam.pull


def _wrong_sign(self: Adam, *around: Any):
    adjoint, u, (dalpha, dbeta, da1, da2) = _pull_of_adam(self, *around)
    return adjoint, u, (dalpha, dbeta, -da1, da2)


_gradient_and_pull = Inner.gradient_and_pull


def _hips(self: Inner, t: int, x: Tensor, theta: Theta) -> tuple[Tensor, Pull]:
    """`sgd_meta_only`: what belongs to the hyperparameters is the product by the weights."""
    g, pull = _gradient_and_pull(self, t, x, theta)

    def wrong(u: Tensor, dtheta: Theta) -> Tensor:
        dx = pull(u, {name: torch.zeros_like(part) for name, part in dtheta.items()})
        dtheta[STRENGTH] += dx
        return dx

    return g, wrong


def _hips_reversed(self: Inner, t: int, x: Tensor, theta: Theta) -> tuple[Tensor, Pull]:
    g, pull = _gradient_and_pull(self, t, x, theta)

    def wrong(u: Tensor, dtheta: Theta) -> Tensor:
        alone = {name: torch.zeros_like(part) for name, part in dtheta.items()}
        pull(u, alone)
        dtheta[STRENGTH] += alone[STRENGTH]
        return alone[STRENGTH]

    return g, wrong


def _ends_of_others(z: Tensor, bins: Tensor) -> Tensor:
    """The same values, but the last bin gets the gradient of the second."""
    moved = bins - bins.detach()
    moved = torch.cat([moved[:1], moved[1:2] + moved[-1:], moved[2:-1], torch.zeros_like(moved[-1:])])
    return through_quantiles(z, bins.detach() + moved)


def _betty(r_new: Tensor, r: Tensor, p: Tensor) -> Tensor:
    """β = rᵀr / rᵀr, where the new residual belongs on top."""
    return r_new + p


def _next_batch(self: Backwards, t: int, state: State) -> None:
    g, pull = self.inner.gradient_and_pull(t + 1, state[0], self.expanded.theta)
    self.through(t, state, g, pull)


_step_function = Inner.step_function


def _next_step(self: Inner, t: int):
    return _step_function(self, t + 1)


def _mean(self: Layout, a: Tensor, b: Tensor) -> Tensor:
    return torch.stack([part.mean(-1) for part in (a * b).split(self.sizes, -1)], -1)


def _rounded_for_good(beta: Tensor, denominator: int | None) -> Tensor:
    return beta.detach() if denominator else beta


def _not_rounded(beta: Tensor, denominator: int | None) -> Tensor:
    return beta


def _single(self: Decay) -> Tensor:
    """Whole numbers divided by a Python number are float32 in PyTorch; this one was ours."""
    return (self.d - self.n) / float(self.d)


def _in(owner: Any, name: str, mutated: Callable[..., Any]) -> Callable[[], AbstractContextManager[Any]]:
    return lambda: patch.object(owner, name, mutated)


def _at(where: str, mutated: Callable[..., Any]) -> Callable[[], AbstractContextManager[Any]]:
    return lambda: patch(where, mutated)


MUTANTS = (
    Mutant("dv += α dx is dropped", _in(HeavyBall, "pull", _no_dv), _tape_heavy_ball),
    Mutant("u without (1−β)", _in(HeavyBall, "pull", _no_complement), _tape_heavy_ball),
    Mutant("Adam's c₁ with the wrong sign", _in(Adam, "pull", _wrong_sign), _tape_adam),
    Mutant("HIPS: L_hvp_meta by x", _in(Inner, "gradient_and_pull", _hips), _tape_heavy_ball),
    Mutant("L_hvp by θ", _in(Inner, "gradient_and_pull", _hips_reversed), _tape_heavy_ball),
    Mutant(
        "HIPS: the end bins",
        _at("meta.inner.first_weights.through_quantiles", _ends_of_others),
        _slope("init_bins"),
    ),
    Mutant("HIPS: float β for n/d", _at("meta.dynamics.exact_fraction", _not_rounded), _reversible),
    Mutant("1 − n/d in float32", _in(Decay, "complement", _single), _reversible_adam),
    Mutant(
        "the rounding of β stops its gradient",
        _at("meta.dynamics.exact_fraction", _rounded_for_good),
        _slope("logit_momentum"),
    ),
    Mutant("Betty: r for r_new in CG", _at("meta.methods.implicit.next_direction", _betty), _implicit),
    Mutant("the next batch on the way back", _in(Backwards, "recompute", _next_batch), _tape_heavy_ball),
    Mutant("the next batch in forward mode", _in(Inner, "step_function", _next_step), _forward),
    Mutant("groups averaged instead of summed", _in(Layout, "dot", _mean), _bowl),
    Mutant("a spill that is not restored", _in(InfoBuffer, "_restore", lambda self, low: None), _buffer),
)
