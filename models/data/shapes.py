"""Captioned shapes, drawn on the device: the caption says everything there is to know about the picture.

"a small red circle at the top left on blue": two sizes, eight colours, four shapes, nine places and seven
grounds make 4,032 captions. A model that does not draw what it is told has not listened. Each picture is
moved, resized and tinted a little, so that two with one caption differ. Several objects make a longer sentence,
"at the top left a small red circle, right of it a large blue square, below it a small green cross, on white": where
an object is follows from all the words before it, so a reader has to keep track. Everything is integers drawn from
`Noise`: the same pictures, bit for bit, on every device.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

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
RELATIONS = {-1: "left of", 1: "right of", -3: "above", 3: "below"}  # from one place to a neighbouring one
# A pixel is 96 long, so that all lengths are whole numbers. What follows is in 96ths of the picture's side.
UNIT = 96


@dataclass(frozen=True)
class Layout:
    """Where the three places of a row are, and how large the shapes."""

    first: int  # from the edge to the middle of the first place
    step: int  # from one middle to the next
    sizes: Mapping[str, int]  # from a shape's middle to its edge


# The largest shape that is grown by 1 and moved by 2 is not cut off, and several do not cover each other's middles.
ALONE = Layout(24, 24, {"small": 13, "large": 20})
SEVERAL = Layout(16, 32, {"small": 9, "large": 13})
SIZES = tuple(ALONE.sizes)
GROWN, MOVED = 1, 2  # by so much at most, either way
TINT = 4  # levels of each channel, either way
CHUNK = 1 << 22  # pixels drawn at once: their int32 working memory stays near 100 MB


@dataclass(frozen=True)
class Figures:
    """One shape in each of N pictures: indices of its attributes, [N] each."""

    size: Tensor
    colour: Tensor
    shape: Tensor
    place: Tensor


def pictures(side: int, seed: int, split: str, device: torch.device | str, objects: int = 1) -> Pictures:
    """6,000 pictures of `side` x `side` with one to four `objects`, a tenth of them for validation.

    `split` is "random", or "combinations": then some pairs of colour and shape are in validation only, and
    validation has only those.
    """
    noise = Noise.at(seed, 0, device)
    held = held_out(seed) if split == "combinations" else []
    pairs = torch.arange(len(COLOURS) * len(SHAPES)).tolist()
    learned = torch.tensor([p for p in pairs if p not in held], device=device)
    asked = torch.tensor(held or pairs, device=device)

    def figures(which: str, place: Tensor) -> Figures:
        pair = torch.cat(
            [
                learned[noise.below(f"pair{which}", len(learned), TRAIN)],
                asked[noise.below(f"asked pair{which}", len(asked), VALID)],
            ]
        )  # [N]
        size = noise.below(f"size{which}", len(SIZES), len(pair))
        return Figures(size, pair // len(SHAPES), pair % len(SHAPES), place)

    n = TRAIN + VALID
    if objects == 1:
        one = figures("", noise.below("place", len(PLACES), n))
        ground = (one.colour + 1 + noise.below("ground", len(COLOURS) - 1, n)) % len(COLOURS)
        told = torch.stack([one.size, one.colour, one.shape, one.place, ground], 1).tolist()
        images = _drawn(noise, side, ground, ALONE, [one])
        return Pictures(images, [(caption(*a),) for a in told], TRAIN, content_of(images))
    ways = torch.tensor(walks(objects), device=device)  # [W, objects]
    places = ways[noise.below("walk", len(ways), n)]  # [N, objects]
    several = [figures(f" {i + 1}", place) for i, place in enumerate(places.unbind(1))]
    free = torch.ones(n, len(COLOURS), dtype=torch.bool, device=device)
    free = free.scatter(1, torch.stack([f.colour for f in several], 1), False)  # [N, 8]
    which = noise.below("ground", free.sum(1), n)  # of the colours that no object has
    ground = (free.cumsum(1) > which[:, None]).int().argmax(1)  # [N]
    told = torch.stack(
        [torch.stack([f.size, f.colour, f.shape, f.place], 1) for f in several], 1
    )  # [N, objects, 4]
    said = [(scene(*a),) for a in zip(told.tolist(), ground.tolist(), strict=True)]
    images = _drawn(noise, side, ground, SEVERAL, several)
    return Pictures(images, said, TRAIN, content_of(images))


def walks(objects: int) -> list[tuple[int, ...]]:
    """All ways over so many places, each step to a neighbouring place where the walk has not been."""
    across = {(a, b) for a in range(len(PLACES)) for b in (a - 1, a + 1) if a // 3 == b // 3}
    down = {(a, a + d) for a in range(len(PLACES)) for d in (-3, 3) if 0 <= a + d < len(PLACES)}
    ways = itertools.permutations(range(len(PLACES)), objects)
    return [way for way in ways if across | down >= set(itertools.pairwise(way))]


def held_out(seed: int) -> list[int]:
    """The pairs (colour * 4 + shape) of which validation is made: an eighth, each shape in another colour.

    So every colour and every shape is still learned, only never together.
    """
    colours = Noise.at(seed, 0).uniform("held out", len(COLOURS)).argsort().tolist()
    return [colours[shape] * len(SHAPES) + shape for shape in range(len(SHAPES))]


def caption(size: int, colour: int, shape: int, place: int, ground: int) -> str:
    """The caption of a picture, from the indices of its attributes."""
    names = tuple(COLOURS)
    return f"a {SIZES[size]} {names[colour]} {SHAPES[shape]} {PLACES[place]} on {names[ground]}"


def scene(figures: Sequence[Sequence[int]], ground: int) -> str:
    """The caption of several shapes, from the indices of the size, colour, shape and place of each:

    "at the top left a small red circle, right of it a large blue square, on white".
    """
    names = tuple(COLOURS)
    places = [place for *_, place in figures]
    steps = [f"{RELATIONS[b - a]} it" for a, b in itertools.pairwise(places)]
    parts = [
        f"{where} a {SIZES[size]} {names[colour]} {SHAPES[shape]}"
        for where, (size, colour, shape, _) in zip([PLACES[places[0]], *steps], figures, strict=True)
    ]
    return ", ".join([*parts, f"on {names[ground]}"])


def attributes(said: str) -> tuple[int, int, int, int, int]:
    """The indices of a caption's size, colour, shape, place and ground: the inverse of `caption`."""
    figure, ground = said.rsplit(" on ", 1)
    _, size, colour, shape, place = figure.split(" ", 4)
    names = [*COLOURS]
    of = (SIZES, size), (names, colour), (SHAPES, shape), (PLACES, place), (names, ground)
    return tuple(known.index(word) for known, word in of)  # pyright: ignore[reportReturnType]


def stencils(side: int) -> tuple[Tensor, Tensor]:
    """Every shape in every size and place that a picture may have: inside [M, side * side] bool, and the index
    of each one's shape [M]."""
    moves = [-MOVED, 0, MOVED]  # both ends of the range, and its middle
    axes = (
        [*range(len(SIZES))],
        [*range(len(SHAPES))],
        [*range(len(PLACES))],
        [-GROWN, 0, GROWN],
        moves,
        moves,
    )
    size, shape, place, grown, down, across = (
        x.flatten() for x in torch.meshgrid(*map(torch.tensor, axes), indexing="ij")
    )
    radius = torch.tensor(tuple(ALONE.sizes.values()))[size] * side + grown * side
    cell = torch.stack([place // 3, place % 3], 1)  # [M, 2]: down, across
    middle = (ALONE.first + ALONE.step * cell + torch.stack([down, across], 1)) * side
    pixels = torch.arange(side) * UNIT + UNIT // 2
    away = pixels - (middle // UNIT * UNIT + UNIT // 2)[:, :, None]  # [M, 2, side]
    inside = _inside(shape, away[:, 0, :, None], away[:, 1, None, :], radius).flatten(1)
    unique = torch.unique(torch.cat([shape[:, None].byte(), inside.byte()], 1), dim=0)  # many round to one
    return unique[:, 1:].bool(), unique[:, 0].long()


def _drawn(noise: Noise, side: int, ground: Tensor, layout: Layout, figures: Sequence[Figures]) -> Tensor:
    """[N, 3, side, side] uint8: the ground [N], and one figure after the other on it."""
    n, device = len(ground), ground.device

    def about(stream: str, most: int, *shape: int) -> Tensor:
        return noise.below(stream, 2 * most + 1, n, *shape) - most

    palette = torch.tensor(tuple(COLOURS.values()), device=device)  # [8, 3]
    paper = (palette[ground] + about("paper", TINT, 3)).to(torch.uint8)  # [N, 3]
    images = paper[..., None, None].repeat(1, 1, side, side)
    pixels = torch.arange(side, dtype=torch.int32, device=device) * UNIT + UNIT // 2
    for i, figure in enumerate(figures):
        which = f" {i + 1}" if i else ""
        radius = torch.tensor(tuple(layout.sizes.values()), device=device)[figure.size] * side
        radius = radius + about(f"grown{which}", GROWN * side)
        cell = torch.stack([figure.place // 3, figure.place % 3], 1)  # [N, 2]: down, across
        middle = (layout.first + layout.step * cell) * side + about(f"moved{which}", MOVED * side, 2)
        # Of the nearest pixel: even at 8 x 8 every shape has that one.
        middle = middle // UNIT * UNIT + UNIT // 2
        ink = (palette[figure.colour] + about(f"ink{which}", TINT, 3)).to(torch.uint8)  # [N, 3]
        step = max(1, CHUNK // side**2)
        for some in (slice(start, start + step) for start in range(0, n, step)):
            away = pixels - middle[some, :, None].int()  # [n, 2, side]
            inside = _inside(figure.shape[some], away[:, 0, :, None], away[:, 1, None, :], radius[some].int())
            images[some] = torch.where(inside[:, None], ink[some, :, None, None], images[some])
    return images


def _inside(shape: Tensor, dy: Tensor, dx: Tensor, r: Tensor) -> Tensor:
    """[n, H, W] bool: whether a pixel dy [n, H, 1] and dx [n, 1, W] from the middle is in a shape of radius r."""
    shape, r = shape[:, None, None], r[:, None, None]  # [n, 1, 1]
    near, far = torch.minimum(dy.abs(), dx.abs()), torch.maximum(dy.abs(), dx.abs())  # [n, H, W]
    circle = dy * dy + dx * dx <= (r + UNIT // 4) ** 2  # of few pixels, rounder so
    square = 8 * far <= 7 * r  # a little smaller, or it would have a quarter more ink than the circle
    triangle = (dy.abs() <= r) & (2 * dx.abs() <= dy + r)
    cross = (far <= r) & (3 * near <= r)
    return torch.where(
        shape < 2, torch.where(shape < 1, circle, square), torch.where(shape < 3, triangle, cross)
    )
