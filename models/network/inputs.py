"""The convnet's input: the given pixels, the mask, and coordinates.

`scalar`: an intensity is one number, so that 100 is near 101 need not be learned.
`onehot`: an intensity is one of 256, as in 2017, where even that order had to be learned.
Pixels that are not given are replaced, so the image may hold anything there.
"""

import math

import torch
from torch import Tensor, nn

LEVELS = 256
PLACE = 2  # coordinates, from -1 to 1


class Scalar(nn.Module):
    """images uint8 and given bool [B, 3, H, W], where [2, H, W] -> [B, 8, H, W]."""

    channels = 3 + 3 + PLACE

    def forward(self, images: Tensor, given: Tensor, where: Tensor) -> Tensor:
        """images and given [B, 3, H, W], where [2, H, W] -> [B, `channels`, H, W]."""
        x = (images.to(where.dtype) / 127.5 - 1) * given
        return torch.cat([x, given.to(where.dtype), where.expand(len(x), -1, -1, -1)], 1)


class OneHot(nn.Module):
    """The same arguments -> [B, `channels`, H, W]: a 1x1 convolution of 3 x 256 one-hot channels and the other 5.

    That product picks three rows of its matrix for each pixel, and picking them is all we do: one-hot channels
    would be 3 kB a pixel. (In 2017 the first layer's whole kernel saw them; here it sees their projection.)
    """

    def __init__(self, channels: int):
        super().__init__()
        self.channels = channels
        self.levels = nn.Embedding(3 * LEVELS + 1, channels, padding_idx=3 * LEVELS)  # the last: not given
        self.rest = nn.Conv2d(3 + PLACE, channels, 1)
        with torch.no_grad():
            self.levels.weight /= math.sqrt(3)  # three are added: together of variance 1

    def forward(self, images: Tensor, given: Tensor, where: Tensor) -> Tensor:
        """images and given [B, 3, H, W], where [2, H, W] -> [B, `channels`, H, W]."""
        row = torch.stack([x + LEVELS * c for c, x in enumerate(images.long().unbind(1))])  # [3, B, H, W]
        row = torch.where(given.transpose(0, 1), row, 3 * LEVELS)
        seen = self.levels(row[0]) + self.levels(row[1]) + self.levels(row[2])  # [B, H, W, C]
        rest = torch.cat([given.to(where.dtype), where.expand(len(given), -1, -1, -1)], 1)  # [B, 5, H, W]
        rest = self.rest(rest)
        return seen.permute(0, 3, 1, 2).to(rest.dtype) + rest
