"""Masks: the pixels of a training image that are given; the model predicts the others.

p, the chance of a pixel to be given, is drawn from U(0, 1) anew for every image; drawn once for a run, it
would give each run a task of its own. All four kinds then give a pixel with chance p:

    orderless   lone pixels, a coin for each (Uria, Murray, Larochelle 2014)
    contiguish  patches: given if all coins around it are heads, so that the neighbour can't just be copied
    contiguous  all but one square hole, at a random place
    center      all but a square in the middle

Masks are bool [B, 3, H, W], True = given. A mask may give all pixels or none.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from models import config
from models.noise import Noise

CHANNELS = 3

Masker = Callable[[Noise, int, int], Tensor]
"""(noise, B images, their side) -> [B, 3, side, side] bool."""


def build(masker: config.Masker) -> Masker:
    """A function that draws masks of the configured kind, every image with its own p ~ U(0, 1).

    A share `masker.blank` of the images has nothing given: their pictures must come from the caption alone.
    """

    def masks(noise: Noise, images: int, side: int) -> Tensor:
        given = draw(masker, noise, noise.uniform("mask p", images), side)
        if not masker.blank:
            return given
        return given & (noise.uniform("blank", images) >= masker.blank)[:, None, None, None]

    return masks


def draw(masker: config.Masker, noise: Noise, p: Tensor, side: int) -> Tensor:
    """Masks of the configured kind, given each image's p [B]. Raises ValueError for an unknown kind."""
    match masker.kind:
        case "orderless":
            return orderless(noise, p, side, per_channel=masker.per_channel)
        case "contiguish":
            return contiguish(noise, p, side, masker.radius, per_channel=masker.per_channel)
        case "contiguous":
            return contiguous(noise, p, side, masker.hole, per_channel=masker.per_channel)
        case "center":
            return center(noise, p, side, masker.hole, per_channel=masker.per_channel)
    raise ValueError(
        f"masker.kind = {masker.kind!r} is not a masker; give orderless, contiguish, contiguous or center"
    )


def orderless(noise: Noise, p: Tensor, side: int, *, per_channel: bool = False) -> Tensor:
    """A coin for each pixel: [B, 3, side, side]. The number of given pixels is uniform if p is."""
    return contiguish(noise, p, side, 0, per_channel=per_channel)


def contiguish(noise: Noise, p: Tensor, side: int, radius: int, *, per_channel: bool = False) -> Tensor:
    """Patches: [B, 3, side, side] (the post "more contiguous masking", Cooijmans 2017).

    A pixel is given if all a = (2 radius + 1)^2 coins around it are heads, each with chance p^(1/a).
    """
    d = 2 * radius + 1
    q = _for_each_mask(p.pow(1 / d**2), per_channel)[..., None, None]  # [B, c, 1, 1]
    coins = noise.uniform("mask coins", *q.shape[:2], side + d - 1, side + d - 1)  # [B, c, H+2r, W+2r]
    return _all_heads(coins < q, d).expand(-1, CHANNELS, -1, -1)


def contiguous(noise: Noise, p: Tensor, side: int, hole: float = 0.0, *, per_channel: bool = False) -> Tensor:
    """One square hole, anywhere inside the image: [B, 3, side, side].

    p is the share of the image that is given, on average; the middle is hidden more often than the edges. With
    `hole`, all holes have that share of the image's side instead.
    """
    wide = _hole(noise, _for_each_mask(p, per_channel), side, hole)  # [B, c]
    places = side + 1 - wide
    top, left = (noise.below(name, places, *wide.shape) for name in ("mask top", "mask left"))
    return _all_but(top, left, wide, side)


def center(noise: Noise, p: Tensor, side: int, hole: float = 0.0, *, per_channel: bool = False) -> Tensor:
    """One square hole in the middle, half a pixel up and left of it where parity requires: [B, 3, side, side].

    Its size is as that of `contiguous`.
    """
    wide = _hole(noise, _for_each_mask(p, per_channel), side, hole)  # [B, c]
    start = (side - wide) // 2
    return _all_but(start, start, wide, side)


def _for_each_mask(p: Tensor, per_channel: bool) -> Tensor:
    """[B] -> [B, c]: the channels have a mask each, with one p, or share one."""
    return p[:, None].expand(-1, CHANNELS if per_channel else 1)


def _all_heads(heads: Tensor, d: int) -> Tensor:
    """Whether each block of d x d is all True: [B, c, H+d-1, W+d-1] -> [B, c, H, W].

    Runs of 1, 2, 4, ... pixels are joined in pairs: d = 17 takes 10 ANDs of bytes, and no max-pool of 289 floats.
    """
    for dim in (-1, -2):
        run = 1
        while run < d:
            shift = min(run, d - run)
            rest = heads.shape[dim] - shift
            heads = heads.narrow(dim, 0, rest) & heads.narrow(dim, shift, rest)
            run += shift
    return heads


def _hole(noise: Noise, p: Tensor, side: int, share: float) -> Tensor:
    """The side of each hole [B, c]: that share of the image's, or, for a share of 0, rounded at random so that its
    mean area is (1 - p) side^2."""
    if share:
        return torch.full(p.shape, max(1, round(share * side)), device=p.device)
    area = (1 - p) * side**2
    low = area.sqrt().floor()
    rest = (area - low**2) / (2 * low + 1)  # of the way from low^2 to (low + 1)^2
    return (low + (noise.uniform("mask size", *p.shape) < rest)).long()


def _all_but(top: Tensor, left: Tensor, hole: Tensor, side: int) -> Tensor:
    """[B, c] each -> [B, 3, side, side], False in the square."""
    i = torch.arange(side, device=hole.device)
    rows, columns = ((i >= a[..., None]) & (i < (a + hole)[..., None]) for a in (top, left))  # [B, c, side]
    return ~(rows[..., :, None] & columns[..., None, :]).expand(-1, CHANNELS, -1, -1)
