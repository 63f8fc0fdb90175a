"""Dropout (Srivastava et al. 2014) drawn from `Noise`, so that a resumed training drops the same units.

What is near is alike: dropping single pixels or words takes little away that a neighbour would not say
again. So a unit is dropped for all words of a caption (Gal, Ghahramani 2016, "A theoretically grounded
application of dropout in recurrent neural networks") and a channel for all pixels of an image (Tompson
et al. 2015, "Efficient object localization using convolutional networks").
"""

from torch import Tensor

from models.noise import Noise


def dropout(x: Tensor, rate: float, noise: Noise | None, stream: str, *shape: int) -> Tensor:
    """x with a share `rate` of it dropped and the rest scaled up to the same mean; x itself without `noise`.

    `shape` is that of the mask and is broadcast: [B, 1, D] for captions, [B, C, 1, 1] for images.
    """
    if noise is None or rate == 0:
        return x
    kept = noise.uniform(stream, *shape) >= rate
    return x * (kept / (1 - rate)).to(x.dtype)
