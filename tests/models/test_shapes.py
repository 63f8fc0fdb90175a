"""Shapes are what their captions say, at every size, and the same everywhere."""

import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.config import Config
from models.data import load, shapes

CAPTION = re.compile(r"a (small|large) (\w+) (\w+) (at the .+|in the middle) on (\w+)")


def drawn(side=32, seed=0, split="random"):
    return shapes.pictures(side, seed, split, "cpu")


def parsed(pictures):
    matches = [CAPTION.fullmatch(said) for (said,) in pictures.captions]
    assert all(matches)
    return [m.groups() for m in matches]


def test_there_are_thousands_of_captions_and_images():
    pictures = drawn()
    assert pictures.images.shape == (6000, 3, 32, 32) and pictures.train == 5400
    size, colour, shape, place, ground = map(set, zip(*parsed(pictures), strict=True))
    assert [len(x) for x in (size, colour, shape, place, ground)] == [2, 8, 4, 9, 8]
    assert len(set(pictures.captions)) > 3000  # of 4,032
    assert all(c != g for _, c, _, _, g in parsed(pictures))


def papers(images):
    """[N, 3]: the commonest colour of each image."""
    return images.flatten(2).mode(-1).values


def test_the_picture_is_what_the_caption_says():
    pictures = drawn(48)
    down, across = {"top": 12, "bottom": 36}, {"left": 12, "right": 36}
    images = pictures.images[:500].int()
    for image, paper, (_, colour, _, place, ground) in zip(
        images, papers(images), parsed(pictures)[:500], strict=True
    ):
        y = next((v for k, v in down.items() if k in place), 24)
        x = next((v for k, v in across.items() if k in place), 24)
        ink = image[:, y, x]
        assert (ink - torch.tensor(shapes.COLOURS[colour])).abs().max() <= shapes.TINT
        assert (paper - torch.tensor(shapes.COLOURS[ground])).abs().max() <= shapes.TINT
        assert ((image == ink[:, None, None]) | (image == paper[:, None, None])).all()  # and nothing between


@settings(max_examples=8, deadline=None)
@given(st.integers(8, 48), st.integers(0, 2**31 - 1))
def test_none_is_blank_or_cut_off_at_any_size(side, seed):
    pictures = drawn(side, seed)
    images = pictures.images[:300].int()
    ink = (images != papers(images)[..., None, None]).any(1)  # [N, H, W]
    high, wide = ink.any(2).sum(1), ink.any(1).sum(1)
    assert (high > 0).all()
    if side >= 14:  # below, half a pixel's rounding can bring a large one over the edge
        whole = torch.tensor([shape != "triangle" for _, _, shape, _, _ in parsed(pictures)[:300]])
        assert (high == wide)[whole].all() and (high % 2 == 1)[whole].all()  # about a pixel in its middle


def test_the_largest_size():
    noise = shapes.Noise.at(0, 0)
    n = 5
    zero = torch.zeros(n, dtype=torch.int64)
    images = shapes._drawn(noise, 256, zero + 4, shapes.Figures(zero + 1, zero, zero, zero + 8))
    ink = (images[:, 0] > 150).flatten(1).sum(1).float()  # red has more of it than blue
    radius = (ink / torch.pi).sqrt() * shapes.UNIT / 256
    assert ((radius > 19 - 0.2) & (radius < 21 + 0.3)).all()


def test_large_is_larger_and_the_shapes_differ():
    pictures = drawn(40)
    images = pictures.images.int()
    ink = (images != papers(images)[..., None, None]).any(1).flatten(1).sum(1)
    area = {}
    for pixels, (size, _, shape, _, _) in zip(ink.tolist(), parsed(pictures), strict=True):
        area.setdefault((shape, size), []).append(pixels)
    for shape in shapes.SHAPES:
        assert max(area[shape, "small"]) < min(area[shape, "large"])
    assert len({round(sum(a) / len(a)) for a in area.values()}) == 8


def test_two_of_one_caption_differ():
    pictures = drawn()
    of: dict = {}
    for image, said in zip(pictures.images, pictures.captions, strict=True):
        of.setdefault(said, []).append(image.numpy().tobytes())
    several = [images for images in of.values() if len(images) > 1]
    assert len(several) > 1000
    assert sum(len(images) - len(set(images)) for images in several) == 0


@pytest.mark.parametrize("seed", range(20))
def test_combinations_are_held_out_whole_and_nothing_else_is(seed):
    pictures = drawn(8, seed, "combinations")
    pairs = [(colour, shape) for _, colour, shape, _, _ in parsed(pictures)]
    learned, asked = set(pairs[: pictures.train]), set(pairs[pictures.train :])
    assert len(asked) == 4 and len(learned) == 28 and not learned & asked
    assert {shape for _, shape in asked} == set(shapes.SHAPES)  # each shape once ...
    assert len({colour for colour, _ in asked}) == 4  # ... and no colour twice: all are still learned


def test_which_are_held_out_depends_on_the_seed():
    assert len({tuple(shapes.held_out(seed)) for seed in range(20)}) > 15
    assert shapes.held_out(7) == shapes.held_out(7)


def test_the_same_images_every_time_and_others_with_another_seed():
    one, two, other = drawn(), drawn(), drawn(seed=1)
    assert torch.equal(one.images, two.images) and one.captions == two.captions
    assert one.content == two.content != other.content


def test_these_images_never_change():
    """A checkpoint remembers the digest of its data: were they drawn otherwise, none could be resumed."""
    data = load(Config.of({"data": "shapes", "size": 16}))
    assert data.digest == DIGEST
    assert data.train.captions[0] == "a large red cross at the bottom on blue"


DIGEST = "8d9bfdf44ed025c7"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_same_images_on_a_gpu():
    there = shapes.pictures(64, 3, "combinations", "cuda")
    assert there.images.is_cuda
    assert there.content == shapes.pictures(64, 3, "combinations", "cpu").content


def test_loaded_for_training():
    data = load(Config.of({"data": "shapes", "size": 16, "data.split": "combinations", "valid_images": 50}))
    assert (len(data.train), len(data.valid)) == (5400, 50)
    assert len(data.tokenizer) == 3 + len({w for c in data.train.captions for w in c.split()})
    assert (data.valid.tokens != 1).all()  # every word is known, only the pair of them is new
