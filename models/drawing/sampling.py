"""Completes masked pictures: levels are drawn from the model's histograms, a few variables per pass.

    complete(model, images, given, tokens, Chunked(passes=16), seed=0)

Given pixels stay as they are, bit for bit, and the model never sees hidden ones. Every draw is a function
of the seed, the pass and the variable's place, on any device; see models/drawing/orders.py for the ways.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from models.drawing.orders import Ancestral, Chunked, Gibbs, Median, Sampler
from models.network.model import pixels
from models.noise import Noise

PIXELS = 1 << 15  # shown to the model at a time; their 3 x 256 logits are 100 MB, twice that while drawing
COLD = 1e-30  # the lowest temperature that logits are divided by; 0 takes the likeliest level itself


class Model(Protocol):
    """The interface of models.network.model.CaptionModel, for histograms of L levels."""

    def read(self, tokens: Tensor) -> Any:
        """tokens [B, T] -> whatever `draw` takes as its caption."""
        ...

    def draw(self, images: Tensor, given: Tensor, caption: Any, at: Tensor | None = None) -> Tensor:
        """Logits [B, K, 3, L] at the pixels `at` [B, K], or at all pixels."""
        ...


class Pass(NamedTuple):
    """The state after one pass of a sampler."""

    number: int  # 1 .. of
    of: int
    images: Tensor  # [B, 3, H, W] uint8; 0 where nothing is drawn yet
    drawn: Tensor  # [B, 3, H, W] bool, the variables drawn in this pass


def complete(
    model: Model,
    images: Tensor,
    given: Tensor,
    tokens: Tensor,
    how: Sampler = Median(),
    seed: int = 0,
    progress: Callable[[int, int], object] | None = None,
) -> Tensor:
    """images [B, 3, H, W] uint8 with their holes filled; given [B, 3, H, W] bool, tokens [B, T].

    `progress` is told (pass, of how many) after each. Raises ValueError as `passes` does.
    """
    for done in passes(model, images, given, tokens, how, seed):
        images = done.images
        if progress:
            progress(done.number, done.of)
    return images


@torch.no_grad()
def passes(
    model: Model, images: Tensor, given: Tensor, tokens: Tensor, how: Sampler, seed: int = 0
) -> Iterator[Pass]:
    """The same, a pass at a time; none where nothing is asked. Raises ValueError if the tensors do not fit."""
    _check(images, given, tokens)
    if given.all():
        return
    canvas = images.where(given, 0)  # [B, 3, H, W]
    ask = _Questions(model, tokens, max(1, PIXELS // images[0, 0].numel()))
    if isinstance(how, Median):
        half = torch.full(given.shape, 0.5, device=given.device)  # the draw that is neither high nor low
        levels = ask.levels(canvas, given, ~given, half)
        yield Pass(1, 1, levels.where(~given, canvas), ~given)
    elif isinstance(how, Gibbs):
        yield from _gibbs(ask, canvas, given, how, seed)
    else:
        yield from _reveal(ask, canvas, given, how, seed)


def _reveal(
    ask: "_Questions", canvas: Tensor, given: Tensor, how: Ancestral | Chunked, seed: int
) -> Iterator[Pass]:
    """Drawn variables count as given from then on, until none is left."""
    known, unknown = given, _units(~given, how.per_channel)  # unknown [B, U, H, W], U = 1 or 3
    asked = left = unknown.flatten(1).sum(1)  # [B]
    most = int(asked.max())
    last = most if isinstance(how, Ancestral) else min(how.passes, most)
    rank = _noise(seed, 0, given).uniform("order", *unknown.shape)  # [B, U, H, W]
    for n in range(1, last + 1):
        cosine = (asked * math.cos(math.pi / 2 * n / last)).long() if n < last else torch.zeros_like(asked)
        then = cosine.minimum(left - 1).clamp(min=0)  # [B]
        luck = _luck(_noise(seed, n, given), given, how.per_channel)  # [B, 3, H, W]
        if how.order == "random":
            chosen = _lowest(rank, unknown, left - then) & ~known
            levels = ask.levels(canvas, known, chosen, luck, how.temperature)
        else:
            levels, entropy = ask.levels_and_entropy(canvas, known, ~known, luck, how.temperature)
            rank = entropy if how.per_channel else entropy.sum(1, keepdim=True)
            chosen = _lowest(rank if how.order == "greedy" else -rank, unknown, left - then) & ~known
        canvas, known, left = levels.where(chosen, canvas), known | chosen, then
        unknown = _units(~known, how.per_channel)
        yield Pass(n, last, canvas, chosen)


def _gibbs(ask: "_Questions", canvas: Tensor, given: Tensor, how: Gibbs, seed: int) -> Iterator[Pass]:
    """Variables are drawn again in later passes."""
    units = given if how.per_channel else given[:, :1]
    for n in range(how.passes):
        noise = _noise(seed, n, given)
        chance = how.chance(n) if n else 1.0  # at first there is nothing that could stay
        chosen = (noise.uniform("again", *units.shape) < chance) & ~given
        luck = _luck(noise, given, how.per_channel)
        levels = ask.levels(canvas, ~chosen, chosen, luck, how.temperature)
        canvas = levels.where(chosen, canvas)
        yield Pass(n + 1, how.passes, canvas, chosen)


def quantile(logits: Tensor, luck: Tensor, temperature: float = 1.0) -> Tensor:
    """logits [..., L], luck [...] in [0, 1) -> the first level whose cumulative probability exceeds it [...].

    Luck that is uniform draws from the histogram, 1/2 is its median. A level of probability 0 never comes.
    """
    top = logits.amax(-1, keepdim=True)
    z = (logits - top) / max(temperature, COLD)
    if temperature == 0:  # however little a logit is below the largest
        z = z.masked_fill(logits < top, -math.inf)
    mass = z.exp_().cumsum(-1)  # [..., L]
    level = torch.searchsorted(mass, luck[..., None] * mass[..., -1:], right=True)  # [..., 1]
    return level[..., 0].clamp(max=mass.shape[-1] - 1)  # past the end is where nothing is a number


class _Questions:
    """The model, its captions read once, asked a few images at a time and only where an answer is wanted."""

    def __init__(self, model: Model, tokens: Tensor, batch: int):
        self.model = model
        self.parts = [slice(i, i + batch) for i in range(0, len(tokens), batch)]
        self.captions = [model.read(tokens[part]) for part in self.parts]

    def levels(
        self, canvas: Tensor, known: Tensor, wanted: Tensor, luck: Tensor, temperature: float = 1.0
    ) -> Tensor:
        """[B, 3, H, W] uint8, drawn with `luck` at the pixels of `wanted`."""
        levels = torch.zeros_like(canvas)
        for part, at, logits in self._logits(canvas, known, wanted):
            levels[part] = _put(quantile(logits, pixels(luck[part], at), temperature), at, levels[part])
        return levels

    def levels_and_entropy(
        self, canvas: Tensor, known: Tensor, wanted: Tensor, luck: Tensor, temperature: float
    ) -> tuple[Tensor, Tensor]:
        """The same, and how uncertain each of `wanted` was before the draw: [B, 3, H, W] nats, elsewhere 0."""
        levels, entropy = torch.zeros_like(canvas), torch.zeros_like(luck)
        for part, at, logits in self._logits(canvas, known, wanted):
            levels[part] = _put(quantile(logits, pixels(luck[part], at), temperature), at, levels[part])
            nats = torch.special.entr(logits.softmax(-1)).sum(-1)  # [b, K, 3]
            entropy[part] = _put(nats, at, entropy[part])
        return levels, entropy.where(wanted, 0)

    def _logits(
        self, canvas: Tensor, known: Tensor, wanted: Tensor
    ) -> Iterator[tuple[slice, Tensor, Tensor]]:
        """Some images, the pixels `at` [b, K] that hold all that is wanted of them, and the logits [b, K, 3, L]."""
        for part, caption in zip(self.parts, self.captions, strict=True):
            here = wanted[part].any(1).flatten(1)  # [b, H*W]
            if count := int(here.sum(1).max()):
                at = here.float().topk(count).indices  # an image that wants fewer is asked some more
                seen = canvas[part].where(known[part], 0)  # Gibbs forgets what it draws again
                yield part, at, self.model.draw(seen, known[part], caption, at).float()


def _put(values: Tensor, at: Tensor, x: Tensor) -> Tensor:
    """x [b, 3, H, W] with values [b, K, 3] at the pixels `at` [b, K]."""
    index = at[:, None].expand(-1, x.shape[1], -1)  # [b, 3, K]
    return x.flatten(2).scatter(2, index, values.transpose(1, 2).to(x.dtype)).view_as(x)


def _units(variables: Tensor, per_channel: bool) -> Tensor:
    """What is chosen as one: variables [B, 3, H, W], or the pixels [B, 1, H, W] that have any of them."""
    return variables if per_channel else variables.any(1, keepdim=True)


def _lowest(rank: Tensor, among: Tensor, count: Tensor) -> Tensor:
    """bool [B, U, H, W]: of each image's `among` the count [B] of lowest rank."""
    # A rank that is not a number sorts behind infinity, and what is known would be chosen before it.
    order = rank.nan_to_num().masked_fill(~among, torch.inf).flatten(1).argsort(dim=1, stable=True)  # [B, D]
    first = torch.arange(order.shape[1], device=order.device) < count[:, None]  # [B, D]
    return torch.zeros_like(first).scatter(1, order, first).view_as(among)


def _luck(noise: Noise, given: Tensor, per_channel: bool) -> Tensor:
    """[B, 3, H, W] uniform on [0, 1): for each variable, or for each pixel and the same in its channels."""
    units = given if per_channel else given[:, :1]
    return noise.uniform("level", *units.shape).expand_as(given)


def _noise(seed: int, step: int, like: Tensor) -> Noise:
    return Noise.at(seed, step, like.device)


def _check(images: Tensor, given: Tensor, tokens: Tensor) -> None:
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] != 3:
        raise ValueError(f"images are {images.dtype} {[*images.shape]}; give uint8 [B, 3, H, W]")
    if given.dtype != torch.bool or given.shape != images.shape:
        raise ValueError(
            f"given is {given.dtype} {[*given.shape]}; give bool {[*images.shape]} as the images are"
        )
    if tokens.ndim != 2 or len(tokens) != len(images):
        raise ValueError(
            f"tokens are {[*tokens.shape]}; give [B, T], a caption for each of {len(images)} images"
        )
