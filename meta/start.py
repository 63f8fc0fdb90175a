"""The first weights, from the problem's draws and the hyperparameters that shape them."""

import torch
from torch import Tensor
from torch.nn.functional import softplus

from meta.hypers import Parts
from meta.problem import Layout


def first_weights(draws: Tensor, parts: Parts, layout: Layout) -> Tensor:
    """[P] -> [P]: scaled group by group, or sent through each group's quantiles (then draws must be N(0, 1))."""
    x = draws
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


def through_quantiles(z: Tensor, bins: Tensor) -> Tensor:  # z: [n] from N(0, 1), bins: [B] -> [n]
    """Piecewise linear between quantiles: z's own rank decides where it lands."""
    edges = quantiles(bins)
    last = edges.shape[-1] - 1
    place = torch.special.ndtr(z) * last
    low = place.floor().clamp(0, last - 1)
    low_ = low.long()
    return torch.lerp(edges[low_], edges[low_ + 1], place - low)
