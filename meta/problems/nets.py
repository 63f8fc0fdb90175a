"""Fully connected networks on examples that are given: softmax regression, and layers of tanh before it."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from meta.batches import Batches
from meta.dynamics import Dynamics, HeavyBall
from meta.hypers import Hypers
from meta.problem import Layout, Piece, Problem


@dataclass(frozen=True, eq=False)
class Examples:
    images: Tensor  # [N, D]
    labels: Tensor  # [N] int64


def layout(widths: Sequence[int]) -> Layout:
    """widths: inputs, hidden units ..., classes."""
    pieces = []
    for layer, (n, m) in enumerate(itertools.pairwise(widths)):
        pieces += [Piece(f"W{layer}", (n, m), layer), Piece(f"b{layer}", (m,), layer)]
    return Layout(tuple(pieces))


def logits(x: Tensor, images: Tensor, layers: Layout) -> Tensor:  # [P], [B, D] -> [B, C]
    *hidden, (w, b) = zip(*[iter(layers.split(x))] * 2, strict=True)
    h = images.to(x.dtype)
    for w_, b_ in hidden:
        h = torch.tanh(torch.addmm(b_, h, w_))
    return torch.addmm(b, h, w)


def network(
    train: Examples,
    valid: Examples,
    hidden: Sequence[int] = (),
    *,
    steps: int,
    batch: int,
    classes: int = 10,
    dynamics: Dynamics | None = None,
) -> Problem:
    """Trained on batches of `train`, judged on all of `valid`. Learned data or labels (hypers.data [N, D],
    hypers.labels [N, C]) take the place of the examples that come with it."""
    layers = layout([train.images.shape[1], *hidden, classes])
    batches = Batches(len(train.images), batch)

    def init(seed: int) -> Tensor:  # standard normal: log_init_scale is the log of its standard deviation
        return torch.randn(layers.P, generator=torch.Generator().manual_seed(seed)).to(train.images.device)

    def some(t: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
        rows = batches(t, seed).to(train.images.device)
        return rows, train.images[rows], train.labels[rows]

    def inner_loss(x: Tensor, h: Hypers, some: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        rows, images, labels = some
        images = images if h.data is None else h.data[rows]
        labels = labels if h.labels is None else h.labels[rows].softmax(-1)
        return cross_entropy(logits(x, images, layers), labels)

    def outer_loss(x: Tensor, h: Hypers) -> Tensor:
        return cross_entropy(logits(x, valid.images, layers), valid.labels)

    return Problem(layers, steps, init, inner_loss, outer_loss, some, dynamics or HeavyBall())
