"""Is the shape there? Two figures for pictures of `data.source = shapes` that the other losses can't give.

Nine tenths of such a picture are its ground, so a model that only knows the ground's colour has a good loss, and
nobody would recognise its pictures. So held-out captions are drawn with no pixel given, and

    loss/shape    is the squared EMD of the shape's own pixels alone,
    recognised    is the share of the pictures in which a fixed classifier finds the shape and the colour that the
                  caption names. The classifier is no network: the stencil (shape, size, place) whose two sides have
                  the most even colours is the shape, and the palette's colour nearest to the mean inside is the
                  colour. It names all true pictures of 24 x 24 or more right (tests/models/test_recognition.py).
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from models.data import shapes
from models.drawing.orders import Median
from models.drawing.sampling import Model, complete
from models.network.model import pixels
from models.task.exam import Questions

AT_ONCE = 16  # pictures, about a step's: a training that fits its memory limit must not break it at its end


def own_pixels(images: Tensor) -> Questions:
    """All pixels of each shape in images [V, 3, H, W], asked with nothing given."""
    paper = images.flatten(2).mode(-1).values  # [V, 3]: the commonest level is the ground's
    ink = (images != paper[..., None, None]).any(1, keepdim=True).expand_as(images)  # [V, 3, H, W]
    at = ink[:, 0].flatten(1).float().topk(int(ink[:, 0].flatten(1).sum(1).max())).indices  # [V, K]
    return Questions(images, torch.zeros_like(ink), at, pixels(ink, at))


def recognised(model: Model, images: Tensor, tokens: Tensor, captions: Sequence[str]) -> float:
    """The share of the captions [V], read as `tokens` [V, T], whose picture is recognised: the median of every
    histogram, of pictures like images [V, 3, H, W] with nothing given."""
    parts = zip(images.split(AT_ONCE), tokens.split(AT_ONCE), strict=True)
    drawn = torch.cat(
        [complete(model, x, torch.zeros_like(x, dtype=torch.bool), t, Median()) for x, t in parts]
    )
    named = torch.tensor([shapes.attributes(said) for said in captions])[:, [2, 1]]  # [V, 2]
    return (found(drawn) == named).all(1).float().mean().item()


def found(images: Tensor) -> Tensor:
    """The indices of the shape and of its colour in each of images [N, 3, H, W]: [N, 2]."""
    inside, shape = shapes.stencils(images.shape[-1])  # [M, P], [M]
    x, m = images.cpu().flatten(2).float(), inside.float()
    ink, all_ink = x @ m.T, m.sum(1)  # [N, 3, M] of sums, and of pixels [M]
    rest, all_rest = x.sum(2, keepdim=True) - ink, m.shape[1] - all_ink
    # The variance within both sides is least where that between them is greatest.
    best = (ink.square() / all_ink + rest.square() / all_rest).sum(1).argmax(1)  # [N]
    mean = ink.gather(2, best[:, None, None].expand(-1, 3, 1))[..., 0] / all_ink[best, None]  # [N, 3]
    palette = torch.tensor(tuple(shapes.COLOURS.values()), dtype=mean.dtype)  # [8, 3]
    return torch.stack([shape[best], torch.cdist(mean, palette).argmin(1)], 1)
