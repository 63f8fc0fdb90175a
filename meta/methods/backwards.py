"""The backward pass through the steps, shared by all methods that recompute Hessian products."""

import torch
from torch import Tensor

from meta.dynamics import State
from meta.dynamics import pull as pull_step
from meta.hypers import Parts
from meta.inner.steps import Expanded, Inner, Pull


class Backwards:
    """The adjoint, starting from the outer loss's gradient at x_T; `through` carries it back over step t."""

    def __init__(self, inner: Inner, expanded: Expanded, end: State) -> None:
        self.inner, self.expanded = inner, expanded
        self.value, dx, dtheta = inner.outer_and_pull(end[0], expanded.theta)
        # Ours to add to: autograd may hand out one tensor for two parts, or one number for all entries.
        self.dtheta = {
            name: part.clone(memory_format=torch.contiguous_format) for name, part in dtheta.items()
        }
        self.adjoint: State = (dx, *(torch.zeros_like(part) for part in end[1:]))
        self.drates = tuple(torch.zeros_like(rate) for rate in expanded.rates)  # [T, ..., G]
        self.after = end
        self.at_the_end = dx.norm(dim=-1)

    def through(self, t: int, before: State, g: Tensor, pull: Pull) -> None:
        """`before` is the state before step t, `g` and `pull` the gradient there and its Hessian products."""
        problem, rates = self.inner.problem, self.inner.rates_at(self.expanded.rates, t)
        (dx, *rest), u, drates = pull_step(
            problem.dynamics, before, self.after, g, rates, self.adjoint, problem.layout.dot
        )
        self.adjoint = (dx + pull(u, self.dtheta), *rest)
        for whole, rate in zip(self.drates, drates, strict=True):
            whole[t] = rate
        self.after = before

    def recompute(self, t: int, state: State) -> None:
        """As `through`, computing the gradient and its products at `state` again."""
        g, pull = self.inner.gradient_and_pull(t, state[0], self.expanded.theta)
        self.through(t, state, g, pull)

    def parts(self, parts: Parts, from_start: bool = True) -> Parts:
        """The gradient of each part. Steps that were not visited count as zero, and so does x₀ if not reached."""
        dx0 = self.adjoint[0] if from_start else None
        return self.inner.pull_expand(parts, dx0, self.drates, self.dtheta)

    @property
    def growth(self) -> Tensor:
        """Λ = log(‖d/dx₀‖ / ‖d/dx_T‖), [...]: the growth of the adjoint; beyond 2 to 3.5 training is chaotic."""
        return self.adjoint[0].norm(dim=-1).log() - self.at_the_end.log()
