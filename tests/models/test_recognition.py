"""The classifier names true pictures right and is not fooled; the shape's own pixels are those of the shape."""

import pytest
import torch

from models import data
from models.config import Config
from models.data import shapes
from models.network.model import LEVELS
from models.train import recognition


@pytest.mark.parametrize("side", [24, 32])
def test_true_pictures_are_recognised(side):
    pictures = shapes.pictures(side, 3, "random", "cpu")
    images, said = pictures.images[-600:], pictures.captions[-600:]
    named = torch.tensor([shapes.attributes(caption) for (caption,) in said])
    right = recognition.found(images) == named[:, [2, 1]]
    assert right.all(1).float().mean() > 0.995


def test_a_picture_of_another_shape_or_colour_is_not_what_the_caption_names():
    pictures = shapes.pictures(24, 0, "random", "cpu")
    named = torch.tensor([shapes.attributes(caption) for (caption,) in pictures.captions[:600]])[:, [2, 1]]
    other = recognition.found(pictures.images[:600].roll(1, 0))
    assert (other == named).all(1).float().mean() < 0.1  # by chance 1 in 32


def test_a_blank_picture_and_noise_are_hardly_ever_recognised():
    named = torch.tensor([[s, c] for s in range(4) for c in range(8)] * 4)
    generator = torch.Generator().manual_seed(0)
    noise = torch.randint(0, 256, (len(named), 3, 24, 24), generator=generator, dtype=torch.uint8)
    for images in (noise, torch.full_like(noise, 90)):
        assert (recognition.found(images) == named).all(1).float().mean() < 0.15


@pytest.mark.parametrize("n", range(0, 4032, 97))
def test_attributes_read_what_caption_wrote(n):
    size, n = n % 2, n // 2
    colour, n = n % 8, n // 8
    shape, n = n % 4, n // 4
    place, ground = n % 9, (colour + 1 + n // 9) % 8
    assert shapes.attributes(shapes.caption(size, colour, shape, place, ground)) == (
        size, colour, shape, place, ground,
    )  # fmt: skip


def test_its_own_pixels_are_the_shape_and_nothing_is_given():
    images = data.load(Config.of({"data": "shapes", "valid_images": 20})).valid.images
    asked = recognition.own_pixels(images)
    assert not asked.given.any()
    for image, at, there in zip(images, asked.at, asked.asked, strict=True):
        mine = image.flatten(1)[:, at[there[:, 0]]]  # [3, K]
        assert (mine == mine[:, :1]).all()  # one colour ...
        paper = image[:, 0, 0] if (image[:, 0, 0] != mine[:, 0]).any() else image[:, 0, -1]
        assert (image.flatten(1) == mine[:, :1]).all(0).sum() == mine.shape[1]  # ... all of it
        assert (paper != mine[:, 0]).any()


class Painter(torch.nn.Module):
    """Stands in for a model that knows `images`, and sees nothing of them."""

    def __init__(self, images):
        super().__init__()
        self.images, self.next = images, 0

    def read(self, tokens):
        return tokens

    def draw(self, images, given, caption, at=None, noise=None):
        rows = self.images[self.next :][: len(images)].flatten(2).transpose(1, 2)
        self.next += len(images)
        at = torch.arange(rows.shape[1]).expand(len(images), -1) if at is None else at
        levels = rows.gather(1, at[..., None].expand(-1, -1, 3)).long()
        return torch.nn.functional.one_hot(levels, LEVELS).float() * 100


@pytest.mark.parametrize(("turned", "low", "high"), [(0, 0.99, 1.0), (1, 0.0, 0.2)])
def test_a_model_that_paints_the_truth_is_recognised_and_one_that_paints_another_is_not(turned, low, high):
    valid = data.load(Config.of({"data": "shapes", "valid_images": 64})).valid
    painter, (tokens, captions) = Painter(valid.images.roll(turned, 0)), valid.one_each()
    share = recognition.recognised(painter, valid.images, tokens, captions)
    assert low <= share <= high
