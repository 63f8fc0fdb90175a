"""Implicit differentiation agrees with differentiation through the training where that has converged, and only
there; it refuses what it cannot see, and its solvers are those of the textbook."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import cross_entropy

from meta import Hypers, Layout, Piece, Problem, hypergradient
from meta.dynamics import Adam, HeavyBall
from meta.inner.steps import Inner
from meta.inner.ties import Tie
from meta.methods import implicit
from meta.methods.implicit import Implicit, conjugate_gradient, neumann

N, D, C = 24, 4, 3
P = D * C + C
LAYOUT = Layout((Piece("W", (D, C), 0), Piece("b", (C,), 1)))  # two layers, so that each granularity differs


def regression(steps: int, scale: float = 1.0) -> Problem:
    """Softmax regression on the full batch. other: "push" tilts both losses, so it acts directly as well."""
    draws = torch.Generator().manual_seed(5)
    images = torch.randn(2 * N, D, generator=draws, dtype=torch.float64)
    labels = torch.randint(0, C, (2 * N,), generator=draws)

    def loss(x: torch.Tensor, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        w, b = LAYOUT.split(x)
        return cross_entropy(images.to(x.dtype) @ w + b, labels)

    def inner(x: torch.Tensor, h: Hypers, batch: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        images, labels = batch
        images = images if h.data is None else h.data
        labels = labels if h.labels is None else h.labels.softmax(-1)
        push = (h.other["push"] * x).sum() if "push" in h.other else 0
        decay = 0 if h.log_l2 is not None else 0.1 * x.square().sum()
        return loss(x, images, labels) + push + decay

    def outer(x: torch.Tensor, h: Hypers) -> torch.Tensor:
        tilt = h.other["push"].square().sum() if "push" in h.other else 0
        return loss(x, images[N:], labels[N:]) + tilt

    def init(seed: int) -> torch.Tensor:
        return scale * torch.randn(P, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)

    def batch(t: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
        return images[:N], labels[:N]

    return Problem(LAYOUT, steps, init, inner, outer, batch, HeavyBall(lr=2.0, momentum=0.5))


CONVERGED = regression(steps=120)


def hypers(kind: str) -> Hypers:
    draws = torch.Generator().manual_seed(7)

    def some(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=draws, dtype=torch.float64)

    penalties = {"one": 1, "layer": 2, "unit": 2 * C, "weight": P}
    if kind in penalties:
        return Hypers(log_l2=0.3 * some(penalties[kind]) - 1)
    return {
        "data": Hypers(data=some(N, D)),
        "labels": Hypers(labels=some(N, C)),
        "other": Hypers(other={"push": 0.1 * some(P)}),
        "all": Hypers(log_l2=some(P) * 0.3 - 1, data=some(N, D), other={"push": 0.1 * some(P)}),
    }[kind]


def distance(found: Hypers, true: Hypers) -> float:
    return float((found + -1 * true).norm() / true.norm())


KINDS = ["one", "layer", "unit", "weight", "data", "labels", "other", "all"]


@pytest.mark.parametrize("kind", KINDS)
def test_at_convergence_it_is_the_gradient_through_the_training(kind):
    true = hypergradient(CONVERGED, hypers(kind), "unroll", precision="float64")
    assert true.inner_grad_norm.item() < 1e-12
    for method in (Implicit(iterations=40), Implicit("neumann", iterations=400)):
        found = hypergradient(CONVERGED, hypers(kind), method, precision="float64")
        assert distance(found.grads, true.grads) < 1e-6
        assert torch.equal(found.value, true.value)
        assert found.method == "implicit" and found.growth is None and found.exact is None


def test_before_convergence_it_disagrees_and_the_inner_gradient_says_so():
    problem = regression(steps=5)
    true = hypergradient(problem, hypers("weight"), "unroll", precision="float64")
    found = hypergradient(problem, hypers("weight"), Implicit(), precision="float64")
    assert distance(found.grads, true.grads) > 1e-2
    assert found.inner_grad_norm.item() > 1e-3


def test_float32_is_as_good_as_its_digits():
    true = hypergradient(CONVERGED, hypers("weight"), "unroll", precision="float64")
    found = hypergradient(CONVERGED, hypers("weight"), Implicit(), precision="float32")
    assert distance(found.grads, true.grads) < 1e-4


def betty(r_new, r, p):
    return r_new + implicit.ratio(implicit.dot(r, r), implicit.dot(r, r)) * p


def old_residual(r_new, r, p):
    return r + implicit.ratio(implicit.dot(r_new, r_new), implicit.dot(r, r)) * p


@pytest.mark.parametrize("mutant", [betty, old_residual])
def test_a_residual_taken_one_iteration_too_early_is_caught(mutant, monkeypatch):
    true = hypergradient(CONVERGED, hypers("weight"), "unroll", precision="float64")
    monkeypatch.setattr(implicit, "next_direction", mutant)
    found = hypergradient(CONVERGED, hypers("weight"), Implicit(iterations=40), precision="float64")
    assert not distance(found.grads, true.grads) < 1e-6


@pytest.mark.parametrize("method", [Implicit(iterations=20), Implicit("neumann", iterations=30)])
def test_runs_side_by_side_are_the_lone_runs(method):
    true = hypergradient(CONVERGED, hypers("all"), method, seeds=(0, 1, 2), precision="float64")
    found = hypergradient(
        CONVERGED, hypers("all"), method, seeds=(0, 1, 2), precision="float64", chunk_size=3
    )
    for name, part in found.seed_grads.parts().items():
        torch.testing.assert_close(part, true.seed_grads.parts()[name], rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(found.curves["inner"], true.curves["inner"])


def test_tied_penalties_are_summed():
    tie = {"log_l2": Tie(torch.ones(P, 1))}
    alone = hypergradient(CONVERGED, hypers("one"), Implicit(), precision="float64")
    tied = hypergradient(CONVERGED, hypers("one"), Implicit(), precision="float64", ties=tie)
    torch.testing.assert_close(tied.grads.log_l2, alone.grads.log_l2)


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("log_lr", torch.zeros(120, 2)),
        ("logit_momentum", torch.zeros(120, 2)),
        ("log_init_scale", torch.zeros(2)),
        ("init_bins", torch.zeros(2, 4)),
    ],
)
def test_what_the_minimum_does_not_depend_on_is_refused(name, part):
    with pytest.raises(ValueError, match=f"does not depend on {name}.*tape"):
        hypergradient(CONVERGED, Hypers.of({name: part, "log_l2": torch.zeros(1)}), Implicit())


def test_neumann_asks_for_a_step_where_none_follows_from_the_rates():
    problem = replace(CONVERGED, dynamics=Adam(), steps=1)
    with pytest.raises(ValueError, match="not Adam's; give step="):
        hypergradient(problem, hypers("one"), Implicit("neumann"))
    assert hypergradient(problem, hypers("one"), Implicit("neumann", step=0.1)).value.isfinite()


@pytest.mark.parametrize("wrong", [{"solver": "lu"}, {"iterations": -1}])
def test_options_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ValueError, match=r"Implicit: .*; give"):
        Implicit(**wrong)


def bowl(A: torch.Tensor, steps: int = 1) -> Problem:
    """L = ½ xᵀAx − cᵀx, E = ½ ‖x‖², from the minimum for c = (1, 1, ...) on."""
    n = len(A)
    layout = Layout((Piece("x", (n,)),))

    def inner(x: torch.Tensor, h: Hypers, batch: tuple[()]) -> torch.Tensor:
        return 0.5 * x @ (A.to(x) @ x) - h.other["c"] @ x

    def outer(x: torch.Tensor, h: Hypers) -> torch.Tensor:
        return 0.5 * x.square().sum()

    start = torch.linalg.solve(A, torch.ones(n, dtype=A.dtype))
    return Problem(layout, steps, lambda seed: start, inner, outer, lambda t, seed: (), HeavyBall(lr=0.1))


def spd(n: int, condition: float, seed: int) -> torch.Tensor:
    q, _ = torch.linalg.qr(
        torch.randn(n, n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    )
    return q @ torch.diag(torch.logspace(0, -math.log10(condition), n, dtype=torch.float64)) @ q.T


def test_a_quadratic_in_closed_form():
    """x* = A⁻¹c, so d(½‖x*‖²)/dc = A⁻¹x*; damped, (A + δI)⁻¹x*."""
    A, ones = spd(5, 30, 0), torch.ones(5, dtype=torch.float64)
    x = torch.linalg.solve(A, ones)
    h = Hypers(other={"c": ones})
    found = hypergradient(bowl(A), h, Implicit(iterations=5), precision="float64")
    torch.testing.assert_close(found.grads.other["c"], torch.linalg.solve(A, x))
    damped = hypergradient(bowl(A), h, Implicit(iterations=5, damping=0.5), precision="float64")
    torch.testing.assert_close(
        damped.grads.other["c"], torch.linalg.solve(A + 0.5 * torch.eye(5, dtype=torch.float64), x)
    )


def test_no_iterations_of_neumann_are_t1_t2():
    A, ones = spd(4, 10, 1), torch.ones(4, dtype=torch.float64)
    x = torch.linalg.solve(A, ones)
    method = Implicit("neumann", iterations=0, step=0.25)
    found = hypergradient(bowl(A), Hypers(other={"c": ones}), method, precision="float64")
    torch.testing.assert_close(found.grads.other["c"], 0.25 * x)


def test_what_is_left_of_the_equation_is_told():
    A = spd(6, 100, 2)
    inner = Inner(bowl(A), (0,), None, torch.float64, torch.device("cpu"))
    parts = {"other.c": torch.ones(6, dtype=torch.float64)}
    expanded = inner.expand(parts)
    hessian, _ = implicit.second_derivatives(inner, expanded.x0, expanded.theta)
    for method in (Implicit(iterations=3), Implicit("neumann", iterations=3), Implicit(iterations=7)):
        q, left = method.solve(inner, expanded, hessian, parts["other.c"])
        assert left.item() == pytest.approx(float((parts["other.c"] - A @ q).norm() / 6**0.5), abs=1e-12)
    assert left.item() < 1e-10


def test_a_loss_without_curvature_is_refused():
    for flat in (lambda x, h, batch: (x + h.other["c"]).sum(), lambda x, h, batch: (h.other["c"] * x).sum()):
        problem = replace(bowl(torch.eye(2)), inner_loss=flat)
        for seeds in ((0,), (0, 1)):
            with pytest.raises(ValueError, match="linear in the weights"):
                hypergradient(
                    problem, Hypers(other={"c": torch.ones(2)}), Implicit(), seeds=seeds, chunk_size=2
                )


@settings(max_examples=30)
@given(n=st.integers(1, 12), digits=st.floats(0, 3, allow_subnormal=False), seed=st.integers(0, 10**6))
def test_conjugate_gradients_solve_in_n_iterations_and_stay_solved(n, digits, seed):
    A, b = spd(n, 10**digits, seed), torch.linspace(-1, 2, n, dtype=torch.float64) + 0.3
    x = torch.linalg.solve(A, b)
    for iterations in (n + 3, 8 * n + 50):
        q = conjugate_gradient(lambda u: u @ A, b, iterations)
        torch.testing.assert_close(q, x, rtol=1e-6, atol=1e-6)


def test_systems_side_by_side_do_not_touch_each_other():
    """A solved one, a zero one and a hard one: none gets the others' scalars, and 0/0 is never met."""
    A = spd(8, 50, 3)
    hard = torch.linspace(-1, 1, 8, dtype=torch.float64)
    eigenvector = torch.linalg.eigh(A).eigenvectors[:, 0]  # solved after one iteration
    b = torch.stack([hard, torch.zeros_like(hard), eigenvector, 1e-160 * hard])
    q = conjugate_gradient(lambda u: u @ A, b, 300)
    assert q.isfinite().all()
    true = torch.linalg.solve(A, b.T).T
    torch.testing.assert_close(q[:3], true[:3], rtol=1e-9, atol=1e-9)
    alone = conjugate_gradient(lambda u: u @ A, hard, 5)
    torch.testing.assert_close(conjugate_gradient(lambda u: u @ A, b, 5)[0], alone, rtol=1e-12, atol=0)


def test_neumann_converges_below_two_and_not_beyond():
    A = torch.diag(torch.tensor([1.0, 0.5], dtype=torch.float64))
    b = torch.ones(2, dtype=torch.float64)
    near = neumann(lambda u: u @ A, b, 1.9, 400)
    torch.testing.assert_close(near, torch.tensor([1.0, 2.0], dtype=torch.float64))
    assert neumann(lambda u: u @ A, b, 2.1, 400).norm() > 1e10
    per_weight = neumann(lambda u: u @ A, b, torch.tensor([1.0, 2.0], dtype=torch.float64), 0)
    torch.testing.assert_close(per_weight, torch.tensor([1.0, 2.0], dtype=torch.float64))
