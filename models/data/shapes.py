"""Captioned shapes, drawn on the device: the caption says everything there is to know about the picture.

"a small red circle at the top left on blue": two sizes, eight colours, four shapes, nine places and seven
grounds make 4,032 captions. A model that does not draw what it is told has not listened. Each picture is
moved, resized and tinted a little, so that two with one caption differ. Everything is integers drawn from
`Noise`: the same pictures, bit for bit, on every device.
"""

import torch
from torch import Tensor

from models.data.captioned import Pictures, content_of
from models.noise import Noise

TRAIN, VALID = 5400, 600
COLOURS = {
    "red": (205, 45, 45),
    "orange": (235, 135, 35),
    "yellow": (235, 215, 60),
    "green": (50, 150, 65),
    "blue": (45, 85, 205),
    "purple": (140, 60, 165),
    "white": (240, 240, 240),
    "black": (20, 20, 20),
}
SHAPES = ("circle", "square", "triangle", "cross")
PLACES = (
    *("at the top left", "at the top", "at the top right"),
    *("at the left", "in the middle", "at the right"),
    *("at the bottom left", "at the bottom", "at the bottom right"),
)
# A pixel is 96 long, so that all lengths are whole numbers. What follows is in 96ths of the picture's side:
# the middle of a place is 24 from an edge or another, and 16 + 1 + 2 cut nothing off.
UNIT = 96
SIZES = {"small": 9, "large": 16}  # from the middle to the edge
GROWN, MOVED = 1, 2  # by so much at most, either way
TINT = 4  # levels of each channel, either way
CHUNK = 1 << 22  # pixels drawn at once: their int32 working memory stays near 100 MB


def pictures(side: int, seed: int, split: str, device: torch.device | str) -> Pictures:
    """6,000 pictures of `side` x `side`, a tenth of them for validation.

    `split` is "random", or "combinations": then some pairs of colour and shape are in validation only, and
    validation has only those.
    """
    noise = Noise.at(seed, 0, device)
    held = held_out(seed) if split == "combinations" else []
    pairs = torch.arange(len(COLOURS) * len(SHAPES)).tolist()
    learned = torch.tensor([p for p in pairs if p not in held], device=device)
    asked = torch.tensor(held or pairs, device=device)
    pair = torch.cat(
        [
            learned[noise.below("pair", len(learned), TRAIN)],
            asked[noise.below("asked pair", len(asked), VALID)],
        ]
    )  # [N]
    colour, shape = pair // len(SHAPES), pair % len(SHAPES)
    size = noise.below("size", len(SIZES), len(pair))
    place = noise.below("place", len(PLACES), len(pair))
    ground = (colour + 1 + noise.below("ground", len(COLOURS) - 1, len(pair))) % len(COLOURS)
    images = _drawn(noise, side, size, colour, shape, place, ground)
    attributes = torch.stack([size, colour, shape, place, ground], 1).tolist()
    return Pictures(images, [(caption(*a),) for a in attributes], TRAIN, content_of(images))


def held_out(seed: int) -> list[int]:
    """The pairs (colour * 4 + shape) of which validation is made: an eighth, each shape in another colour.

    So every colour and every shape is still learned, only never together.
    """
    colours = Noise.at(seed, 0).uniform("held out", len(COLOURS)).argsort().tolist()
    return [colours[shape] * len(SHAPES) + shape for shape in range(len(SHAPES))]


def caption(size: int, colour: int, shape: int, place: int, ground: int) -> str:
    """The caption of a picture, from the indices of its attributes."""
    names = tuple(COLOURS)
    return f"a {tuple(SIZES)[size]} {names[colour]} {SHAPES[shape]} {PLACES[place]} on {names[ground]}"


def _drawn(
    noise: Noise, side: int, size: Tensor, colour: Tensor, shape: Tensor, place: Tensor, ground: Tensor
) -> Tensor:
    """[N, 3, side, side] uint8 of attributes [N] each."""
    n, device = len(size), size.device

    def about(stream: str, most: int, *shape: int) -> Tensor:
        return noise.below(stream, 2 * most + 1, n, *shape) - most

    radius = torch.tensor(tuple(SIZES.values()), device=device)[size] * side + about("grown", GROWN * side)
    cell = torch.stack([place // 3, place % 3], 1)  # [N, 2]: down, across
    middle = (1 + cell) * (UNIT // 4) * side + about("moved", MOVED * side, 2)
    middle = middle // UNIT * UNIT + UNIT // 2  # of the nearest pixel: even at 8 x 8 every shape has that one
    palette = torch.tensor(tuple(COLOURS.values()), device=device)  # [8, 3]
    ink = (palette[colour] + about("ink", TINT, 3)).to(torch.uint8)  # [N, 3]
    paper = (palette[ground] + about("paper", TINT, 3)).to(torch.uint8)  # [N, 3]

    pixels = torch.arange(side, dtype=torch.int32, device=device) * UNIT + UNIT // 2
    images = torch.empty(n, 3, side, side, dtype=torch.uint8, device=device)
    step = max(1, CHUNK // side**2)
    for some in (slice(start, start + step) for start in range(0, n, step)):
        away = pixels - middle[some, :, None].int()  # [n, 2, side]
        inside = _inside(shape[some], away[:, 0, :, None], away[:, 1, None, :], radius[some].int())
        images[some] = torch.where(inside[:, None], ink[some, :, None, None], paper[some, :, None, None])
    return images


def _inside(shape: Tensor, dy: Tensor, dx: Tensor, r: Tensor) -> Tensor:
    """[n, H, W] bool: whether a pixel dy [n, H, 1] and dx [n, 1, W] from the middle is in a shape of radius r."""
    shape, r = shape[:, None, None], r[:, None, None]  # [n, 1, 1]
    near, far = torch.minimum(dy.abs(), dx.abs()), torch.maximum(dy.abs(), dx.abs())  # [n, H, W]
    circle = dy * dy + dx * dx <= r * r
    square = 8 * far <= 7 * r  # a little smaller, or it would have a quarter more ink than the circle
    triangle = (dy.abs() <= r) & (2 * dx.abs() <= dy + r)
    cross = (far <= r) & (3 * near <= r)
    return torch.where(
        shape < 2, torch.where(shape < 1, circle, square), torch.where(shape < 3, triangle, cross)
    )
