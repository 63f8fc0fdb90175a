"""Selection of the pixels of a masked image that enter the loss.

A step computes the logits of a few random pixels only, an unbiased estimate at a fraction of the cost:
three times 256 logits for each pixel are most of what a small model computes, and most of what it keeps.
"""

import torch
from torch import Tensor

from models.network.model import pixels
from models.noise import Noise


def choose(given: Tensor, count: int, noise: Noise, also_given: bool = False) -> tuple[Tensor, Tensor]:
    """Up to `count` different random pixels of each image: `at` [B, K], and `asked` [B, K, 3] bool.

    Pixels with a hidden channel come first; where an image has fewer than K, the rest of its row is not asked.
    With `also_given`, pixels are drawn from the whole image and all channels asked. given is [B, 3, H, W] bool.
    """
    something = ~given.all(1).flatten(1)  # [B, H*W]
    order = noise.uniform("pixels", *something.shape)
    if not also_given:
        order = order + something
    at = order.topk(min(count, order.shape[1])).indices  # [B, K]
    asked = torch.ones_like(given) if also_given else ~given
    return at, pixels(asked, at)
