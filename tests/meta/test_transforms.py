"""Learned augmentation: the flow of a generator against the matrix exponential, and where its gradient vanishes."""

import dataclasses
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import expm

from meta import Hypers, hypergradient
from meta.problems.nets import Examples, network
from meta.problems.transforms import Transform, half_normal, normal

H, W = 4, 5
D = H * W
KINDS = ("local", "shared", "dense")


def draws(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def generator(transform, size, seed=0):
    return transform.start(size, seed).double()


def neighbours(k, kind, a):
    """The matrix of a stencil, entry by entry."""
    A = torch.zeros(D, D, dtype=torch.float64)
    for p in range(D):
        for o in range(k * k):
            y, x = p // W + o // k - k // 2, p % W + o % k - k // 2
            if 0 <= y < H and 0 <= x < W:
                A[p, y * W + x] = a[p, o] if kind == "local" else a[o]
    return A


# ── the action ──


@pytest.mark.parametrize("k", [3, 5])
@pytest.mark.parametrize("kind", ["local", "shared"])
@pytest.mark.parametrize("antisymmetric", [False, True])
def test_a_stencil_is_this_matrix(kind, k, antisymmetric):
    transform = Transform(H, W, kind, k, antisymmetric)
    a = generator(transform, 1.0)
    A = neighbours(k, kind, a)
    A = A - A.T if antisymmetric else A
    tiny = 1e-4  # exp(At) − 1 = At + ..., and the second difference is out by t³
    t = torch.full((D,), tiny, dtype=torch.float64)
    there, back = (transform(a, way, torch.eye(D, dtype=torch.float64)) for way in (t, -t))
    torch.testing.assert_close(((there - back) / (2 * tiny)).T, A, rtol=0, atol=1e-5)
    torch.testing.assert_close(transform.matrix(a), A)


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(KINDS), st.booleans(), st.floats(0, 0.4), st.integers(0, 99), st.sampled_from([3, 5]))
def test_the_series_is_the_exponential_within_its_bound(kind, antisymmetric, size, seed, k):
    transform = Transform(H, W, kind, k, antisymmetric)
    a, x, t = generator(transform, size, seed), draws(seed, 6, D), draws(seed + 1, 6)
    furthest = t.abs().max().item()
    transform = dataclasses.replace(transform, pieces=transform.enough(a, furthest, 1e-9))
    A = transform.matrix(a)
    # scipy's: torch.matrix_exp is off by 1e-11 where ‖At‖ is small
    exponentials = expm((A * t[:, None, None]).numpy())
    truth = torch.stack([torch.from_numpy(e) @ x_ for e, x_ in zip(exponentials, x, strict=True)])
    bound = transform.error(a, furthest)
    off = (transform(a, t, x) - truth).abs().max().item()
    assert bound <= 1e-9 * (1 + 1e-12)
    grown = math.exp(furthest * A.abs().sum(1).max().item())  # rounding grows with the terms of the series
    assert off <= (bound + 1e-12 * grown) * x.abs().max().item()


def test_too_few_pieces_are_seen_in_bound_and_result():
    transform = Transform(H, W, "dense")
    a, x = generator(transform, 1.5), draws(1, 1, D)
    t = torch.tensor([3.0], dtype=torch.float64)
    truth = torch.matrix_exp(transform.matrix(a) * t) @ x[0]
    off = (transform(a, t, x)[0] - truth).norm() / truth.norm()
    assert off > 0.1 and transform.error(a, 3.0) > 1


def test_antisymmetric_keeps_lengths():
    transform = Transform(H, W, "local", antisymmetric=True)
    a, x, t = generator(transform, 0.3), draws(1, 8, D), draws(2, 8)
    transform = dataclasses.replace(transform, pieces=transform.enough(a, 3.0, 1e-12))
    moved = transform(a, t, x)
    torch.testing.assert_close(moved.norm(dim=1), x.norm(dim=1))
    assert (moved - x).norm() > 0.1
    free = dataclasses.replace(transform, antisymmetric=False)(a, t, x)
    assert (free.norm(dim=1) - x.norm(dim=1)).abs().max() > 0.1


def test_there_and_back():
    transform = Transform(H, W)
    a, x, t = generator(transform, 0.1), draws(1, 8, D), draws(2, 8)
    torch.testing.assert_close(transform(a, -t, transform(a, t, x)), x)


def test_it_differentiates_twice_and_under_vmap():
    transform = Transform(2, 3, "shared", antisymmetric=True, pieces=2)
    x, t = draws(1, 2, 6), draws(2, 2)
    some = torch.stack([generator(transform, 0.2, seed) for seed in (0, 1)])

    def loss(a):
        return transform(a, t, x).tanh().square().sum()

    torch.autograd.gradgradcheck(loss, some[0].requires_grad_())
    every = torch.func.vmap(torch.func.hessian(loss))(some)
    torch.testing.assert_close(every[1], torch.func.hessian(loss)(some[1]))


# ── as a hyperparameter ──


def problem(transform, steps=5, batch=6):
    """Every example is there twice, so that the two may go opposite ways."""
    images, labels = draws(3, 6, D), torch.arange(6) % 3
    train = Examples(images.repeat(2, 1), labels.repeat(2))
    return network(
        train,
        Examples(draws(4, 9, D), torch.arange(9) % 3),
        steps=steps,
        batch=batch,
        classes=3,
        transform=transform,
    )


def opposite(step, seed, rows):
    """t for one copy of an example, −t for the other."""
    t = normal(step, seed, torch.arange(6))[rows % 6]
    return torch.where(rows < 6, t, -t)


def slope(transform, A, method="tape", batch=12, **more):
    return hypergradient(
        problem(transform, batch=batch), Hypers(generator=A), method, precision="float64", **more
    )


def length(result):
    return result.grads.generator.norm().item()


@pytest.mark.parametrize("kind", KINDS)
def test_a_pair_is_one_flow_after_the_other(kind):
    """y = exp(Aᵀt₂) exp(At₁) x, against dense exponentials."""
    transform = Transform(H, W, kind, pair=True, pieces=3)
    a, x = generator(transform, 0.3), draws(1, 4, D)
    t = draws(2, 4, 2)
    A = transform.matrix(a)
    for row, (one, other) in enumerate(t):
        y = torch.matrix_exp(A.T * other) @ torch.matrix_exp(A * one) @ x[row]
        torch.testing.assert_close(transform(a, t, x)[row], y, rtol=1e-7, atol=1e-7)


def test_the_distribution_of_times_is_learned():
    transform = Transform(H, W)
    time = torch.tensor([0.3, -0.5], dtype=torch.float64)
    learned = Hypers(generator=generator(transform, 0.3), other={"time": time})
    found = hypergradient(problem(transform), learned, "tape", precision="float64")
    h = 1e-5
    for k in range(2):
        moved = torch.zeros(2, dtype=torch.float64)
        moved[k] = h
        up, down = (
            hypergradient(
                problem(transform),
                Hypers(generator=learned.generator, other={"time": time + way * moved}),
                "tape",
                precision="float64",
            ).value
            for way in (1, -1)
        )
        assert found.grads.other["time"][k].item() == pytest.approx(((up - down) / (2 * h)).item(), rel=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_zero_is_a_stationary_point_when_t_is_symmetric(kind):
    transform = Transform(H, W, kind, times=opposite)
    zero = torch.zeros(transform.shape)
    assert length(slope(transform, zero)) < 1e-15
    assert length(slope(transform, transform.start())) > 1e-5
    assert length(slope(dataclasses.replace(transform, times=half_normal), zero)) > 1e-3


def test_zero_is_stationary_in_the_mean_of_normal_t():
    """Each draw alone has a gradient; it is odd in t, so that the mean of all is none."""
    transform = Transform(H, W, times=normal)
    mirrored = Transform(H, W, times=lambda *at: -normal(*at))
    zero = torch.zeros(transform.shape)
    one, other = slope(transform, zero), slope(mirrored, zero)
    assert length(one) > 1e-3
    torch.testing.assert_close(one.grads.generator, (-1 * other.grads).generator)


@pytest.mark.parametrize("kind", KINDS)
def test_the_gradient_is_that_of_finite_differences(kind):
    transform = Transform(
        H, W, kind, antisymmetric=kind == "dense", smoothness=0.3 if kind == "local" else 0.0
    )
    A, way = generator(transform, 0.1), draws(5, *transform.shape)
    found = slope(transform, A, batch=5)
    h = 1e-5
    up, down = (slope(transform, A + s * way, batch=5).value for s in (h, -h))
    expected = ((up - down) / (2 * h)).item()
    assert found.grads.generator is not None
    assert (found.grads.generator * way).sum().item() == pytest.approx(expected, rel=1e-6)


def test_methods_agree_lone_and_side_by_side():
    transform = Transform(H, W, smoothness=0.1, times=half_normal)
    A = generator(transform, 0.1)
    truth = slope(transform, A, "unroll", batch=5, seeds=(0, 1))
    for method in ("unroll", "tape"):
        for chunk in (1, 2):
            found = slope(transform, A, method, batch=5, seeds=(0, 1), chunk_size=chunk)
            torch.testing.assert_close(
                found.seed_grads.generator, truth.seed_grads.generator, rtol=1e-10, atol=1e-13
            )


def test_smoothness_is_half_the_squared_steps_between_neighbours():
    transform = Transform(2, 3, smoothness=3.0)
    A = torch.zeros(6, 9)
    A[1, 2] = 2.0  # the middle of the upper row: two neighbours beside it, one below
    assert float(transform.penalty(A)) == pytest.approx(0.5 * 3 * (4 + 4 + 4))
    assert float(transform.penalty(torch.ones(6, 9))) == 0
    free, smooth = Transform(H, W), Transform(H, W, smoothness=3.0)
    A = generator(free, 0.1)
    more = slope(smooth, A).value - slope(free, A).value
    assert more.item() == pytest.approx(float(smooth.penalty(A)))


def test_t_is_a_function_of_step_and_seed():
    rows = torch.arange(2000)
    assert torch.equal(normal(3, 1, rows), normal(3, 1, rows))
    assert not torch.equal(normal(3, 1, rows), normal(4, 1, rows))
    assert not torch.equal(normal(3, 1, rows), normal(3, 2, rows))
    assert abs(normal(3, 1, rows).mean().item()) < 0.1
    assert half_normal(3, 1, rows).mean().item() == pytest.approx(math.sqrt(2 / math.pi), abs=0.1)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Transform(4, 4, stencil=4), "4 has no pixel in its middle; give 3 or 5"),
        (lambda: Transform(4, 4, "shared", smoothness=1.0), "a shared generator has no neighbours"),
        (
            lambda: slope(Transform(H, W), torch.zeros(9)),
            r"has shape \[9\]; a local one of 4×5 images needs \[20, 9\]",
        ),
    ],
)
def test_what_does_not_fit_is_said(make, said):
    with pytest.raises(ValueError, match=said):
        make()
