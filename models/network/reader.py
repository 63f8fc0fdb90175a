"""The reader of captions: an embedding of words, then stacked layers of recurrent cells.

Padding is invisible: a caption reads the same alone and beside a longer one, in both directions and
through all layers. Its summary is taken at its own last word (reading backwards: at its first), not at
the batch's last as in 2017, where the summary of every caption but the longest was of padding. To that the states at
all words are added (`reader.summary`): what a word in the middle says need not be remembered to the end.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from models import config
from models.data.tokenizer import PAD
from models.network.cells import CELLS
from models.network.dropout import dropout
from models.noise import Noise


class Caption(NamedTuple):
    """The reader's output for a batch of captions."""

    states: Tensor  # [B, T, D], zero at padding
    there: Tensor  # [B, T] bool, False at padding
    summary: Tensor  # [B, D]


class Reader(nn.Module):
    """tokens [B, T], each row at least one word and then padding -> Caption with D = `width`."""

    def __init__(self, vocabulary: int, reader: config.Reader):
        super().__init__()
        self.rate, self.bidir, self.sums = reader.dropout, reader.bidir, reader.summary == "sum"
        self.width = reader.size * (2 if reader.bidir else 1)
        self.embed = nn.Embedding(vocabulary, reader.embedding, padding_idx=PAD)
        inward = [reader.embedding] + [self.width] * (reader.layers - 1)
        self.forwards = nn.ModuleList(CELLS[reader.kind](n, reader) for n in inward)
        self.backwards = nn.ModuleList(CELLS[reader.kind](n, reader) for n in inward if reader.bidir)

    def forward(self, tokens: Tensor, noise: Noise | None = None) -> Caption:
        """Reads tokens [B, T]; `noise` is given in training only, for dropout."""
        there = tokens != PAD  # [B, T]
        last = there.sum(1, keepdim=True) - 1  # [B, 1]
        t = torch.arange(tokens.shape[1], device=tokens.device)
        back = torch.where(there, last - t, t)  # [B, T]: back to front within the caption; padding stays

        x = self.embed(tokens)  # [B, T, E]
        for i, forwards in enumerate(self.forwards):
            x = dropout(x, self.rate, noise, f"reader.{i}", len(x), 1, x.shape[2])
            h = [forwards(x)]  # [B, T, S]
            if self.bidir:
                h.append(_at(self.backwards[i](_at(x, back)), back))
            x = torch.cat(h, -1) * there[..., None]  # [B, T, D]

        ends = [_at(x, last)[:, 0]]  # [B, D]: having read everything forwards ...
        if self.bidir:  # ... and backwards
            ends = [ends[0][:, : self.width // 2], x[:, 0, self.width // 2 :]]  # [B, S] each
        summary = torch.cat(ends, -1)  # [B, D]
        return Caption(x, there, summary + x.sum(1) if self.sums else summary)


def _at(x: Tensor, t: Tensor) -> Tensor:
    """The rows t [B, N] of x [B, T, D]: [B, N, D]."""
    return x.gather(1, t[..., None].expand(-1, -1, x.shape[2]))
