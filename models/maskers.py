"""Which pixels are given: contiguous holes, so that the model can't just copy the neighbour.

`contiguish` is the masking of the post "more contiguous masking": a pixel is given if a whole block of
fair coins around it came up heads, which makes given and asked pixels lie in patches. p, the chance of
a pixel to be given, is drawn anew for every image (drawing it once for a run compares different tasks).
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from models import config

Masker = Callable[[int, int, Generator], Tensor]  # (images, side, rng) -> [B, 1, H, W] bool, True = given


def contiguish(p: Tensor, side: int, radius: int, rng: Generator) -> Tensor:
    """[B, 1, side, side] bool, True where given: P(given) = p[b] exactly, in patches.

    A pixel is given if all a = (2 radius + 1)^2 coins around it are heads, each with chance p^(1/a).
    Everything or nothing may come out given; radius 0 is one coin a pixel.
    """
    d = 2 * radius + 1
    q = p.pow(1 / d**2).view(-1, 1, 1, 1)  # [B, 1, 1, 1]
    coins = torch.rand(len(p), 1, side + d - 1, side + d - 1, generator=rng)  # [B, 1, H+2r, W+2r]
    tails = (coins >= q).float()
    return F.max_pool2d(tails, d, stride=1) == 0  # [B, 1, H, W]


def build(masker: config.Masker) -> Masker:
    def draw(images: int, side: int, rng: Generator) -> Tensor:
        p = torch.rand(images, generator=rng)  # U(0, 1) for each image
        return contiguish(p, side, masker.radius, rng)

    return draw
