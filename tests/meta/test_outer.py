"""Meta-optimisers against steps computed by hand and against torch.optim; trust, and the limit of penalties."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from meta import Hypers, hypergradient
from meta.dynamics import Adam as InnerAdam
from meta.dynamics import HeavyBall
from meta.inner.ties import constant
from meta.problems.nets import Examples, network
from meta.train.caps import MARGIN, TRUST, capped, l2_limit
from meta.train.optimisers import RULES, Adam, Outer, RmsProp, Sgd, Sign, clipped, outer

FREE: dict[str, float] = {}  # no trust


def hypers(*values: float) -> Hypers:
    return Hypers(log_init_scale=torch.tensor(values, dtype=torch.float64))


def moved(rule, *grads: tuple[float, ...], lr: float = 0.1) -> list[list[float]]:
    """Where a walk from 0 comes, step by step."""
    h, out, places = hypers(*[0.0] * len(grads[0])), Outer(rule, lr, trust=FREE), []
    for g in grads:
        h, out = out.step(h, hypers(*g))
        places.append(h.log_init_scale.tolist())
    return places


# ── by hand ──


def test_sgd_by_hand():
    assert moved(Sgd(), (1.0, -2.0), (3.0, 0.0)) == [[-0.1, 0.2], [pytest.approx(-0.4), 0.2]]
    # m = 1, then 0.5·1 + 3 = 3.5
    assert moved(Sgd(momentum=0.5), (1.0,), (3.0,)) == [[-0.1], [pytest.approx(-0.45)]]


def test_adam_by_hand():
    first, second = moved(Adam(betas=(0.9, 0.99)), (2.0,), (-1.0,))
    assert first == [pytest.approx(-0.1, rel=1e-7)]  # any first gradient is a step of η
    m = (0.9 * 0.1 * 2 - 0.1 * 1) / (1 - 0.9**2)
    v = (0.99 * 0.01 * 4 + 0.01 * 1) / (1 - 0.99**2)
    assert second == [pytest.approx(first[0] - 0.1 * m / math.sqrt(v), rel=1e-6)]


def test_rmsprop_by_hand():
    first, second = moved(RmsProp(rho=0.9), (2.0,), (1.0,))
    assert first == [pytest.approx(-0.1 * 2 / math.sqrt(0.1 * 4), rel=1e-6)]
    assert second == [pytest.approx(first[0] - 0.1 / math.sqrt(0.9 * 0.4 + 0.1), rel=1e-6)]


def test_sign_by_hand():
    assert moved(Sign(), (1e-9, -7.0, 0.0)) == [[-0.1, 0.1, 0.0]]


# ── against torch.optim ──

TORCH = {
    "sgd": (Sgd(momentum=0.9), lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9)),
    "adam": (Adam(betas=(0.8, 0.95)), lambda p: torch.optim.Adam(p, lr=0.05, betas=(0.8, 0.95))),
    "rmsprop": (RmsProp(rho=0.95), lambda p: torch.optim.RMSprop(p, lr=0.05, alpha=0.95)),
}


@pytest.mark.parametrize("name", TORCH)
def test_five_steps_are_those_of_torch(name):
    rule, make = TORCH[name]
    drawn = torch.Generator().manual_seed(3)
    h = Hypers(log_lr=torch.randn(7, 3, generator=drawn), log_l2=torch.randn(5, generator=drawn))
    leaves = [part.clone().requires_grad_() for part in h.parts().values()]
    theirs, ours = make(leaves), Outer(rule, 0.05, trust=FREE)
    for _ in range(5):
        grads = [torch.randn(leaf.shape, generator=drawn) for leaf in leaves]
        for leaf, g in zip(leaves, grads, strict=True):
            leaf.grad = g.clone()
        theirs.step()
        h, ours = ours.step(h, Hypers(log_lr=grads[0], log_l2=grads[1]))
    for mine, leaf in zip(h.parts().values(), leaves, strict=True):
        torch.testing.assert_close(mine, leaf.detach(), rtol=1e-5, atol=1e-7)


# ── values ──


@pytest.mark.parametrize("name", RULES)
def test_a_step_can_be_taken_again(name):
    """Optimisers are values: the same step from the same place ends in the same place, whatever came between."""
    start, out = hypers(0.3, -0.2), outer(name, 0.1)
    _, out = out.step(start, hypers(1.0, 2.0))
    once, _ = out.step(start, hypers(-3.0, 0.5))
    out.step(start, hypers(100.0, 100.0))
    again, _ = out.step(start, hypers(-3.0, 0.5))
    half, _ = out.step(start, hypers(-3.0, 0.5), scale=0.5)
    assert torch.equal(once.log_init_scale, again.log_init_scale)
    torch.testing.assert_close(
        half.log_init_scale - start.log_init_scale, (once + -1.0 * start).log_init_scale / 2
    )


def test_a_kind_may_have_a_rate_of_its_own_and_one_without_gradient_stays():
    h = Hypers(log_lr=torch.zeros(2, 1), log_l2=torch.zeros(3), data=torch.ones(2, 2))
    g = Hypers(log_lr=torch.ones(2, 1), log_l2=torch.ones(3))
    after, _ = Outer(Sgd(), 0.1, lr_of={"log_l2": 0.5}).step(h, g)
    assert after.log_lr.tolist() == [[pytest.approx(-0.1)]] * 2
    assert after.log_l2.tolist() == [-0.5] * 3
    assert torch.equal(after.data, h.data)


@settings(deadline=None, max_examples=30)
@given(
    st.lists(st.floats(-1e6, 1e6, width=32, allow_subnormal=False), min_size=1, max_size=5),
    st.sampled_from(sorted(RULES)),
)
def test_no_entry_moves_farther_than_its_trust_and_the_direction_stays(values, name):
    g = hypers(*values)
    free, _ = Outer(RULES[name](), 10.0, trust=FREE).step(hypers(*[0.0] * len(values)), g)
    tied, _ = outer(name, 10.0).step(hypers(*[0.0] * len(values)), g)
    assert tied.log_init_scale.abs().max() <= TRUST["log_init_scale"] * (1 + 1e-9)
    a, b = free.log_init_scale, tied.log_init_scale
    torch.testing.assert_close(b * a.norm(), a * b.norm())
    assert (a * b >= 0).all()


def test_clipping_keeps_the_direction():
    g = Hypers(log_lr=torch.tensor([[3.0]]), log_l2=torch.tensor([4.0]))
    assert clipped(g, 1.0).norm().item() == pytest.approx(1.0)
    assert clipped(g, 1.0).log_lr.item() == pytest.approx(0.6)
    assert clipped(g, 10.0).log_l2.item() == 4.0
    assert clipped(g, math.inf).log_l2.item() == 4.0


# ── the penalty's limit ──


def problem(steps: int = 60, hidden=(), dynamics=None, n: int = 40):
    drawn = torch.Generator().manual_seed(0)
    images = torch.randn(n, 6, generator=drawn)
    some = Examples(images, torch.randint(0, 3, (n,), generator=drawn))
    return network(some, some, hidden, steps=steps, batch=n, classes=3, dynamics=dynamics or HeavyBall())


@pytest.mark.parametrize(("alpha", "beta"), [(0.3, 0.9), (1.0, 0.5), (0.05, 0.98), (2.0, 0.25)])
def test_heavy_ball_on_a_penalty_alone_turns_at_the_limit(alpha, beta):
    limit = l2_limit(problem(dynamics=HeavyBall(alpha, beta)), Hypers(log_l2=torch.zeros(1)))
    ball = HeavyBall(alpha, beta)
    size = {}
    for side in (-0.05, 0.05):
        lam = math.exp(limit + side)
        state = ball.start(torch.ones(1, dtype=torch.float64))
        rates = (torch.tensor([alpha]).double(), torch.tensor([beta]).double())
        for _ in range(2000):
            state = ball.step(state, lam * state[0], rates)
        size[side] = state[0].abs().item()
    assert size[-0.05] < 1e-3 and not size[0.05] < 1e3  # NaN is beyond infinity


def test_the_limit_is_of_the_worst_step_and_group():
    p = problem(steps=4)
    log_lr = torch.full((4, 2), math.log(0.1))
    log_lr[2, 1] = math.log(0.8)
    logit = torch.full((4, 2), 0.0)  # β = 1/2
    found = l2_limit(p, Hypers(log_lr=log_lr, logit_momentum=logit))
    assert found == pytest.approx(math.log(2 * 1.5 / (0.8 * 0.5)), rel=1e-6)
    tied = l2_limit(p, Hypers(log_lr=log_lr[2:3]), {"log_lr": constant(4)})
    assert tied == pytest.approx(math.log(2 * 1.9 / (0.8 * 0.1)), rel=1e-4)


def test_only_penalties_above_the_limit_are_lowered():
    p = problem()
    limit = l2_limit(p, Hypers(log_l2=torch.zeros(1)))
    h = Hypers(log_l2=torch.tensor([0.0, limit, 99.0]), log_lr=torch.full((60, 2), math.log(0.1)))
    after = capped(p, h)
    assert after.log_l2.tolist() == pytest.approx([0.0, limit - MARGIN, limit - MARGIN])
    assert after.log_lr is h.log_lr
    assert capped(p, Hypers(log_lr=h.log_lr)).log_l2 is None
    adam = problem(dynamics=InnerAdam())
    assert capped(adam, h).log_l2.tolist() == h.log_l2.tolist()  # its steps are bounded whatever the slope


def test_a_training_above_the_limit_explodes_and_capped_it_does_not():
    p = problem(steps=100)
    h = Hypers(log_l2=torch.full((p.layout.P,), l2_limit(p, Hypers(log_l2=torch.zeros(1))) + 0.7))
    assert not hypergradient(p, h, "tape").value.item() < 1e6
    found = hypergradient(p, capped(p, h), "tape")
    assert found.value.item() < 2 and torch.isfinite(found.grads.log_l2).all()
