"""The outer loop's optimisers: from a hypergradient to a change of the hyperparameters.

    outer = Outer(Adam(), lr=0.1)
    for _ in range(20):
        found = hypergradient(problem, hypers)
        hypers, outer = outer.step(hypers, found.grads)

All are frozen values: `step` returns the next hyperparameters and the next optimiser, so that a step may be taken
back, or taken again at half its length, by holding on to what was before.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol, Self

import torch
from torch import Tensor

from meta.hypers import Hypers, Parts
from meta.train.caps import TRUST, within


class Rule(Protocol):
    """A frozen optimiser state that turns gradients into a direction."""

    def direction(self, grads: Parts) -> tuple[Parts, Self]:
        """The direction for these gradients, and the rule to use for the next ones."""
        ...


@dataclass(frozen=True, eq=False)
class Sgd:
    """m ← μm + g;  d = m"""

    momentum: float = 0.0
    m: Parts = field(default_factory=dict)

    def direction(self, grads: Parts) -> tuple[Parts, "Sgd"]:
        """d and the next state; see `Rule.direction`."""
        m = {name: self.momentum * _past(self.m, name, g) + g for name, g in grads.items()}
        return m, replace(self, m=m)


@dataclass(frozen=True, eq=False)
class Adam:
    """Kingma & Ba 2015, algorithm 1: d = (m/(1−β₁ᵗ)) / (√(v/(1−β₂ᵗ)) + ε)"""

    betas: tuple[float, float] = (0.9, 0.99)  # an outer loop has tens of steps: .999 would average none away
    eps: float = 1e-8
    t: int = 0
    m: Parts = field(default_factory=dict)
    v: Parts = field(default_factory=dict)

    def direction(self, grads: Parts) -> tuple[Parts, "Adam"]:
        """d and the next state; see `Rule.direction`."""
        (b1, b2), t = self.betas, self.t + 1
        m = {name: b1 * _past(self.m, name, g) + (1 - b1) * g for name, g in grads.items()}
        v = {name: b2 * _past(self.v, name, g) + (1 - b2) * g * g for name, g in grads.items()}
        d = {name: (m[name] / (1 - b1**t)) / ((v[name] / (1 - b2**t)).sqrt() + self.eps) for name in grads}
        return d, replace(self, t=t, m=m, v=v)


@dataclass(frozen=True, eq=False)
class RmsProp:
    """Tieleman & Hinton 2012: s ← ρs + (1−ρ)g²;  d = g / (√s + ε)"""

    rho: float = 0.9
    eps: float = 1e-8
    s: Parts = field(default_factory=dict)

    def direction(self, grads: Parts) -> tuple[Parts, "RmsProp"]:
        """d and the next state; see `Rule.direction`."""
        s = {name: self.rho * _past(self.s, name, g) + (1 - self.rho) * g * g for name, g in grads.items()}
        return {name: g / (s[name].sqrt() + self.eps) for name, g in grads.items()}, replace(self, s=s)


@dataclass(frozen=True)
class Sign:
    """d = sign g: every hyperparameter moves as far as every other, as in the schedules of Maclaurin et al."""

    def direction(self, grads: Parts) -> tuple[Parts, "Sign"]:
        """d, and the rule itself: it has no state."""
        return {name: g.sign() for name, g in grads.items()}, self


RULES: dict[str, type[Rule]] = {"sgd": Sgd, "adam": Adam, "rmsprop": RmsProp, "sign": Sign}


@dataclass(frozen=True, eq=False)
class Outer:
    """h ← h − η d, each kind of hyperparameter with its own η if it is named, and no farther than its trust."""

    rule: Rule
    lr: float = 0.1  # η
    lr_of: Mapping[str, float] = field(default_factory=dict)  # kind -> η
    trust: Mapping[str, float] = field(default_factory=lambda: TRUST)  # kind -> largest change of an entry

    def step(self, hypers: Hypers, grads: Hypers, scale: float = 1.0) -> tuple[Hypers, "Outer"]:
        """`scale` shortens this step, its trust included. A kind without a gradient stays as it is."""
        d, rule = self.rule.direction(grads.parts())
        moved = {name: -self.lr_of.get(name, self.lr) * one for name, one in d.items()}
        change = {name: scale * within(one, self.trust.get(name)) for name, one in moved.items()}
        parts = hypers.parts()
        return hypers + Hypers.of({n: c.to(parts[n]) for n, c in change.items()}), replace(self, rule=rule)


def outer(rule: str, lr: float, trusted: bool = True) -> Outer:
    """By the rule's name, one of RULES."""
    return Outer(RULES[rule](), lr, trust=TRUST if trusted else {})


def clipped(grads: Hypers, norm: float) -> Hypers:
    """The same direction, no longer than `norm`."""
    factor = (norm / grads.norm()).clamp(max=1.0)
    return Hypers.of({name: g * factor.to(g) for name, g in grads.parts().items()})


def _past(state: Parts, name: str, g: Tensor) -> Tensor:
    return state[name] if name in state else torch.zeros_like(g)
