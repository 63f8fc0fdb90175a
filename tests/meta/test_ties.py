"""Ties: linear maps in front of a part. What is tied is spread evenly, and its gradient is the sum over the tie."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from meta import Hypers, hypergradient
from meta.inner.ties import Tie, constant, linear, per_epoch, piecewise
from meta.problems.quadratic import rotated

modest = settings(max_examples=50, deadline=None)


@st.composite
def ties(draw):
    n = draw(st.integers(2, 60))
    kind = draw(st.sampled_from(["constant", "piecewise", "per_epoch", "linear"]))
    if kind == "constant":
        return constant(n)
    if kind == "per_epoch":
        return per_epoch(n, draw(st.integers(1, 70)))
    if kind == "piecewise":
        return piecewise(n, draw(st.integers(1, n)))
    return linear(n, draw(st.integers(2, n)))


@modest
@given(ties())
def test_rows_are_weights_that_sum_to_one(tie):
    assert (tie.matrix >= 0).all()
    torch.testing.assert_close(tie.matrix.sum(1), torch.ones(len(tie.matrix), dtype=torch.float64))
    assert (tie.matrix.sum(0) > 0).all()  # no raw value is without effect


@modest
@given(ties(), st.floats(-1e3, 1e3), st.integers(1, 3))
def test_a_constant_is_spread_to_itself(tie, value, groups):
    raw = torch.full((tie.matrix.shape[1], groups), value, dtype=torch.float64)
    spread = tie.spread(raw)
    torch.testing.assert_close(spread, torch.full((len(tie.matrix), groups), value, dtype=torch.float64))


@modest
@given(st.integers(1, 60), st.data())
def test_piecewise_is_in_order_and_nearly_equal(n, data):
    k = data.draw(st.integers(1, n))
    spread = piecewise(n, k).spread(torch.arange(k, dtype=torch.float64))
    assert (spread.diff() >= 0).all() and spread[0] == 0 and spread[-1] == k - 1
    lengths = torch.bincount(spread.long(), minlength=k)
    assert lengths.max() - lengths.min() <= 1


@modest
@given(st.integers(1, 60), st.integers(1, 70))
def test_per_epoch_changes_every_epoch(n, steps):
    tie = per_epoch(n, steps)
    assert tie.matrix.shape == (n, -(-n // steps))
    spread = tie.spread(torch.arange(tie.matrix.shape[1]).double())
    assert spread.tolist() == [t // steps for t in range(n)]


@modest
@given(st.integers(2, 60), st.data())
def test_linear_meets_its_knots_and_is_straight_between(n, data):
    k = data.draw(st.integers(2, n))
    straight = linear(n, k).spread(torch.arange(k, dtype=torch.float64))
    torch.testing.assert_close(straight, torch.linspace(0, k - 1, n, dtype=torch.float64))
    knots = torch.randn(k, generator=torch.Generator().manual_seed(k), dtype=torch.float64)
    ends = linear(n, k).spread(knots)[[0, -1]]
    torch.testing.assert_close(ends, knots[[0, -1]])


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: piecewise(10, 0), "0 pieces of 10 steps; give 1 to 10"),
        (lambda: piecewise(10, 11), "11 pieces of 10 steps; give 1 to 10"),
        (lambda: per_epoch(10, 0), "0 steps per epoch; give 1 or more"),
        (lambda: linear(10, 1), "1 knots on 10 steps; give 2 to 10"),
        (lambda: constant(10).spread(torch.zeros(2, 3)), "has 2 rows; its tie takes 1"),
    ],
)
def test_what_does_not_fit_is_said(make, said):
    with pytest.raises(ValueError, match=said):
        make()


@pytest.mark.parametrize("method", ["unroll", "tape"])
@pytest.mark.parametrize("tie", [constant(12), piecewise(12, 5), per_epoch(12, 5), linear(12, 4)])
def test_a_tied_gradient_is_the_untied_one_pulled_through(method, tie: Tie):
    problem = rotated(torch.tensor([0.3, 2.0]), 12).problem()
    raw = -1 + 0.1 * torch.arange(tie.matrix.shape[1], dtype=torch.float64)[:, None]
    tied = hypergradient(problem, Hypers(log_lr=raw), method, precision="float64", ties={"log_lr": tie})
    free = hypergradient(problem, Hypers(log_lr=tie.spread(raw)), method, precision="float64")
    torch.testing.assert_close(tied.value, free.value)
    assert tied.grads.log_lr is not None and free.grads.log_lr is not None
    torch.testing.assert_close(tied.grads.log_lr, tie.matrix.T @ free.grads.log_lr)
    assert tied.grads.log_lr.abs().min() > 1e-6


def test_a_tie_without_its_part_is_refused():
    problem = rotated(torch.ones(2), 3).problem()
    with pytest.raises(
        ValueError, match="'logit_momentum' is tied, but hypers has no such part; it has log_lr"
    ):
        hypergradient(problem, Hypers(log_lr=torch.zeros(3, 1)), ties={"logit_momentum": constant(3)})
