"""Tape: keep every state of the training, then walk back over them and recompute the Hessian products.

With s_t the state, s_{t+1} = Φ_t(s_t, λ), and the adjoint p_T = ∂E/∂s_T:

    p_t = (∂Φ_t/∂s_t)ᵀ p_{t+1},    dE/dλ = Σ_t (∂Φ_t/∂λ)ᵀ p_{t+1}        (Franceschi et al. 2017, eq. 7 and 8)

Two words of memory per parameter and step for the heavy ball, against all of a step's activations for `unroll`.
"""

from dataclasses import dataclass

import torch

from meta.hypers import Parts
from meta.inner.steps import Inner
from meta.methods.backwards import Backwards
from meta.methods.method import Slope


@dataclass(frozen=True)
class Tape:
    """The adjoint over a tape of all states."""

    name = "tape"

    def refuses(self, inner: Inner, parts: Parts) -> str | None:
        """Nothing is refused."""
        return None

    def bytes(self, inner: Inner, parts: Parts) -> int:
        """All T states of one run."""
        return inner.T * inner.state_bytes

    def __call__(self, inner: Inner, parts: Parts) -> Slope:
        with torch.no_grad():
            expanded = inner.expand(parts)
            state = inner.start(expanded)
            states, losses = [], inner.losses()
            for t in range(inner.T):
                states.append(state)
                state, losses[t] = inner.advance(t, state, expanded)
            x = state[0]
            back = Backwards(inner, expanded, state)
            for t in reversed(range(inner.T)):
                back.recompute(t, states.pop())
        bits = 8 * self.bytes(inner, parts) / (inner.T * inner.problem.layout.P)
        return Slope(back.value, back.parts(parts), x, losses, back.growth, bits)
