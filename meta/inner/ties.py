"""Ties: a linear map from few free values to many hyperparameters, along the first axis of a part.

    hypergradient(problem, Hypers(log_lr=raw), ties={"log_lr": piecewise(1000, 10)})    raw: [10, G]

Forward mode and evolution strategies then have a cost of 10 G hyperparameters instead of 1,000 G.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Tie:
    """part = matrix @ raw.  matrix: [n, k], raw: [k, ...], part: [n, ...]"""

    matrix: Tensor

    def spread(self, raw: Tensor) -> Tensor:
        """matrix @ raw, [k, ...] -> [n, ...], differentiable. Raises ValueError when raw has not k rows."""
        matrix = self.matrix.to(raw)
        if raw.shape[0] != matrix.shape[1]:
            raise ValueError(f"a tied part has {raw.shape[0]} rows; its tie takes {matrix.shape[1]}")
        return torch.tensordot(matrix, raw, 1)


Ties = Mapping[str, Tie]  # by the part's name


def constant(n: int) -> Tie:
    """One value for all n."""
    return Tie(torch.ones(n, 1, dtype=torch.float64))


def piecewise(n: int, k: int) -> Tie:
    """n steps in k pieces of (nearly) equal length, one value per piece. Raises ValueError unless 1 <= k <= n."""
    if not 1 <= k <= n:
        raise ValueError(f"piecewise: {k} pieces of {n} steps; give 1 to {n}")
    piece = torch.arange(n) * k // n
    return Tie(torch.nn.functional.one_hot(piece, k).double())


def per_epoch(n: int, steps_per_epoch: int) -> Tie:
    """One value per epoch. Raises ValueError for less than one step per epoch."""
    if steps_per_epoch < 1:
        raise ValueError(f"per_epoch: {steps_per_epoch} steps per epoch; give 1 or more")
    epoch = torch.arange(n) // steps_per_epoch
    return Tie(torch.nn.functional.one_hot(epoch).double())


def linear(n: int, k: int) -> Tie:
    """k knots from the first step to the last, linear in between. Raises ValueError unless 2 <= k <= n."""
    if not 2 <= k <= n:
        raise ValueError(f"linear: {k} knots on {n} steps; give 2 to {n}")
    at = torch.linspace(0, k - 1, n, dtype=torch.float64)[:, None]
    return Tie((1 - (at - torch.arange(k)).abs()).clamp_min(0))
