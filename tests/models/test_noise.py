"""Randomness without a state: reproducible, independent, uniform."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.noise import Noise


def test_a_draw_depends_on_seed_step_stream_and_nothing_else():
    first = Noise.at(3, 7).uniform("mask", 4, 5)
    torch.rand(10)  # torch's own state is not touched and does not matter
    assert torch.equal(first, Noise.at(3, 7).uniform("mask", 4, 5))
    for other in (Noise.at(4, 7), Noise.at(3, 8)):
        assert not torch.equal(first, other.uniform("mask", 4, 5))
    assert not torch.equal(first, Noise.at(3, 7).uniform("pixels", 4, 5))


def test_the_numbers_never_change():
    """A resumed run, or one on another machine, must draw what this one draws."""
    drawn = Noise.at(0, 1).uniform("mask", 3)
    assert [round(x * 2**24) for x in drawn.tolist()] == NUMBERS
    assert Noise.at(0, 1).below("batch", 1000, 3).tolist() == BELOW


NUMBERS = [2031414, 14247321, 7741585]
BELOW = [602, 344, 173]


@pytest.mark.parametrize("stream", ["batch", "mask", "a name longer than seven letters"])
def test_it_is_uniform(stream):
    x = Noise.at(0, 0).uniform(stream, 200_000)
    assert x.min() >= 0 and x.max() < 1
    counts = torch.histc(x, 100, 0, 1)  # 2,000 expected in each, standard deviation 44
    chi_square = ((counts - 2000) ** 2 / 2000).sum()
    assert 50 < chi_square < 160  # 99 degrees of freedom: 0.9999 of all draws


def test_streams_steps_and_neighbours_are_uncorrelated():
    draws = [Noise.at(0, 0).uniform("a", 50_000)]
    draws += [Noise.at(0, 0).uniform("b", 50_000), Noise.at(0, 1).uniform("a", 50_000)]
    draws += [Noise.at(1, 0).uniform("a", 50_000), draws[0].roll(1)]
    correlations = torch.corrcoef(torch.stack(draws)) - torch.eye(5)
    assert correlations.abs().max() < 0.02  # 4.5 standard deviations


@given(seed=st.integers(0, 2**63 - 1), step=st.integers(0, 2**40), n=st.integers(1, 2**31))
def test_below_is_below(seed, step, n):
    drawn = Noise.at(seed, step).below("batch", n, 64)
    assert drawn.min() >= 0 and drawn.max() < n


def test_below_takes_a_bound_for_each():
    bounds = torch.tensor([1, 2, 1000])
    drawn = torch.stack([Noise.at(0, s).below("x", bounds, 3) for s in range(200)])
    assert drawn.amax(0).tolist()[:2] == [0, 1]
    assert 900 < drawn[:, 2].max() < 1000
