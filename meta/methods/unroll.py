"""Full unroll: automatic differentiation through the whole training, as the reference for the other methods.

It shares no adjoint with them: autograd sees the steps themselves, gradients of the inner loss included.
"""

from dataclasses import dataclass

import torch

from meta.hypers import Parts
from meta.inner.steps import Inner
from meta.methods.method import Slope


@dataclass(frozen=True)
class Unroll:
    """Reverse-mode automatic differentiation through all steps."""

    name = "unroll"

    def refuses(self, inner: Inner, parts: Parts) -> str | None:
        """Nothing is refused."""
        return None

    def bytes(self, inner: Inner, parts: Parts) -> int:
        """All that autograd keeps of one step, T times; one step is tried to see."""
        kept: dict[int, int] = {}

        def keep(tensor: torch.Tensor) -> torch.Tensor:
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        leaves = {name: part.detach().requires_grad_() for name, part in parts.items()}
        expanded = inner.expand(leaves)
        state = inner.problem.dynamics.start(expanded.x0.detach().requires_grad_())
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            inner.advance(0, state, expanded, graph=True)
        return inner.T * sum(kept.values()) // (inner.runs or 1)

    def __call__(self, inner: Inner, parts: Parts) -> Slope:
        leaves = {name: part.detach().requires_grad_() for name, part in parts.items()}
        with torch.enable_grad():
            expanded = inner.expand(leaves)
            x0 = expanded.x0 if expanded.x0.requires_grad else expanded.x0.detach().requires_grad_()
            state = inner.problem.dynamics.start(x0)
            losses = []
            for t in range(inner.T):
                state, loss = inner.advance(t, state, expanded, graph=True)
                losses.append(loss)
            value = inner.outer(state[0], expanded.theta)
        wanted = [*leaves.values(), x0, state[0]]
        *grads, dx0, dx = torch.autograd.grad(value.sum(), wanted, allow_unused=True, materialize_grads=True)
        growth = dx0.norm(dim=-1).log() - dx.norm(dim=-1).log()
        found = dict(zip(leaves, grads, strict=True))
        return Slope(value.detach(), found, state[0].detach(), torch.stack(losses), growth)
