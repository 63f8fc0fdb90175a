"""Multiplying integers by n/d and back: no bit is lost, and the words beside them grow no faster than they must."""

from math import log2

import pytest
import torch
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from meta.inner.fixedpoint import (
    LARGEST_BASE,
    LIMIT,
    NARROW,
    SPILL,
    WORD,
    FixedPoint,
    InfoBuffer,
    count_spills,
    grow,
)

BASES = st.one_of(
    st.just(2**16), st.sampled_from([1, 2, 3, 10, 1000, 2**15, 2**16 - 1]), st.integers(1, 2**16)
)


def numbers_below(limit: int):
    edges = [0, 1, -1, limit // 512 + 1, -(limit // 512) - 1, limit - 1, 1 - limit]
    return st.one_of(st.integers(1 - limit, limit - 1), st.integers(-(2**17), 2**17), st.sampled_from(edges))


KINDS = {torch.int64: numbers_below(LIMIT), torch.float64: numbers_below(NARROW)}


@st.composite
def products(draw, columns=5):
    """Numbers in a tensor of either kind, d, and some steps of n in [1, d], one for each number or one for all."""
    dtype = draw(st.sampled_from(list(KINDS)))
    c = torch.tensor(draw(st.lists(KINDS[dtype], min_size=columns, max_size=columns)), dtype=dtype)
    d = draw(BASES)
    n = st.one_of(st.sampled_from([1, d, max(1, d - 1)]), st.integers(1, d))
    width = draw(st.sampled_from([1, columns]))
    steps = draw(st.lists(st.lists(n, min_size=width, max_size=width), min_size=1, max_size=12))
    return c, d, steps


@examples(max_examples=150, deadline=None)
@given(products())
def test_mul_follows_the_integers_of_the_paper_and_unmul_takes_it_back(case):
    start, d, steps = case
    c, numbers = start.clone(), [int(number) for number in start.tolist()]
    buffer = InfoBuffer(c, d)
    exact, U = [(number, 0) for number in numbers], 0  # c and i in Python's integers
    aside = []
    for n in steps:
        spill, U = grow(U, min(n), d)
        if spill:
            aside.append([i % 2**SPILL for _, i in exact])
            exact = [(number, i >> SPILL) for number, i in exact]
        buffer.mul_(c, torch.tensor(n, dtype=torch.int32), min(n))
        exact = [mul(*pair, each, d) for pair, each in zip(exact, n * (len(numbers) // len(n)), strict=True)]
        assert c.tolist() == [number for number, _ in exact]
        assert buffer.i.tolist() == [i for _, i in exact]
        assert max(i for _, i in exact) <= U
    kept = [(low.int() % 2**SPILL).tolist() for _, low in buffer.undo if low is not None]
    assert kept == aside
    for n in reversed(steps):
        buffer.unmul_(c, torch.tensor(n, dtype=torch.int32))
    assert c.tolist() == numbers
    assert bool(buffer.empty())


def mul(c: int, i: int, n: int, d: int) -> tuple[int, int]:
    i = i * d + c % d
    return c // d * n + i % n, i // n


@examples(max_examples=100, deadline=None)
@given(products(columns=6), st.lists(st.booleans(), min_size=1, max_size=30))
def test_forth_and_back_in_any_order(case, ways):
    numbers, d, steps = case
    c = numbers.clone().view(2, 3)  # two runs side by side
    buffer = InfoBuffer(c, d)
    stack = []
    for turn, forth in enumerate(ways):
        if forth or not stack:
            n = torch.tensor(steps[turn % len(steps)], dtype=torch.int32)
            n = n.view(2, 3) if len(n) == 6 else n.expand(2, 1)
            stack.append((c.clone(), n))
            buffer.mul_(c, n, int(n.min()))
        else:
            before, n = stack.pop()
            buffer.unmul_(c, n)
            assert torch.equal(c, before)
    assert buffer.empty().tolist() == [not stack] * 2 or stack


def test_the_bound_holds_for_the_worst_number_and_one_spill_is_always_enough():
    for d in (1, 2, 1000, LARGEST_BASE):
        for U in (0, 1, 2**20, WORD // d - 1, WORD // d, WORD - 1):
            for n in {1, max(1, d // 2), d}:
                spill, after = grow(U, n, d)
                kept = U >> SPILL if spill else U
                assert kept * d + d - 1 < WORD
                assert after == (kept * d + d - 1) // n
                assert after < WORD


def test_twenty_thousand_steps_spill_what_they_must_and_come_back():
    steps, d = 20_000, 2**16
    generator = torch.Generator().manual_seed(0)
    n = torch.randint(round(0.88 * d), round(0.92 * d), (steps, 1), generator=generator, dtype=torch.int32)
    start = torch.randint(-(2**52), 2**52, (7,), generator=generator)
    more = torch.randint(-(2**45), 2**45, (steps, 7), generator=generator)
    c, buffer = start.clone(), InfoBuffer(start, d)
    least = n[:, 0].tolist()
    for t in range(steps):
        buffer.mul_(c, n[t], least[t])
        c += more[t]
    must = sum(log2(d / each) for each in least)
    assert buffer.spills == count_spills(least, d)
    assert must - 64 <= SPILL * buffer.spills <= must + 64
    for t in reversed(range(steps)):
        c -= more[t]
        buffer.unmul_(c, n[t])
    assert torch.equal(c, start)
    assert bool(buffer.empty())


def test_a_word_that_was_left_behind_shows():
    c = torch.tensor([12345, -777])
    buffer = InfoBuffer(c, 10)
    n = torch.tensor([9], dtype=torch.int32)
    buffer.mul_(c, n, 9)
    assert not buffer.empty()
    buffer.unmul_(c, torch.tensor([8], dtype=torch.int32))  # another β̂ than on the way there
    assert c.tolist() != [12345, -777]


@given(
    st.lists(st.floats(-1023, 1023), min_size=1, max_size=8),
    st.sampled_from([(30, torch.float32), (52, torch.float64)]),
)
@examples(max_examples=50, deadline=None)
def test_fixed_point_is_near(values, case):
    bits, dtype = case
    numbers, x = FixedPoint(bits), torch.tensor(values, dtype=torch.float64)
    back = numbers.decode(numbers.encode(x), out=torch.empty(len(values), dtype=dtype))
    assert ((back - x).abs() <= 2.0**-bits + x.abs() * torch.finfo(dtype).eps).all()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("offload", [False, True])
@pytest.mark.parametrize("d", [2**16, 1000])
def test_on_a_gpu_as_on_the_cpu(offload, d):
    generator = torch.Generator().manual_seed(0)
    start = torch.randint(1 - LIMIT, LIMIT - 1, (3, 1000), generator=generator)
    n = torch.randint(d // 2, d, (60, 3, 1000), generator=generator, dtype=torch.int32)
    here, there = start.clone(), start.cuda()
    a, b = InfoBuffer(here, d), InfoBuffer(there, d, offload)
    for each in n:
        a.mul_(here, each, d // 2)
        b.mul_(there, each.cuda(), d // 2)
    assert torch.equal(here, there.cpu())
    assert torch.equal(a.i, b.i.cpu())
    for each in reversed(n):
        b.unmul_(there, each.cuda())
    assert torch.equal(start, there.cpu())
    assert b.empty().all()
