"""The whole model: a caption and a picture with holes -> a histogram of levels for every pixel.

tokens --- Reader ---+
                     v  (merged at some layers)
picture, holes --- Convnet --- Head --- 256 logits for each pixel and channel
"""

import torch
from torch import Tensor, nn

from models.config import Config
from models.convnets import Convnet
from models.mergers import Caption
from models.reader import Reader

LEVELS = 256
INPUTS = 3 + 1 + 2  # intensities, which of them are given, and where in the picture we are


class CaptionModel(nn.Module):
    """forward(images [B, 3, H, W] uint8, given [B, 1, H, W] bool, tokens [B, T], at [B, K] or None)
    -> logits [B, K, 3, 256] at the pixels `at` (row-major numbers), at all H*W of them when None.

    What is not given is never seen: the images may hold anything there.
    """

    def __init__(self, hypers: Config, vocabulary: int):
        super().__init__()
        self.reader = Reader(vocabulary, hypers.reader)
        self.convnet = Convnet(INPUTS, hypers.size, self.reader.width, hypers)
        self.head = nn.Linear(hypers.convnet.depth, 3 * LEVELS)
        line = torch.linspace(-1, 1, hypers.size)
        self.where: Tensor
        self.register_buffer("where", torch.stack(torch.meshgrid(line, line, indexing="ij")))  # [2, H, W]

    def forward(self, images: Tensor, given: Tensor, tokens: Tensor, at: Tensor | None = None) -> Tensor:
        caption = Caption(*self.reader(tokens))
        # One number for an intensity, not 256 as in 2017: that 100 is near 101 need not be learned.
        x = (images.float() / 127.5 - 1) * given  # [B, 3, H, W]
        x = torch.cat([x, given.float(), self.where.expand(len(x), -1, -1, -1)], 1)  # [B, 6, H, W]
        x = pixels(self.convnet(x, caption), at)  # [B, K, C]
        return self.head(x).unflatten(-1, (3, LEVELS))  # [B, K, 3, 256]


def pixels(x: Tensor, at: Tensor | None) -> Tensor:
    """Of x [B, C, H, W] the pixels `at` [B, K] or all of them, in the order of the logits: [B, K, C]."""
    x = x.flatten(2).transpose(1, 2)  # [B, H*W, C]
    return x if at is None else x.gather(1, at[..., None].expand(-1, -1, x.shape[2]))
