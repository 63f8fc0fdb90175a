"""Reads the caption: a quasi-RNN (Bradbury et al. 2016), a convolution over words, then fo-pooling.

    (j, f, o) = conv over the last `radius` words
    c_t = f c_{t-1} + (1 - f) tanh j        h_t = o tanh c_t

Padding is invisible to it: a caption reads the same alone and beside a longer one, and its summary is
taken at its own last word, not at the batch's.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models import config
from models.tokenizer import PAD

FORGET = 1.0  # added to f: remember a few words, for captions of a few words


class Reader(nn.Module):
    """tokens [B, T] -> states [B, T, D], which of them are words [B, T], and a summary [B, D].

    D = `width` is `size`, twice that when it reads both ways. Each caption has at least one word.
    """

    def __init__(self, vocabulary: int, reader: config.Reader):
        super().__init__()
        self.embed = nn.Embedding(vocabulary, reader.size, padding_idx=PAD)
        directions = 2 if reader.bidir else 1
        self.passes = nn.ModuleList(QRNN(reader) for _ in range(directions))
        self.width = reader.size * directions

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        there = tokens != PAD  # [B, T]
        x = self.embed(tokens)  # [B, T, S]
        states = [self.passes[0](x, there)]  # [B, T, S]
        summary = [_last(states[0], there)]  # [B, S]
        if len(self.passes) == 2:
            back = self.passes[1](_turn(x, there), there)  # [B, T, S]
            states.append(_turn(back, there))
            summary.append(_last(back, there))
        return torch.cat(states, -1), there, torch.cat(summary, -1)


class QRNN(nn.Module):
    """One direction: x [B, T, S] -> h [B, T, S]."""

    def __init__(self, reader: config.Reader):
        super().__init__()
        size = reader.size
        self.radius = reader.radius
        self.conv = nn.Conv1d(size, 3 * size, reader.radius)
        self.start = nn.Parameter(torch.zeros(size))  # c before the first word
        self.norm = nn.LayerNorm(3 * size) if reader.normalize else nn.Identity()
        self.norm_c = nn.LayerNorm(size) if reader.normalize else nn.Identity()

    def forward(self, x: Tensor, there: Tensor) -> Tensor:
        x = F.pad(x.transpose(1, 2), (self.radius - 1, 0))  # [B, S, R-1+T]: looks back only
        gates = self.norm(self.conv(x).transpose(1, 2))  # [B, T, 3S]
        j, f, o = gates.chunk(3, -1)  # [B, T, S] each
        j, f, o = j.tanh(), (f + FORGET).sigmoid(), o.sigmoid()
        c = self.start.expand(len(x), -1)  # [B, S]
        h = []
        for t in range(there.shape[1]):
            c = torch.where(there[:, t, None], f[:, t] * c + (1 - f[:, t]) * j[:, t], c)
            h.append(o[:, t] * self.norm_c(c).tanh())
        return torch.stack(h, 1) * there[..., None]  # [B, T, S], zero at padding


def _turn(x: Tensor, there: Tensor) -> Tensor:
    """Each caption back to front within its own length; padding stays where it is. [B, T, S]."""
    t = torch.arange(there.shape[1], device=x.device)
    last = there.sum(1, keepdim=True) - 1  # [B, 1]
    source = torch.where(there, last - t, t)  # [B, T]
    return x.gather(1, source[..., None].expand_as(x))


def _last(h: Tensor, there: Tensor) -> Tensor:
    """The state at each caption's last word: [B, S]."""
    return h[torch.arange(len(h), device=h.device), there.sum(1) - 1]
