"""First weights: quantiles that are sorted by construction, each of whose edges has a gradient of its own."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.func import hessian, vmap

from meta import Hypers, Layout, Piece, hypergradient
from meta.inner.first_weights import first_weights, normal_bins, quantiles, through_quantiles
from meta.problems.nets import Examples, network

modest = settings(max_examples=40, deadline=None)
bins_of = st.lists(st.floats(-20, 20), min_size=2, max_size=9).map(
    lambda values: torch.tensor(values, dtype=torch.float64)
)


def draws(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@modest
@given(bins_of)
def test_edges_are_sorted_whatever_the_bins(bins):
    edges = quantiles(bins)
    assert edges[0] == bins[0]
    assert (edges.diff() >= 0).all()
    big = bins[1:] > -10  # a gap of e⁻²⁰ may vanish beside an edge of 20
    assert (edges.diff()[big] > 0).all()


@modest
@given(bins_of, st.integers(0, 99))
def test_weights_stay_between_the_end_edges_and_in_the_order_of_their_draws(bins, seed):
    z = draws(seed, 50).sort().values
    x, edges = through_quantiles(z, bins), quantiles(bins)
    slack = 1e-12 * (1 + edges.abs().max())
    assert (x >= edges[0] - slack).all() and (x <= edges[-1] + slack).all()
    assert (x.diff() >= -slack).all()


@modest
@given(bins_of)
def test_a_draw_at_a_quantile_lands_on_its_edge(bins):
    edges = quantiles(bins)
    rank = torch.arange(1, len(edges) - 1, dtype=torch.float64) / (len(edges) - 1)
    torch.testing.assert_close(through_quantiles(torch.special.ndtri(rank), bins), edges[1:-1])
    far = torch.tensor([-40.0, 40.0], dtype=torch.float64)
    torch.testing.assert_close(through_quantiles(far, bins), edges[[0, -1]])


def test_bins_at_the_normal_quantiles_change_next_to_nothing():
    z = draws(0, 20_000)
    off = [
        (through_quantiles(z, normal_bins(count)) - z).square().mean().sqrt().item() for count in (5, 17, 129)
    ]
    assert off[0] > off[1] > off[2] and off[2] < 0.03
    x = through_quantiles(z, normal_bins(129))
    assert x.mean().abs() < 0.02 and abs(x.std().item() - 1) < 0.02
    inside = z.abs() < 2  # there it is straight lines between close knots: the tails alone are coarse
    assert (x - z)[inside].abs().max() < 5e-3


@pytest.mark.parametrize("count", [3, 4, 33])
def test_end_bins_keep_the_mean_of_their_tail(count):
    edges = quantiles(normal_bins(count))
    torch.testing.assert_close(edges, -edges.flip(0))
    z = draws(1, 400_000)
    tail = z[z > edges[-2]].mean().item()
    assert edges[-2:].mean().item() == pytest.approx(tail, rel=0.01)


def test_too_few_edges_are_refused():
    with pytest.raises(ValueError, match="2 edges do not hold two tails; give 3 or more"):
        normal_bins(2)


def small():
    """With a hidden layer: softmax alone is blind to a first edge that moves all weights alike."""
    labels = torch.arange(12) % 3
    train, valid = Examples(draws(1, 12, 8), labels), Examples(draws(2, 12, 8), labels)
    return network(train, valid, (4,), steps=6, batch=4, classes=3)


@pytest.mark.parametrize("method", ["unroll", "tape"])
@pytest.mark.parametrize("edge", [0, 1, 2, -2, -1])
def test_every_edge_has_a_gradient_of_its_own(method, edge):
    """By central differences in float64, both end bins among them (HIPS gave them the first two's gradients)."""
    problem, h = small(), 1e-5
    bins = normal_bins(6).repeat(4, 1) + 0.1 * draws(3, 4, 6)

    def at(step):
        moved = bins.clone()
        moved[0, edge] += step
        return hypergradient(problem, Hypers(init_bins=moved), method, precision="float64")

    slope = at(0.0).grads.init_bins
    expected = ((at(h).value - at(-h).value) / (2 * h)).item()
    assert slope is not None
    assert slope[0, edge].item() == pytest.approx(expected, rel=1e-6, abs=1e-10)
    assert abs(expected) > 1e-5
    others = slope[0].tolist()
    others.pop(edge)
    assert all(abs(other - expected) > 1e-7 for other in others)


def test_groups_have_bins_of_their_own_and_a_scale_on_top():
    layout = Layout((Piece("a", (3,)), Piece("b", (2, 2))))
    z, bins, scale = draws(0, 7), draws(1, 2, 5), draws(2, 2)
    x = first_weights(z, {"init_bins": bins, "log_init_scale": scale}, layout)
    torch.testing.assert_close(x[:3], scale[0].exp() * through_quantiles(z[:3], bins[0]))
    torch.testing.assert_close(x[3:], scale[1].exp() * through_quantiles(z[3:], bins[1]))
    assert torch.equal(first_weights(z, {}, layout), z)


def test_derivatives_twice_and_under_vmap():
    z, many = draws(0, 20), draws(1, 3, 6)

    def f(bins):
        return through_quantiles(z, bins).tanh().square().sum()

    assert torch.autograd.gradcheck(f, many[0].clone().requires_grad_())
    torch.testing.assert_close(vmap(hessian(f))(many)[2], hessian(f)(many[2]))
