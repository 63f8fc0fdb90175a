"""The first weights, from the problem's draws and the hyperparameters that shape them."""

import torch
from torch import Tensor
from torch.nn.functional import softplus

from meta.hypers import Parts
from meta.problem import Layout


def first_weights(draws: Tensor, parts: Parts, layout: Layout) -> Tensor:
    """[P] -> [P]: scaled group by group, or sent through each group's quantiles (then draws must be N(0, 1)).

    With `init` they are that, whatever was drawn; scales and quantiles then act on it.
    """
    x = parts.get("init", draws)
    if "init_bins" in parts:
        x = layout.by_group(x, parts["init_bins"], through_quantiles)
    if "log_init_scale" in parts:
        x = x * layout.spread(parts["log_init_scale"].exp())
    return x


def quantiles(bins: Tensor) -> Tensor:
    """[..., B] without bounds -> the edges of B−1 bins of equal mass, in order: a first value, then gaps.

    Sorted by construction, so every end of every bin has its own gradient. (HIPS/hypergrad's scripts updated the
    two end bins with the gradients of the first two.)
    """
    return torch.cat([bins[..., :1], bins[..., :1] + softplus(bins[..., 1:]).cumsum(-1)], -1)


def bins_of(edges: Tensor) -> Tensor:  # [B] -> [B]
    """The inverse of `quantiles`."""
    return torch.cat([edges[:1], edges.diff().expm1().log()])  # softplus⁻¹ of the gaps


def normal_bins(count: int) -> Tensor:  # -> [count]
    """init_bins that leave N(0, 1) as it is, up to straight lines between its quantiles; float64.

    An outermost edge would lie at infinity. It lies where the end bin keeps the mean of the tail that it stands for.
    """
    if count < 3:
        raise ValueError(f"normal_bins: {count} edges do not hold two tails; give 3 or more")
    mass = 1 / (count - 1)
    inner = torch.special.ndtri(torch.arange(1, count - 1, dtype=torch.float64) * mass)
    tail = (-0.5 * inner[-1] ** 2).exp() / (2 * torch.pi) ** 0.5 / mass  # E[z | z > inner[-1]]
    last = 2 * tail - inner[-1]
    return bins_of(torch.cat([-last[None], inner, last[None]]))


def through_quantiles(z: Tensor, bins: Tensor) -> Tensor:  # z: [n] from N(0, 1), bins: [B] -> [n]
    """Maps z by its rank, linearly between quantiles."""
    edges = quantiles(bins)
    last = edges.shape[-1] - 1
    place = torch.special.ndtr(z) * last
    low = place.floor().clamp(0, last - 1)
    low_ = low.long()
    return torch.lerp(edges[low_], edges[low_ + 1], place - low)
