"""The result of `hypergradient`: value and gradient, diagnostics of their reliability, and costs."""

from dataclasses import dataclass

import torch
from torch import Tensor

from meta.hypers import Hypers


@dataclass(frozen=True, eq=False)
class Result:
    """S is the number of seeds. With `many`, every shape below has an axis [K] in front."""

    value: Tensor  # [] the outer loss after training, mean over the seeds
    grads: Hypers  # its gradient, mean over the seeds; tied parts as they were given
    seed_values: Tensor  # [S]
    seed_grads: Hypers  # [S, *shape]
    weights: Tensor  # [S, P] after training
    curves: dict[str, Tensor]  # "inner": [S, T], the inner loss before each step
    growth: Tensor | None  # [S] Λ, how much the way back magnified; None for methods that have no way back
    inner_grad_norm: Tensor  # [S] ‖∇L(x_T)‖, which implicit differentiation takes for zero
    peak_bytes: int | None  # rise of peak memory; None where the system does not report it
    ms: float  # wall time per inner step of one run, forth and back, in milliseconds
    bits: float | None  # kept for the way back, per parameter and inner step, beyond the fixed state
    exact: bool | None  # the way back ended at the start, bit for bit; None for methods that don't reverse
    # [S] each, depending on the method: implicit's "residual", the number of evolution's "pairs" used
    figures: dict[str, Tensor]
    method: str
    why: str  # why that method, and with what settings

    def standard_error(self) -> Hypers:
        """Of `grads`, from the spread over the seeds; NaN for a single seed."""
        axis = self.seed_values.dim() - 1
        seeds = self.seed_values.shape[-1]
        parts = self.seed_grads.parts()
        if seeds == 1:
            return Hypers.of(
                {name: torch.full_like(part.mean(axis), torch.nan) for name, part in parts.items()}
            )
        return Hypers.of({name: part.std(axis) / seeds**0.5 for name, part in parts.items()})

    def agreement(self) -> Tensor:
        """Mean cosine between the gradients of two seeds, []; below 0 they have no common direction."""
        seeds = self.seed_values.shape[-1]
        if self.seed_values.dim() != 1 or seeds < 2:
            return torch.tensor(torch.nan)
        flat = torch.cat([part.flatten(1).double() for part in self.seed_grads.parts().values()], 1)
        unit = flat / flat.norm(dim=1, keepdim=True)
        return (unit.sum(0).square().sum() - seeds) / (seeds * (seeds - 1))
