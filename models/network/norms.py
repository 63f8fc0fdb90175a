"""Normalisation with statistics in float32, whatever the precision around it.

In bfloat16 the mean of 100,000 activations, a cell's memory over 64 words or a softmax would keep two
digits. So each of these is worked out in float32 (float64 stays float64) and handed on as asked.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.network import norm_relu


def wide(x: Tensor) -> Tensor:
    """x converted to float32; float64 stays as it is."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


class LayerNorm(nn.LayerNorm):
    """Over the last dimension (Ba, Kiros, Hinton 2016). Its answer is float32 (or float64)."""

    def forward(self, input: Tensor) -> Tensor:
        """input [..., D] -> the same shape, in float32 or float64."""
        return super().forward(wide(input))


class ImageNorm(nn.GroupNorm):
    """All channels and pixels of an image as one group (Wu, He 2018): x [B, C, H, W] -> the same, same dtype.

    Any number of channels, any batch size, nothing remembered from one batch to the next.
    """

    def __init__(self, channels: int):
        super().__init__(1, channels)

    def forward(self, input: Tensor) -> Tensor:
        """input [B, C, H, W] -> the same shape and dtype."""
        # A CPU has one fused kernel that keeps the memory format. On a GPU torch's would first copy channels_last
        # to channels first, and autocast would have it answer in float32.
        return super().forward(input) if input.device.type == "cpu" else self.spelled_out(input)

    def rectified(self, input: Tensor, added: Tensor | None = None) -> Tensor:
        """relu(the normalised input + added), both [B, C, H, W]: on a GPU in a few passes over the activations."""
        if input.device.type != "cpu" and norm_relu.takes(input, added):
            return norm_relu.norm_relu(input, self.weight, self.bias, self.eps, added)
        y = self(input)
        return F.relu(y if added is None else added + y)

    def spelled_out(self, input: Tensor) -> Tensor:
        """The same in elementary operations, which a compiler can fuse with those around them."""
        x = wide(input)
        variance, mean = torch.var_mean(x, (1, 2, 3), correction=0, keepdim=True)  # [B, 1, 1, 1]
        scale = self.weight[:, None, None] * torch.rsqrt(variance + self.eps)  # [B, C, 1, 1]
        return torch.addcmul(self.bias[:, None, None] - mean * scale, x, scale).to(input.dtype)
