"""Hypers: a pytree with an inner product, whose absent parts stay absent."""

import copy
import pickle
from types import MappingProxyType

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils import _pytree as pytree

from meta import Hypers
from meta.hypers import seen_by_losses

NAMES = [
    *(
        "log_lr",
        "logit_momentum",
        "log_init_scale",
        "init_bins",
        "init",
        "log_l2",
        "data",
        "labels",
        "generator",
    ),
    *("other.a", "other.b.c"),
]
modest = settings(max_examples=40, deadline=None)
numbers = st.floats(-1e3, 1e3)


@st.composite
def parts_of(draw, names=None):
    chosen = names or draw(st.lists(st.sampled_from(NAMES), unique=True))
    shape = st.tuples(st.integers(1, 3), st.integers(1, 2))
    seed = draw(st.integers(0, 1000))
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(draw(shape), generator=generator, dtype=torch.float64) for name in chosen}


def same(a, b):
    assert list(a) == list(b)
    assert all(torch.equal(a[name], b[name]) for name in a)


@modest
@given(parts_of())
def test_parts_and_pytree_there_and_back(parts):
    h = Hypers.of(parts)
    assert set(h.parts()) == set(parts)
    assert h.count() == sum(part.numel() for part in parts.values())
    leaves, spec = pytree.tree_flatten(h)
    assert len(leaves) == len(parts)
    same(pytree.tree_unflatten(leaves, spec).parts(), h.parts())
    same(pytree.tree_map(lambda part: 2 * part, h).parts(), (2.0 * h).parts())


@modest
@given(parts_of())
def test_it_can_be_kept_and_copied(parts):
    h = Hypers.of(parts)
    for other in (pickle.loads(pickle.dumps(h)), copy.deepcopy(h), copy.copy(h)):
        same(other.parts(), h.parts())
        assert isinstance(other.other, MappingProxyType)


@modest
@given(parts_of(), numbers, numbers)
def test_it_is_a_vector_space_with_a_product(parts, a, b):
    u = Hypers.of(parts)
    v = Hypers.of({name: part.flip(0) + 1 for name, part in parts.items()})
    for name, part in (u + v).parts().items():
        torch.testing.assert_close(part, parts[name] + v.parts()[name])
    left, right = (u * a + b * v).dot(u), a * u.dot(u) + b * v.dot(u)
    torch.testing.assert_close(left, right, rtol=1e-9, atol=1e-6)
    torch.testing.assert_close(u.dot(v), v.dot(u))
    torch.testing.assert_close(u.norm() ** 2, u.dot(u))
    assert abs(u.dot(v)) <= u.norm() * v.norm() * (1 + 1e-9)
    flat = torch.cat([torch.zeros(1, dtype=torch.float64), *(part.flatten() for part in parts.values())])
    torch.testing.assert_close(u.norm(), flat.norm())


def test_absent_parts_stay_absent():
    h, step = Hypers(log_lr=torch.ones(2, 1)), Hypers(log_l2=torch.ones(1))
    assert list((h + step).parts()) == ["log_lr"] and h.data is None
    same((h + step).parts(), h.parts())
    assert h.dot(step) == step.dot(h) == 0
    assert Hypers().parts() == {} and Hypers().norm() == 0 and Hypers().count() == 0
    assert pytree.tree_leaves(Hypers()) == []


def test_sums_of_float32_are_taken_in_float64():
    h = Hypers(log_lr=torch.full((10_000, 1), 1e-3))
    assert h.dot(h).dtype == torch.float64
    assert h.dot(h).item() == pytest.approx(1e-2, rel=1e-7)


def test_it_goes_through_torch_func():
    h = Hypers(log_lr=torch.ones(2, 1), other={"a": torch.arange(3.0)})

    def f(h):
        return (h.log_lr * 3).sum() + h.other["a"].square().sum()

    slope = torch.func.grad(f)(h)
    same(slope.parts(), {"log_lr": torch.full((2, 1), 3.0), "other.a": 2 * torch.arange(3.0)})
    stacked = pytree.tree_map(lambda part: torch.stack([part, 2 * part]), h)
    torch.testing.assert_close(torch.func.vmap(f)(stacked), torch.stack([f(h), f(h * 2)]))


def test_it_cannot_be_changed_in_place():
    h = Hypers(other={"a": torch.ones(1)}) * 1.0
    with pytest.raises(AttributeError):
        h.log_lr = torch.ones(1)  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(TypeError):
        h.other["a"] = torch.zeros(1)  # pyright: ignore[reportIndexIssue]


def test_losses_see_neither_schedules_nor_starts_nor_the_penalty():
    assert seen_by_losses(NAMES) == ["data", "labels", "generator", "other.a", "other.b.c"]
