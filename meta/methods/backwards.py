"""The adjoint on its way back through the steps: shared by all methods that recompute the Hessian products."""

import torch
from torch import Tensor

from meta.dynamics import Rates, State
from meta.hypers import Parts
from meta.inner import Expanded, Inner, Pull


class Backwards:
    """Starts at the outer loss's gradient by x_T; `through` takes it from after step t to before it."""

    def __init__(self, inner: Inner, expanded: Expanded, end: State) -> None:
        self.inner, self.expanded = inner, expanded
        self.value, dx, dtheta = inner.outer_and_pull(end[0], expanded.theta)
        # Ours to add to: autograd may hand out one tensor for two parts, or one number for all entries.
        self.dtheta = {
            name: part.clone(memory_format=torch.contiguous_format) for name, part in dtheta.items()
        }
        self.adjoint: State = (dx, *(torch.zeros_like(part) for part in end[1:]))
        self.drates: list[Rates] = []  # [..., G] each, the last step first
        self.at_the_end = dx.norm(dim=-1)

    def through(self, t: int, state: State, g: Tensor, pull: Pull) -> None:
        """`state` is the one before step t, `g` and `pull` the gradient there and its Hessian products."""
        inner = self.inner
        rates = inner.rates_at(self.expanded.rates, t)
        (dx, *rest), u, drates = inner.problem.dynamics.pull(state, g, rates, self.adjoint)
        hx, htheta = pull(u)
        self.adjoint = (dx + hx, *rest)
        for name, more in htheta.items():
            self.dtheta[name] += more
        self.drates.append(tuple(inner.problem.layout.gather(rate) for rate in drates))

    def recompute(self, t: int, state: State) -> None:
        """`through`, with the gradient asked for again."""
        g, _, pull = self.inner.gradient_and_pull(t, state[0], self.expanded.theta)
        self.through(t, state, g, pull)

    def parts(self, parts: Parts, from_start: bool = True) -> Parts:
        """The gradient by each part. Steps that were not walked count as zero, and so does x₀ if not reached."""
        skipped = self.inner.T - len(self.drates)
        walked = list(reversed(self.drates))
        nothing = [tuple(torch.zeros_like(rate) for rate in walked[0])] * skipped
        drates = tuple(torch.stack(rate) for rate in zip(*(nothing + walked), strict=True))
        return self.inner.pull_expand(parts, self.adjoint[0] if from_start else None, drates, self.dtheta)

    @property
    def growth(self) -> Tensor:
        """Λ = log(‖d/dx₀‖ / ‖d/dx_T‖), [...]: how much the way back has magnified; beyond about 5 is chaos."""
        return self.adjoint[0].norm(dim=-1).log() - self.at_the_end.log()
