"""Mergers: three ways for the caption to enter the convnet, before some of its layers.

`attention`: each pixel asks the words, and adds the answer to its activations.
`conv`: the summary is projected to a picture of its own and concatenated into the activations.
`film`: the summary says by how much each channel is scaled and shifted.
Each merge has weights of its own. A merger turns x [B, C, H, W] into [B, C + `extra`, H, W], in the
memory format of x.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models import config
from models.network.norms import LayerNorm, wide
from models.network.reader import Caption


class Attention(nn.Module):
    """z_t = relu(LN(W h_t)),  w = softmax_t(x' U z_t),  x + sum_t w_t z_t."""

    extra = 0

    def __init__(self, channels: int, width: int):
        super().__init__()
        self.w = nn.Linear(width, channels)
        self.norm = LayerNorm(channels)
        self.u = nn.Parameter(torch.eye(channels))

    def forward(self, x: Tensor, caption: Caption) -> Tensor:
        """x [B, C, H, W] -> the same shape."""
        z = F.relu(self.norm(self.w(caption.states))).to(x.dtype)  # [B, T, C]
        pixels = x.permute(0, 2, 3, 1).flatten(1, 2)  # [B, P, C]
        scores = pixels @ F.linear(z, self.u).transpose(1, 2)  # [B, P, T]
        scores = wide(scores).masked_fill(~caption.there[:, None], -torch.inf)  # padding gets no weight
        answer = scores.softmax(-1).to(x.dtype) @ z  # [B, P, C]
        return x + answer.unflatten(1, x.shape[2:]).permute(0, 3, 1, 2)


class Conv(nn.Module):
    """The summary as `depth` more channels, each pixel with weights of its own (which fixes its `side`)."""

    def __init__(self, depth: int, side: int, width: int):
        super().__init__()
        self.extra, self.side = depth, side
        self.project = nn.Linear(width, side * side * depth)

    def forward(self, x: Tensor, caption: Caption) -> Tensor:
        """x [B, C, H, W] -> [B, C + depth, H, W]."""
        told = self.project(caption.summary).unflatten(-1, (self.side, self.side, self.extra))
        return torch.cat([x, told.permute(0, 3, 1, 2).to(x.dtype)], 1)  # [B, C + depth, H, W]


class FiLM(nn.Module):
    """x (1 + gamma) + beta for each channel (Perez et al. 2018, their equation 2); at first x itself."""

    extra = 0

    def __init__(self, channels: int, width: int):
        super().__init__()
        self.project = nn.Linear(width, 2 * channels)
        nn.init.zeros_(self.project.weight)
        nn.init.zeros_(self.project.bias)

    def forward(self, x: Tensor, caption: Caption) -> Tensor:
        """x [B, C, H, W] -> the same shape."""
        gamma, beta = self.project(caption.summary)[..., None, None].to(x.dtype).chunk(2, 1)  # [B, C, 1, 1]
        return x * (1 + gamma) + beta


def build(
    merger: config.Merger, channels: int, side: int, states: int, summary: int
) -> Attention | Conv | FiLM:
    """One merge into activations of `channels`, of a caption whose states and summary are so wide."""
    if merger.kind == "attention":
        return Attention(channels, states)
    if merger.kind == "film":
        return FiLM(channels, summary)
    return Conv(merger.depth, side, summary)
