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
from meta.problems.transforms import Transform, learned_times


@dataclass(frozen=True, eq=False)
class Examples:
    """Images as rows, and their classes."""

    images: Tensor  # [N, D]
    labels: Tensor  # [N] int64


def layout(widths: Sequence[int]) -> Layout:
    """widths: inputs, hidden units ..., classes."""
    pieces = []
    for layer, (n, m) in enumerate(itertools.pairwise(widths)):
        pieces += [Piece(f"W{layer}", (n, m), layer), Piece(f"b{layer}", (m,), layer)]
    return Layout(tuple(pieces))


def logits(x: Tensor, images: Tensor, layers: Layout) -> Tensor:  # [P], [B, D] -> [B, C]
    """The network's outputs for a batch of images, with x as its weights."""
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
    test: Examples | None = None,
    seen: Examples | None = None,
    transform: Transform | None = None,
) -> Problem:
    """A problem trained on batches of `train`, with the loss on all of `valid` as its outer loss.

    Learned data or labels (hypers.data [N, D], hypers.labels [N, C]) take the place of the given examples.

    scores: loss and error on train (or on `seen`, where what is trained on is learned), valid and test.
    transform: moves the examples of each batch along hypers.generator.
    """
    layers = layout([train.images.shape[1], *hidden, classes])
    batches = Batches(len(train.images), batch)
    judged = {"train": seen or train, "valid": valid} | ({"test": test} if test else {})

    def init(seed: int) -> Tensor:  # standard normal: log_init_scale is the log of its standard deviation
        return torch.randn(layers.P, generator=torch.Generator().manual_seed(seed)).to(train.images.device)

    def some(t: int, seed: int) -> tuple[Tensor, ...]:
        rows = batches(t, seed).to(train.images.device)
        times = (transform.times(t, seed, rows),) if transform else ()
        return rows, train.images[rows], train.labels[rows], *times

    def inner_loss(x: Tensor, h: Hypers, some: tuple[Tensor, ...]) -> Tensor:
        rows, images, labels = some[:3]
        images = images if h.data is None else h.data[rows]
        labels = labels if h.labels is None else h.labels[rows].softmax(-1)
        if transform and h.generator is not None:
            images = transform(h.generator, learned_times(h, some[3]), images)
        return cross_entropy(logits(x, images, layers), labels)

    def outer_loss(x: Tensor, h: Hypers) -> Tensor:
        loss = cross_entropy(logits(x, valid.images, layers), valid.labels)
        return loss + transform.penalty(h.generator) if transform and h.generator is not None else loss

    def scores(x: Tensor) -> dict[str, float]:
        found: dict[str, float] = {}
        with torch.no_grad():
            for name, those in judged.items():
                z = logits(x, those.images, layers)
                found[f"loss/{name}"] = cross_entropy(z, those.labels).item()
                found[f"error/{name}"] = (z.argmax(-1) != those.labels).double().mean().item()
        return found

    shapes = {"data": tuple(train.images.shape), "labels": (len(train.labels), classes)}
    law = dynamics or HeavyBall()
    return Problem(layers, steps, init, inner_loss, outer_loss, some, law, scores, shapes=shapes)
