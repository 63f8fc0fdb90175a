"""The masks are patches, each pixel is given with the chance it should be, and questions ask what is hidden."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from models import config, maskers
from models.maskers import contiguish
from models.questions import choose


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("radius", [0, 1, 4])
@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_each_pixel_is_given_with_chance_p(radius, p):
    mask = contiguish(torch.full((4000,), p), 9, radius, rng())
    at = mask.float().mean((0, 1))  # [9, 9]: over images, for each pixel, corners too
    assert (at - p).abs().max() < 0.035  # four standard deviations of 4000 coins


def test_none_and_all():
    assert not contiguish(torch.zeros(3), 8, 2, rng()).any()
    assert contiguish(torch.ones(3), 8, 2, rng()).all()


@given(p=st.floats(0.05, 0.95), radius=st.integers(0, 4), seed=st.integers(0, 2**31))
@settings(max_examples=30, deadline=None)
def test_what_is_hidden_is_made_of_whole_blocks(p, radius, seed):
    """The hidden set is a union of (2r+1)-blocks, some of them half outside: opening it changes nothing."""
    d = 2 * radius + 1
    hidden = ~contiguish(torch.tensor([p, p]), 16, radius, rng(seed))
    padded = F.pad(hidden.float(), (d, d, d, d), value=1.0)
    eroded = -F.max_pool2d(-padded, d, stride=1, padding=radius)
    opened = F.max_pool2d(eroded, d, stride=1, padding=radius)[..., d:-d, d:-d]
    assert (opened.bool() == hidden).all()


def test_every_image_draws_its_own_p():
    """Radius 0 makes the given fraction p itself: uniform, not one p for the whole batch."""
    mask = maskers.build(config.Masker(radius=0))(2000, 24, rng())
    given_share = mask.float().mean((1, 2, 3))
    quartiles = torch.quantile(given_share, torch.tensor([0.25, 0.5, 0.75]))
    torch.testing.assert_close(quartiles, torch.tensor([0.25, 0.5, 0.75]), atol=0.05, rtol=0)


def test_the_same_seed_draws_the_same_masks():
    draw = maskers.build(config.Masker())
    assert (draw(20, 16, rng(3)) == draw(20, 16, rng(3))).all()
    assert (draw(20, 16, rng(3)) != draw(20, 16, rng(4))).any()


@given(seed=st.integers(0, 2**31), count=st.integers(1, 100))
@settings(max_examples=40, deadline=None)
def test_questions_ask_for_hidden_pixels_no_pixel_twice(seed, count):
    mask = maskers.build(config.Masker())(6, 8, rng(seed))
    at, asked = choose(mask, count, rng(seed))
    hidden = ~mask.flatten(1)
    assert at.shape == (6, min(count, 64))
    for row in range(6):
        assert len(set(at[row].tolist())) == at.shape[1]
        assert asked[row].sum() == min(count, int(hidden[row].sum()))
    assert (hidden.gather(1, at) == asked[..., 0]).all()


def test_also_given_asks_for_pixels_of_both_sorts():
    mask = torch.zeros(50, 1, 8, 8, dtype=torch.bool)
    mask[..., :4] = True
    at, asked = choose(mask, 16, rng(), also_given=True)
    assert asked.all()
    assert 0.4 < mask.flatten(1).gather(1, at).float().mean() < 0.6
