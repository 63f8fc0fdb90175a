"""Each kind of mask gives a pixel with the chance it should, in the shape it should, and waits for no GPU."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from models.config import Config, Masker
from models.noise import Noise
from models.task import maskers

KINDS = ("orderless", "contiguish", "contiguous", "center")


def draw(kind: str, p: torch.Tensor, side: int, step: int = 0, **settings) -> torch.Tensor:
    return maskers.draw(Masker(kind=kind, **settings), Noise.at(0, step), p, side)


@given(
    kind=st.sampled_from(KINDS),
    p=st.floats(0, 1),
    side=st.integers(8, 20),
    radius=st.integers(0, 4),
    per_channel=st.booleans(),
    seed=st.integers(0, 2**31),
)
@settings(max_examples=60, deadline=None)
def test_the_mean_share_given_is_p(kind, p, side, radius, per_channel, seed):
    """Within five standard errors of the mean over 1000 images, as they themselves vary."""
    masker = Masker(kind=kind, radius=radius, per_channel=per_channel)
    mask = maskers.draw(masker, Noise.at(seed, 0), torch.full((1000,), p), side)
    assert mask.shape == (1000, 3, side, side)
    assert mask.dtype == torch.bool
    share = mask.double().mean((1, 2, 3))
    assert share.mean().item() == pytest.approx(p, abs=5 * share.std().item() / 1000**0.5 + 2e-3)


@pytest.mark.parametrize("radius", [0, 1, 4])
@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_patches_give_every_pixel_with_chance_p(radius, p):
    mask = draw("contiguish", torch.full((4000,), p), 9, radius=radius)
    at = mask[:, 0].float().mean(0)  # [9, 9]: over images, for each pixel, corners too
    assert (at - p).abs().max() < 0.035  # four standard deviations of 4000 coins


@pytest.mark.parametrize("kind", KINDS)
def test_none_and_all(kind):
    assert not draw(kind, torch.zeros(50), 9).any()
    assert draw(kind, torch.ones(50), 9).all()


@given(radius=st.integers(0, 20), seed=st.integers(0, 2**31))
@settings(max_examples=20, deadline=None)
def test_a_patch_is_given_if_the_whole_block_of_coins_is_heads(radius, seed):
    """Against the definition: the largest coin of each block, compared with p^(1/a)."""
    noise, p, d = Noise.at(seed, 0), torch.tensor([0.2, 0.9]), 2 * radius + 1
    coins = noise.uniform("mask coins", 2, 1, 8 + d - 1, 8 + d - 1)
    expected = F.max_pool2d(coins, d, stride=1) < p.pow(1 / d**2)[:, None, None, None]
    assert (maskers.contiguish(noise, p, 8, radius) == expected).all()


@given(p=st.floats(0.05, 0.95), radius=st.integers(0, 4), seed=st.integers(0, 2**31))
@settings(max_examples=30, deadline=None)
def test_what_patches_hide_is_made_of_whole_blocks(p, radius, seed):
    """The hidden set is a union of (2r+1)-blocks, some of them half outside: opening it changes nothing."""
    d = 2 * radius + 1
    hidden = ~maskers.contiguish(Noise.at(seed, 0), torch.tensor([p, p]), 16, radius)
    padded = F.pad(hidden.float(), (d, d, d, d), value=1.0)
    eroded = -F.max_pool2d(-padded, d, stride=1, padding=radius)
    opened = F.max_pool2d(eroded, d, stride=1, padding=radius)[..., d:-d, d:-d]
    assert (opened.bool() == hidden).all()


def test_the_posts_patches_hide_as_much_as_they_did():
    """17 x 17 blocks on 64 x 64 pixels: quantiles of the share given, and how often it is everything.

    All 80 x 80 coins are heads with chance E[p^(80^2 / 17^2)] = 1 / (80^2 / 17^2 + 1) = 4.3 %.
    """
    masker = maskers.build(Masker("contiguish", radius=8, blank=0.0))
    share = torch.cat([masker(Noise.at(0, i), 256, 64)[:, 0].float().mean((1, 2)) for i in range(16)])
    quantiles = torch.quantile(share, torch.tensor([0.05, 0.25, 0.5, 0.75, 0.95]))
    expected = torch.tensor([0.03, 0.23, 0.49, 0.76, 0.99])
    torch.testing.assert_close(quantiles, expected, atol=0.03, rtol=0)
    chance = 1 / (80**2 / 17**2 + 1)
    assert (share == 1).float().mean().item() == pytest.approx(chance, abs=3 * (chance / 4096) ** 0.5)


@pytest.mark.parametrize("kind", KINDS)
def test_every_image_draws_its_own_p(kind):
    """The share given is about uniform: not one p for the whole batch. (Patches spread it a little more.)"""
    mask = maskers.build(Masker(kind, radius=1, blank=0.0))(Noise.at(0, 0), 2000, 24)
    share = mask[:, 0].float().mean((1, 2))
    quartiles = torch.quantile(share, torch.tensor([0.25, 0.5, 0.75]))
    torch.testing.assert_close(quartiles, torch.tensor([0.25, 0.5, 0.75]), atol=0.05, rtol=0)


def bounds(hidden: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """hidden [B, H, W], each with something -> the first and the last row, and the same of columns: [B]."""
    lines = (hidden.any(2), hidden.any(1))
    return tuple(f(x) for x in lines for f in (lambda x: x.int().argmax(1), _last))


def _last(x: torch.Tensor) -> torch.Tensor:
    return x.shape[1] - 1 - x.flip(1).int().argmax(1)


@pytest.mark.parametrize("kind", ["contiguous", "center"])
@pytest.mark.parametrize("side", [16, 17])
def test_one_full_square_is_hidden(kind, side):
    hidden = ~draw(kind, torch.linspace(0, 0.95, 500), side)[:, 0]
    top, bottom, left, right = bounds(hidden)
    assert (bottom - top == right - left).all()
    assert (hidden.sum((1, 2)) == (bottom - top + 1) ** 2).all()
    if kind == "center":  # half a pixel off where it can't be exact
        assert ((top + bottom - (side - 1)).abs() <= 1).all()
        assert ((left + right - (side - 1)).abs() <= 1).all()


def test_the_centre_square_of_three_quarters_is_half_as_wide():
    hidden = ~draw("center", torch.full((5,), 0.75), 32)
    assert hidden[:, :, 8:24, 8:24].all()
    assert hidden.sum() == 5 * 3 * 16 * 16


def test_the_random_square_is_anywhere_inside():
    """A 4 x 4 hole in 8 x 8 pixels has 25 places, all as likely: chi square with 24 degrees of freedom."""
    hidden = ~draw("contiguous", torch.full((2500,), 0.75), 8)[:, 0]
    top, bottom, left, _ = bounds(hidden)
    assert (bottom - top == 3).all()
    counts = torch.bincount(5 * top + left, minlength=25)
    assert ((counts - 100).double().square() / 100).sum() < 51.2  # one in a thousand is larger


@pytest.mark.parametrize("kind", ["contiguous", "center"])
@pytest.mark.parametrize("per_channel", [False, True])
def test_holes_of_a_size_that_is_given(kind, per_channel):
    """As in 2017: 32 of 64 pixels, whatever p is."""
    hidden = ~draw(kind, torch.linspace(0, 1, 200), 64, hole=0.5, per_channel=per_channel)
    assert (hidden.sum((2, 3)) == 32 * 32).all()
    if kind == "center":
        assert hidden[:, :, 16:48, 16:48].all()
    assert (~draw(kind, torch.ones(3), 8, hole=0.01)).flatten(1).any(1).all()  # at least one pixel


@pytest.mark.parametrize("kind", KINDS)
def test_channels_share_a_mask_or_have_their_own_with_one_p(kind):
    p = torch.linspace(0.05, 0.95, 800)
    shared, own = (draw(kind, p, 12, per_channel=own) for own in (False, True))
    assert (shared == shared[:, :1]).all()
    red, green, blue = own.unbind(1)
    assert (red != green).any()
    assert (green != blue).any()
    share = own.float().mean((2, 3))  # [B, 3]
    assert torch.corrcoef(share.T).min() > 0.5  # the same p; patches blur it


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_noise_draws_the_same_masks(kind):
    masker = maskers.build(Config.of({"masker.kind": kind, "masker.blank": 0.0}).masker)
    first, again, other = (masker(Noise.at(3, step), 20, 16) for step in (1, 1, 2))
    assert (first == again).all()
    assert (first != other).any()
    assert (first != masker(Noise.at(4, 1), 20, 16)).any()


class Waits(TorchDispatchMode):
    """Refuses what makes a CPU wait for a GPU, and shapes that depend on data."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.name().partition("::")[2].partition(".")[0]
        assert name not in ("_local_scalar_dense", "item", "nonzero", "is_nonzero", "masked_select", "equal")
        assert name != "index" or all(i is None or i.dtype != torch.bool for i in args[1])
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("per_channel", [False, True])
def test_no_mask_waits_for_the_device(kind, per_channel):
    masker = maskers.build(Masker(kind, per_channel=per_channel, blank=0.0))
    with Waits():
        masker(Noise(0, torch.tensor(5)), 4, 16)
    with FakeTensorMode():  # shapes made of data raise, and so do tensors of another device
        mask = masker(Noise(0, torch.empty((), dtype=torch.int64, device="meta")), 4, 16)
    assert mask.shape == (4, 3, 16, 16)
    assert mask.device.type == "meta"


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="'stripes'"):
        draw("stripes", torch.ones(1), 8)


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_a_share_of_the_images_is_blank(share):
    given = maskers.build(Masker("orderless", blank=share))(Noise.at(0, 3), 2000, 8)
    blank = (~given).flatten(1).all(1).float().mean()
    # Of those drawn with p ~ U(0, 1) a few are blank by chance: 1 in 65 of 64 lone pixels.
    assert abs(blank - (share + (1 - share) / 65)) < 0.03
