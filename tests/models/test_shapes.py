"""Shapes are what their captions say, at every size, and the same everywhere."""

import re
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.config import Config
from models.data import load, shapes

CAPTION = re.compile(r"a (small|large) (\w+) (\w+) (at the .+|in the middle) on (\w+)")
PART = re.compile(r"(at the .+|in the middle|\w+ of it|above it|below it) a (small|large) (\w+) (\w+)")
MOVES = {"left of it": (0, -1), "right of it": (0, 1), "above it": (-1, 0), "below it": (1, 0)}


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
    images = shapes._drawn(
        noise, 256, zero + 4, shapes.ALONE, [shapes.Figures(zero + 1, zero, zero, zero + 8)]
    )
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


def told(said):
    """What a sentence tells, followed from place to place: {(down, across): (size, colour, shape)} and the ground."""
    *parts, ground = said.split(", ")
    at, found = (0, 0), {}
    for i, part in enumerate(parts):
        match = PART.fullmatch(part)
        assert match, part
        where, *what = match.groups()
        down, across = MOVES.get(where, (0, 0))
        at = (at[0] + down, at[1] + across) if i else divmod(shapes.PLACES.index(where), 3)
        assert at not in found, said
        found[at] = tuple(what)
    return found, ground.removeprefix("on ")


@pytest.mark.parametrize("objects", [2, 3, 4])
def test_the_picture_of_several_is_what_its_sentence_says(objects):
    pictures = shapes.pictures(48, 1, "random", "cpu", objects)
    images = pictures.images[:400].int()
    for image, paper, (said,) in zip(images, papers(images), pictures.captions, strict=False):
        there, ground = told(said)
        assert len(there) == objects
        colours = {where: colour for where, (_, colour, _) in there.items()}
        for down in range(3):
            for across in range(3):
                middle = image[:, 8 + 16 * down, 8 + 16 * across]
                wanted = torch.tensor(shapes.COLOURS[colours.get((down, across), ground)])
                assert (middle - wanted).abs().max() <= shapes.TINT, said
        assert ground not in colours.values()
        assert (paper - torch.tensor(shapes.COLOURS[ground])).abs().max() <= shapes.TINT


@settings(max_examples=6, deadline=None)
@given(st.integers(12, 40), st.integers(0, 2**31 - 1), st.integers(2, 4))
def test_several_are_all_there_at_any_size(side, seed, objects):
    pictures = shapes.pictures(side, seed, "random", "cpu", objects)
    images = pictures.images[:300].int()
    ink = (images != papers(images)[..., None, None]).any(1)  # [N, H, W]
    for n, (said,) in enumerate(pictures.captions[:300]):
        there, _ = told(said)
        for down, across in there:  # each has some ink within its ninth
            third = [slice(side * k // 3, -(-side * (k + 1) // 3)) for k in (down, across)]
            assert ink[n][third[0], third[1]].any(), said


def test_the_same_words_in_another_order_are_another_picture():
    """So a reader that only collects words can't draw them."""
    captions = [said for (said,) in shapes.pictures(8, 0, "random", "cpu", 3).captions]
    of: dict = {}
    for said in captions:
        of.setdefault(tuple(sorted(said.replace(",", "").split())), set()).add(said)
    assert sum(len(sentences) > 1 for sentences in of.values()) > 20
    assert min(len(said.split()) for said in captions) >= 20


def test_walks_are_all_ways_to_neighbours():
    assert [len(shapes.walks(n)) for n in (2, 3, 4)] == [
        24,
        44,
        80,
    ]  # counted by hand for two: 12 edges, both ways
    for walk in shapes.walks(4):
        assert len(set(walk)) == 4
        assert all(abs(a // 3 - b // 3) + abs(a % 3 - b % 3) == 1 for a, b in pairwise(walk))


@pytest.mark.parametrize("objects", [2, 3])
def test_combinations_hold_out_pairs_of_several(objects):
    pictures = shapes.pictures(8, 5, "combinations", "cpu", objects)
    pairs = [{(c, s) for _, c, s in told(said)[0].values()} for (said,) in pictures.captions]
    learned, asked = set().union(*pairs[: pictures.train]), set().union(*pairs[pictures.train :])
    assert len(asked) == 4 and len(learned) == 28 and not learned & asked


def test_several_never_change_and_every_word_of_theirs_is_learned():
    found = load(Config.of({"data": "shapes", "data.objects": 3, "data.split": "combinations", "size": 16}))
    assert found.digest == SEVERAL
    first = "at the bottom a large black triangle, above it a large red circle, right of it a small black"
    assert found.train.captions[0] == first + " cross, on green"
    assert (found.valid.tokens != 1).all()


SEVERAL = "177c4caad910f287"


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
