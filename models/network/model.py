"""The whole model: a caption and a picture with holes -> a histogram of levels for every pixel.

tokens --- Reader --- FullyConnected
                     v  (merged at some layers)
picture, holes --- Convnet --- Head --- 256 logits for each pixel and channel
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from models.config import Config
from models.network.convnets import Convnet
from models.network.fully import FullyConnected
from models.network.head import Head
from models.network.inputs import LEVELS, OneHot, Scalar
from models.network.reader import Caption, Reader
from models.noise import Noise


class CaptionModel(nn.Module):
    """`read` encodes captions, `draw` predicts pixels from them, and `forward` does both.

    `noise` is given in training only, for dropout. No method synchronises with the device or has shapes that
    depend on data. Convolutions are channels_last, as tensor cores prefer; on one CPU core that is twice as fast,
    too.
    """

    def __init__(self, hypers: Config, vocabulary: int):
        super().__init__()
        self.side = hypers.size
        self.reader = Reader(vocabulary, hypers.reader)
        self.see = OneHot(hypers.convnet.depth) if hypers.convnet.input == "onehot" else Scalar()
        self.fully = FullyConnected(self.reader.width, hypers.fc)
        self.convnet = Convnet(self.see.channels, hypers.size, (self.reader.width, self.fully.width), hypers)
        self.head = Head(self.convnet.depth, hypers.head.cosines)
        line = torch.linspace(-1, 1, hypers.size)
        self.where: Tensor
        where = torch.stack(torch.meshgrid(line, line, indexing="ij"))  # [2, H, W]
        if not hypers.convnet.coordinates:  # two planes of zeros say nothing
            where = torch.zeros_like(where)
        self.register_buffer("where", where, persistent=False)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(
        self,
        images: Tensor,
        given: Tensor,
        tokens: Tensor,
        at: Tensor | None = None,
        noise: Noise | None = None,
    ) -> Tensor:
        """`draw` after `read`."""
        return self.draw(images, given, self.read(tokens, noise), at, noise)

    def read(self, tokens: Tensor, noise: Noise | None = None) -> Caption:
        """tokens [B, T] int64, each row at least one word and then padding -> states [B, T, D], which of them
        are words [B, T], and a summary [B, S]."""
        caption = self.reader(tokens, noise)
        return caption._replace(summary=self.fully(caption.summary, noise))

    def draw(
        self,
        images: Tensor,
        given: Tensor,
        caption: Caption,
        at: Tensor | None = None,
        noise: Noise | None = None,
        paint: Callable[..., Tensor] | None = None,
    ) -> Tensor:
        """images [B, 3, H, W] uint8, given [B, 3, H, W] bool, at [B, K] -> logits [B, K, 3, 256].

        The logits are those at the pixels `at` (row-major indices), or at all H*W pixels when it is None. Pixels
        that are not given have no influence. `paint`: the method of this name, compiled. Raises ValueError for other
        shapes.
        """
        wanted = (len(images), 3, self.side, self.side)
        if images.shape != wanted or given.shape != wanted:
            raise ValueError(
                f"images {tuple(images.shape)} and given {tuple(given.shape)} must both be [B, 3, {self.side}, "
                f"{self.side}]: the model was made for size = {self.side}"
            )
        paint = self.paint if paint is None else paint
        return paint(self.see(images, given, self.where), caption, at, noise)

    def paint(
        self, seen: Tensor, caption: Caption, at: Tensor | None = None, noise: Noise | None = None
    ) -> Tensor:
        """The part of `draw` that is worth compiling: seen [B, C, H, W] (what `see` gives) -> logits [B, K, 3, 256].

        `see` stays outside: compiled, the gradient of a one-hot input's rows would be summed in any order.
        """
        x = self.convnet(seen, caption, noise)  # [B, C, H, W]
        return self.head(pixels(x, at)).unflatten(-1, (3, LEVELS))


def pixels(x: Tensor, at: Tensor | None) -> Tensor:
    """Of x [B, C, H, W] the pixels `at` [B, K] or all of them, in the order of the logits: [B, K, C]."""
    rows = x.permute(0, 2, 3, 1).flatten(1, 2)  # [B, H*W, C]: in channels_last only another view
    if at is None:
        return rows
    images, area, _ = rows.shape
    # A pixel is a row of one table of all images', and rows are read whole.
    row = at + area * torch.arange(images, device=at.device)[:, None]  # [B, K]
    return rows.flatten(0, 1).index_select(0, row.flatten()).unflatten(0, at.shape)
