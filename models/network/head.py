"""The head: a pixel's activations to the 256 logits of each channel's histogram.

Plain weights, as in 2017, learn each level alone: that 100 is near 101 has to be found out for all of them. So to the
weights smooth curves over the levels are added, `head.cosines` cosines whose amplitudes are learned:

    logit_j = (W_j + sum_k a_k cos(pi k (j + 1/2) / 256) / sqrt(k)) x

One step then moves a whole neighbourhood of levels. Any histogram can still be had, from W.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.network.inputs import LEVELS


class Head(nn.Linear):
    """x [..., inward] -> logits [..., 3 * 256]."""

    def __init__(self, inward: int, cosines: int):
        super().__init__(inward, 3 * LEVELS)
        k = torch.arange(1, cosines + 1)[:, None]  # [K, 1]
        curves = torch.cos(math.pi / LEVELS * k * (torch.arange(LEVELS) + 0.5)) / k.sqrt()  # [K, 256]
        self.curves: Tensor
        self.register_buffer("curves", curves, persistent=False)
        self.amplitudes = (
            nn.Parameter(torch.zeros(3, inward + 1, cosines)) if cosines else None
        )  # the last: biases

    def forward(self, input: Tensor) -> Tensor:
        """input [..., inward] -> [..., 3 * 256]."""
        if self.amplitudes is None:
            return super().forward(input)
        smooth = self.amplitudes @ self.curves  # [3, inward + 1, 256]
        weight = self.weight + smooth[:, :-1].transpose(1, 2).flatten(0, 1)  # [3 * 256, inward]
        return F.linear(input, weight, self.bias + smooth[:, -1].flatten())
