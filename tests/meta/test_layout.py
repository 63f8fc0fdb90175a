"""How a vector is cut: spread and dot are adjoint, and a penalty may be one, a layer's, a unit's or a weight's."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from meta import Hypers, Layout, Piece, hypergradient
from meta.problems.nets import Examples, layout, network

modest = settings(max_examples=40, deadline=None)
shapes = st.lists(st.lists(st.integers(1, 3), max_size=3).map(tuple), min_size=1, max_size=4)
layouts = shapes.map(lambda all_: Layout(tuple(Piece(f"p{i}", shape, i) for i, shape in enumerate(all_))))
leads = st.sampled_from([(), (2,), (3, 2)])


def draws(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@modest
@given(layouts)
def test_split_cuts_in_order_and_loses_nothing(cut):
    x = draws(cut.P)
    parts = cut.split(x)
    assert [tuple(part.shape) for part in parts] == [piece.shape for piece in cut.pieces]
    assert torch.equal(torch.cat([part.flatten() for part in parts]), x)
    assert cut.G == len(cut.groups) == len(parts)


@modest
@given(layouts, leads)
def test_spread_and_dot_are_adjoint(cut, lead):
    v, x = draws(*lead, cut.G), draws(*lead, cut.P, seed=1)
    spread, gathered = cut.spread(v), cut.dot(x, torch.ones_like(x))
    assert spread.shape in ((*lead, cut.P), (*lead, 1)) and gathered.shape == (*lead, cut.G)
    torch.testing.assert_close((spread * x).sum(), (v * gathered).sum())
    for part, value in zip((spread + 0 * x).split(cut.sizes, -1), v.unbind(-1), strict=True):
        assert (part == value[..., None]).all()


@modest
@given(layouts)
def test_by_group_gives_each_its_own_row(cut):
    x, rows = draws(cut.P), draws(cut.G, 4, seed=1)
    found = cut.by_group(x, rows, lambda part, row: part * row.sum())
    torch.testing.assert_close(found, x * (cut.spread(rows.sum(1)) + 0 * x))


# ── penalties ──

NET = layout([3, 2, 4])  # W0 [3, 2], b0 [2], W1 [2, 4], b1 [4]


def test_a_penalty_at_each_granularity():
    assert NET.granularities == {20: "weight", 6: "unit", 2: "layer", 1: "one"}
    one, layers, units, weights = draws(1), draws(2), draws(6), draws(20)
    assert torch.equal(NET.penalties(one), one)
    assert torch.equal(NET.penalties(weights), weights)
    assert torch.equal(NET.penalties(layers), layers.repeat_interleave(torch.tensor([8, 12])))
    first, second = units[:2], units[2:]
    wanted = torch.cat([first.repeat(3), first, second.repeat(2), second])  # a unit's column and its bias
    assert torch.equal(NET.penalties(units), wanted)


@pytest.mark.parametrize("n", [1, 2, 6, 20])
def test_runs_side_by_side_are_spread_alike(n):
    many = draws(3, 2, n)
    found = NET.penalties(many)
    assert found.shape == (3, 2, 1 if n == 1 else 20)
    assert torch.equal(found[2, 1], NET.penalties(many[2, 1]))
    assert torch.equal(torch.func.vmap(torch.func.vmap(NET.penalties))(many), found)


def test_nothing_of_a_vmap_stays_behind():
    cut = layout([3, 2, 4])
    torch.func.vmap(torch.func.grad(lambda v: cut.penalties(v).sum()))(draws(3, 6))
    kept = [value for value in vars(cut).values() if isinstance(value, torch.Tensor)]
    assert kept == []


def test_a_wrong_number_is_named_with_the_right_ones():
    said = r"log_l2 has 5 entries; give one of 1 \(one\), 2 \(layer\), 6 \(unit\), 20 \(weight\)"
    with pytest.raises(ValueError, match=said):
        NET.penalties(draws(5))


def test_units_are_not_offered_where_a_layer_has_two_widths():
    mixed = Layout((Piece("a", (2, 3), 0), Piece("b", (5,), 0), Piece("c", (2,), 1)))
    assert mixed.granularities == {13: "weight", 2: "layer", 1: "one"}
    assert torch.equal(mixed.penalties(torch.tensor([1.0, 2.0])), torch.tensor([1.0] * 11 + [2.0] * 2))


def test_layers_go_by_their_number_not_by_their_place():
    cut = Layout((Piece("b", (2,), 7), Piece("a", (3,), 1)))
    assert cut.penalties(torch.tensor([1.0, 7.0])).tolist() == [7, 7, 1, 1, 1]
    assert Layout((Piece("s", (), 0), Piece("w", (2, 2), 1))).penalties(torch.arange(3.0)).tolist() == [
        0,
        1,
        2,
        1,
        2,
    ]


@pytest.mark.parametrize("n", [1, 2, 6, 20])
def test_a_coarse_penalty_has_the_summed_gradient_of_the_fine_one(n):
    labels = torch.arange(8) % 4
    problem = network(
        Examples(draws(8, 3), labels),
        Examples(draws(8, 3, seed=1), labels),
        (2,),
        steps=6,
        batch=4,
        classes=4,
    )
    coarse = draws(n, seed=2) - 1
    fine = problem.layout.penalties(coarse).expand(20)
    few = hypergradient(problem, Hypers(log_l2=coarse), "tape", precision="float64")
    many = hypergradient(problem, Hypers(log_l2=fine), "tape", precision="float64")
    torch.testing.assert_close(few.value, many.value)
    assert few.grads.log_l2 is not None and many.grads.log_l2 is not None
    leaf = coarse.clone().requires_grad_()
    (summed,) = torch.autograd.grad(problem.layout.penalties(leaf).expand(20), leaf, many.grads.log_l2)
    torch.testing.assert_close(few.grads.log_l2, summed)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("n", [1, 2, 6, 20])
def test_penalties_on_a_gpu_stay_there(n):
    values = draws(n)
    assert torch.equal(NET.penalties(values.cuda()).cpu(), NET.penalties(values))


def test_named_keeps_the_names_of_the_pieces():
    x = draws(NET.P)
    named = NET.named(x)
    assert list(named) == NET.groups
    assert all(torch.equal(one, part) for one, part in zip(named.values(), NET.split(x), strict=True))


@modest
@given(st.lists(st.integers(1, 3), min_size=1, max_size=4), st.integers(-4, 3))
def test_units_lie_along_their_axis(shape, axis):
    if not -len(shape) <= axis < len(shape):
        with pytest.raises(ValueError, match=r"Piece 'w': has no axis"):
            Piece("w", tuple(shape), axis=axis)
        return
    piece = Piece("w", tuple(shape), axis=axis)
    values = draws(2, piece.units)
    found = piece.over(values).view(2, *shape).movedim(axis if axis < 0 else axis + 1, -1)
    assert torch.equal(found, values.view(2, *[1] * (len(shape) - 1), -1).expand_as(found))


def test_a_square_layer_of_torch_has_its_units_on_the_first_axis():
    linear = Layout((Piece("weight", (2, 2), axis=0), Piece("bias", (2,))))
    found = linear.penalties(torch.tensor([1.0, 2.0]))
    assert found.tolist() == [1, 1, 2, 2, 1, 2]
