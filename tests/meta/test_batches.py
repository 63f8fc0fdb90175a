"""Batches: a function of step and seed alone, in which every epoch sees each example once."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from meta.batches import Batches, _order, generator_at

modest = settings(max_examples=40, deadline=None)


@st.composite
def batches_of(draw):
    n = draw(st.integers(1, 50))
    return Batches(n, draw(st.integers(1, n)))


seeds = st.integers(-(2**40), 2**70)


@modest
@given(batches_of(), seeds, st.integers(0, 1000))
def test_an_epoch_sees_no_row_twice_and_leaves_less_than_a_batch(batches, seed, epoch):
    first = epoch * batches.per_epoch
    seen = torch.cat([batches(first + step, seed) for step in range(batches.per_epoch)])
    assert seen.dtype == torch.int64 and seen.min() >= 0 and seen.max() < batches.n
    assert len(seen.unique()) == len(seen) == batches.per_epoch * batches.size > batches.n - batches.size


@modest
@given(st.integers(1, 8), st.integers(1, 8), seeds)
def test_a_size_that_divides_sees_each_row_once(size, times, seed):
    batches = Batches(size * times, size)
    seen = torch.cat([batches(step, seed) for step in range(times)])
    assert seen.sort().values.tolist() == list(range(size * times))


@modest
@given(batches_of(), seeds, st.permutations(range(12)))
def test_asked_in_any_order_and_again_it_is_the_same(batches, seed, order):
    forth = [batches(t, seed) for t in range(12)]
    _order.cache_clear()
    torch.manual_seed(0)  # what others draw has no part in it
    for t in order:
        assert torch.equal(batches(t, seed), forth[t])


def test_seeds_and_epochs_have_orders_of_their_own():
    batches = Batches(40, 10)
    orders = {
        tuple(torch.cat([batches(4 * epoch + step, seed) for step in range(4)]).tolist())
        for epoch in range(20)
        for seed in range(20)
    }
    assert len(orders) == 400


def test_batches_leave_the_common_generator_alone():
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    _order.cache_clear()
    Batches(10, 2)(3, 5)
    assert torch.equal(torch.rand(3), expected)


def test_streams_do_not_meet():
    seen = {
        torch.randn(1, generator=generator_at(seed, counter, stream)).item()
        for seed in range(10)
        for counter in range(10)
        for stream in range(3)
    }
    assert len(seen) == 300


@pytest.mark.parametrize("size", [0, -1, 11])
def test_a_wrong_size_is_said(size):
    with pytest.raises(ValueError, match=f"{size} examples a step; there are 10, give 1 to 10"):
        Batches(10, size)
