"""Where the caption enters the picture, again and again: the convnet attends to it, or is told it.

`attention`: each pixel asks the words, and adds the answer to its activations.
`conv`: the summary is projected to a picture of its own and concatenated into the activations.
Each merge has weights of its own. A merger turns x [B, C, H, W] into [B, C + `extra`, H, W].
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models import config


class Caption(NamedTuple):
    """What the reader made of a batch of captions."""

    states: Tensor  # [B, T, D]
    there: Tensor  # [B, T] bool, False at padding
    summary: Tensor  # [B, D]


class Attention(nn.Module):
    """z_t = relu(LN(W h_t)),  w = softmax_t(x' U z_t),  x + sum_t w_t z_t."""

    extra = 0

    def __init__(self, channels: int, width: int):
        super().__init__()
        self.w = nn.Linear(width, channels)
        self.norm = nn.LayerNorm(channels)
        self.u = nn.Parameter(torch.eye(channels))

    def forward(self, x: Tensor, caption: Caption) -> Tensor:
        z = F.relu(self.norm(self.w(caption.states)))  # [B, T, C]
        pixels = x.flatten(2)  # [B, C, P]
        scores = z @ self.u.T @ pixels  # [B, T, P]
        scores = scores.masked_fill(~caption.there[..., None], -torch.inf)  # padding gets no weight
        answer = z.transpose(1, 2) @ scores.softmax(1)  # [B, C, P]
        return x + answer.view_as(x)


class Conv(nn.Module):
    """The summary as `depth` more channels, each pixel with weights of its own."""

    def __init__(self, depth: int, side: int, width: int):
        super().__init__()
        self.extra, self.side = depth, side
        self.project = nn.Linear(width, depth * side * side)

    def forward(self, x: Tensor, caption: Caption) -> Tensor:
        told = self.project(caption.summary).view(len(x), self.extra, self.side, self.side)
        return torch.cat([x, told], 1)  # [B, C + depth, H, W]


def build(merger: config.Merger, channels: int, side: int, width: int) -> Attention | Conv:
    """One merge into activations of `channels`, from a reader of `width`."""
    if merger.kind == "attention":
        return Attention(channels, width)
    return Conv(merger.depth, side, width)
