"""Optimisers as pure functions: each adjoint against automatic differentiation, and the rates they read."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.func import vjp

from meta.dynamics import DENOMINATOR, Adam, HeavyBall, exact_fraction

modest = settings(max_examples=40, deadline=None)
P, T, G = 5, 7, 2
LIKE = torch.zeros((), dtype=torch.float64)
OPTIMISERS = [HeavyBall(), Adam(), Adam(eps=0.1, second=(9, 10))]


def draws(seed):
    generator = torch.Generator().manual_seed(seed)
    return lambda *shape: torch.randn(*shape, generator=generator, dtype=torch.float64)


def situation(optimiser, seed, lead=(), one_rate=False):
    """A state, a gradient, rates and an adjoint, as they may come up."""
    normal = draws(seed)
    state = [normal(*lead, P) for _ in range(optimiser.width)]
    if isinstance(optimiser, Adam):
        state[2] = state[2].square()
    width = 1 if one_rate else P
    rates = [normal(*lead, width).exp(), normal(*lead, width).sigmoid()]
    if isinstance(optimiser, Adam):
        rates += [1 + normal(*lead, width).exp(), 1 + normal(*lead, width).exp()]
    adjoint = tuple(normal(*lead, P) for _ in range(optimiser.width))
    return tuple(state), normal(*lead, P), tuple(rates), adjoint


def both(optimiser, state, g, rates, adjoint):
    """(state, g, rates) of `pull`, and of automatic differentiation; rates [..., P] each."""
    rates = tuple(rate.expand_as(g) for rate in rates)
    back = vjp(optimiser.step, state, g, rates)[1]
    return pulled(optimiser, state, g, rates, adjoint), back(adjoint)


def pulled(optimiser, state, g, rates, adjoint):
    """`pull` with every weight a group of its own."""
    return optimiser.pull(state, optimiser.step(state, g, rates), g, rates, adjoint, torch.mul)


def close(found, truth):
    for part, other in zip(found, truth, strict=True):
        torch.testing.assert_close(part, other, rtol=1e-10, atol=1e-12)


@modest
@given(st.sampled_from(OPTIMISERS), st.integers(0, 10_000), st.sampled_from([(), (3,)]), st.booleans())
def test_pull_is_the_adjoint_of_step(optimiser, seed, lead, one_rate):
    where = situation(optimiser, seed, lead, one_rate)
    (dstate, u, drates), (dstate_, u_, drates_) = both(optimiser, *where)
    close(dstate, dstate_)
    close([u], [u_])
    close(drates, drates_)
    state, g, rates, adjoint = where
    close(pulled(optimiser, state, g, rates, adjoint)[2], drates_)  # also where one rate serves all weights


@modest
@given(st.sampled_from(OPTIMISERS), st.integers(0, 10_000))
def test_pull_is_linear_in_the_adjoint(optimiser, seed):
    state, g, rates, adjoint = situation(optimiser, seed)
    once, twice = (pulled(optimiser, state, g, rates, tuple(k * d for d in adjoint)) for k in (1.0, -2.0))
    close([-2 * part for part in (*once[0], once[1], *once[2])], (*twice[0], twice[1], *twice[2]))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("eps", [1e-8, 1e-3])
def test_adam_has_a_finite_adjoint_where_nothing_has_moved(dtype, eps):
    """s = 0 and g = 0, as for a weight whose input is always black: √s has no derivative there, √(s + ε²) has."""
    optimiser = Adam(eps=eps)
    nil, ones = torch.zeros(P, dtype=dtype), torch.ones(P, dtype=dtype)
    where = (nil, nil, nil), nil, (0.1 * ones, 0.9 * ones, 10 * ones, 1000 * ones), (ones, ones, ones)
    (dstate, u, drates), (dstate_, u_, drates_) = both(optimiser, *where)
    assert all(part.isfinite().all() for part in (*dstate, u, *drates))
    torch.testing.assert_close((*dstate, u, *drates), (*dstate_, u_, *drates_))
    torch.testing.assert_close(u, 0.1 * ones * (1 - 0.1 * 10 / eps), rtol=1e-5, atol=0)


def test_heavy_ball_is_that_of_the_paper():
    state, g, (alpha, beta), _ = situation(HeavyBall(), 0)
    v = beta * state[1] - (1 - beta) * g
    close(HeavyBall().step(state, g, (alpha, beta)), (state[0] + alpha * v, v))


def test_adam_is_torch_s_but_for_where_epsilon_is():
    eps = 1e-12
    ours, weights = (
        Adam(lr=0.03, momentum=0.9, eps=eps, denominator=None),
        torch.zeros(P, dtype=torch.float64),
    )
    leaf = weights.clone().requires_grad_()
    theirs = torch.optim.Adam([leaf], lr=0.03, betas=(0.9, 0.999), eps=eps)
    rates, state, normal = ours.rates({}, T, 1, LIKE), ours.start(weights), draws(0)
    for t in range(T):
        g = normal(P)
        state = ours.step(state, g, tuple(rate[t] for rate in rates))
        leaf.grad = g
        theirs.step()
    torch.testing.assert_close(state[0], leaf.detach(), rtol=1e-9, atol=0)


# ── β as a fraction ──


@modest
@given(
    st.floats(0, 1), st.sampled_from([torch.float32, torch.float64]), st.sampled_from([10, 256, DENOMINATOR])
)
def test_a_fraction_is_near_on_the_grid_and_within_bounds(beta, dtype, d):
    beta = torch.tensor(beta, dtype=dtype)
    found = exact_fraction(beta, d)
    assert found.dtype == dtype
    assert 1 / d * (1 - 1e-6) <= found.item() <= 1
    near = found.double() - beta.double().clamp(1 / d, 1)
    assert near.abs().item() <= 0.5 / d * (1 + 1e-6)
    if d != 10:  # a power of two: n/d is exact
        assert (found.double() * d).frac().item() == 0


@modest
@given(st.floats(0, 1))
def test_rounding_twice_is_rounding_once(beta):
    once = exact_fraction(torch.tensor(beta, dtype=torch.float64))
    assert torch.equal(exact_fraction(once), once)
    assert exact_fraction(torch.tensor(beta), None).item() == torch.tensor(beta).item()


@modest
@given(st.floats(-30, 30))
def test_its_derivative_is_passed_straight_through(logit):
    leaf = torch.tensor(logit, dtype=torch.float64, requires_grad=True)
    (found,) = torch.autograd.grad(exact_fraction(leaf.sigmoid()), leaf)
    (plain,) = torch.autograd.grad(leaf.sigmoid(), leaf)
    assert torch.equal(found, plain)
    at, along = leaf.detach().sigmoid(), torch.ones_like(leaf)
    primal, tangent = torch.func.jvp(exact_fraction, (at,), (along,))[:2]
    assert tangent == 1 and primal * DENOMINATOR == (primal * DENOMINATOR).round()


# ── rates ──


@pytest.mark.parametrize("optimiser", OPTIMISERS)
def test_what_is_not_given_is_the_optimiser_s_own(optimiser):
    alpha, beta = optimiser.rates({}, T, G, LIKE)[:2]
    assert alpha.shape == beta.shape == (T, G) and alpha.dtype == torch.float64
    assert (alpha == optimiser.lr).all()
    assert (beta - optimiser.momentum).abs().max() <= 0.5 / DENOMINATOR
    log_lr, logit = draws(1)(T, G), draws(2)(T, G)
    alpha, beta = optimiser.rates({"log_lr": log_lr, "logit_momentum": logit}, T, G, LIKE)[:2]
    assert torch.equal(alpha, log_lr.exp())
    assert torch.equal(beta, exact_fraction(logit.sigmoid()))


def test_bias_corrections_of_a_constant_beta_are_kingma_and_ba_s():
    _, beta, a1, a2 = Adam(momentum=0.75, second=(99, 100)).rates({}, T, G, LIKE)
    t = torch.arange(1, T + 1, dtype=torch.float64)[:, None].expand(T, G)
    assert (beta == 0.75).all()
    torch.testing.assert_close(1 / a1, 1 - 0.75**t)
    torch.testing.assert_close(1 / a2, 1 - 0.99**t)


def test_bias_corrections_make_the_mean_of_a_constant_gradient_itself():
    """Whatever β₁ does: m of T equal gradients g is c₁ g, so m/c₁ = g."""
    adam, logit = Adam(), draws(3)(T, 1)
    rates = adam.rates({"logit_momentum": logit}, T, 1, LIKE)
    state, g = adam.start(torch.zeros(P, dtype=torch.float64)), draws(4)(P)
    for t in range(T):
        state = adam.step(state, g, tuple(rate[t] for rate in rates))
        torch.testing.assert_close(rates[2][t] * state[1], g)
        torch.testing.assert_close(rates[3][t] * state[2], g * g)


def test_a_change_of_beta_moves_the_corrections_from_there_on():
    adam, logit, at = Adam(), torch.full((T, G), 1.5, dtype=torch.float64), 3
    moved = logit.clone()
    moved[at, 1] += 1
    before, after = (adam.rates({"logit_momentum": one}, T, G, LIKE)[2] for one in (logit, moved))
    changed = (before != after).tolist()
    assert changed == [[False, t >= at] for t in range(T)]

    slope = torch.func.jacrev(lambda one: adam.rates({"logit_momentum": one}, T, G, LIKE)[2])(logit)
    reached = slope != 0  # [T, G] by [T, G]
    assert reached.tolist() == [
        [[[t >= k and g == h for h in range(G)] for k in range(T)] for g in range(G)] for t in range(T)
    ]
    # ∂(1/c₁)/∂logit_k = ∏β₁ (1−β_k)/c₁², for ∂β/∂logit is β(1−β); straight through the rounding
    beta = torch.tensor(1.5, dtype=torch.float64).sigmoid().item()
    rounded = round(beta * DENOMINATOR) / DENOMINATOR
    whole = rounded ** (at + 1)
    expected = whole / rounded * beta * (1 - beta) / (1 - whole) ** 2
    assert slope[at, 0, 0, 0].item() == pytest.approx(expected, rel=1e-12)


def test_momentum_one_leaves_adam_finite():
    rates = Adam().rates({"logit_momentum": torch.full((T, G), 50.0)}, T, G, torch.zeros(()))
    assert all(rate.isfinite().all() for rate in rates) and math.isclose(rates[1].max().item(), 1)
