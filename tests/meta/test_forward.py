"""Tangents carried forward meet the adjoints carried back: for every direction v, (forward · v) = (reverse, v)."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.trainings import DYNAMICS, NETS, Counted, apart, every_part, several, training

from meta import Hypers, Problem, Result, hypergradient
from meta.dynamics import exact_fraction
from meta.hypers import Parts
from meta.inner.steps import Inner
from meta.inner.ties import constant, piecewise
from meta.methods.forward import Forward, tangent


def gradient(problem: Problem, hypers: Hypers, method: str | Forward, **options) -> Result:
    return hypergradient(problem, hypers, method, **({"precision": "float64"} | options))


def lone(problem: Problem, dtype: torch.dtype = torch.float64) -> Inner:
    return Inner(problem, (0,), None, dtype, torch.device("cpu"))


def drawn(parts: Parts, seed: int) -> Parts:
    draws = torch.Generator().manual_seed(seed)
    each = {
        name: torch.randn(part.shape, generator=draws, dtype=torch.float64) for name, part in parts.items()
    }
    return {name: v.to(parts[name].dtype) for name, v in each.items()}


@pytest.mark.parametrize("dynamics", DYNAMICS)
@pytest.mark.parametrize("net", NETS)
def test_along_every_part_a_tangent_is_the_gradients_component(net, dynamics):
    problem = training(net, dynamics)
    hypers = every_part(problem)
    found = gradient(problem, hypers, "tape")
    grads, parts = found.grads.parts(), hypers.parts()
    for name, v in drawn(parts, 2).items():
        value, slope = tangent(lone(problem), parts, {name: v})
        assert (slope - (grads[name] * v).sum()).abs() <= 1e-10 * grads[name].norm() * v.norm()
        torch.testing.assert_close(value, found.value, rtol=1e-12, atol=0)


@settings(max_examples=8)
@given(seed=st.integers(0, 999), dtype=st.sampled_from([torch.float32, torch.float64]))
def test_the_dot_product_holds_in_both_precisions(seed, dtype):
    problem = training(steps=5)
    hypers = every_part(problem, seed=seed)
    parts = {name: part.to(dtype) for name, part in hypers.parts().items()}
    grads = gradient(problem, hypers, "tape", precision=str(dtype).removeprefix("torch.")).grads
    v = Hypers.of(drawn(parts, seed + 1))
    _, slope = tangent(lone(problem, dtype), parts, v.parts())
    tolerance = {torch.float32: 1e-5, torch.float64: 1e-10}[dtype]
    assert (slope - grads.dot(v)).abs() <= tolerance * grads.norm() * v.norm()


@pytest.mark.parametrize("at_once", [1, 3, 16, 1000])
def test_all_columns_together_are_the_gradient(at_once):
    problem = training("logistic", steps=6)
    whole = every_part(problem, "unit")
    hypers = Hypers(
        log_lr=whole.log_lr[:1],
        log_init_scale=whole.log_init_scale,
        log_l2=whole.log_l2,
        other=whole.other,
    )  # 2 + 2 + 3 + 2 of them
    ties = {"log_lr": constant(6)}
    back = gradient(problem, hypers, "tape", ties=ties)
    there = gradient(problem, hypers, Forward(at_once), ties=ties)
    assert apart(there.grads, back.grads) < 1e-12
    torch.testing.assert_close(there.weights, back.weights, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(there.curves["inner"], back.curves["inner"], rtol=1e-12, atol=0)
    assert there.growth is None  # there is no way back to grow on


@pytest.mark.parametrize("chunk", [1, 2, 6])
@pytest.mark.parametrize("dynamics", DYNAMICS)
def test_each_run_has_its_own_tangents(dynamics, chunk):
    problem = training("logistic", dynamics, steps=5)
    every = several(problem, 2, "one").parts()
    both = Hypers.of(
        {name: every[name] for name in ("logit_momentum", "log_init_scale", "init_bins", "log_l2")}
    )
    options = {"seeds": (1, 0, 8), "many": True, "chunk_size": chunk}
    back, there = (gradient(problem, both, method, **options) for method in ("tape", "forward"))
    assert apart(there.seed_grads, back.seed_grads) < 1e-12
    torch.testing.assert_close(there.seed_values, back.seed_values, rtol=1e-12, atol=0)


def test_runs_of_one_seed_share_its_examples():
    problem = training(steps=4)
    both = Hypers(log_l2=several(problem, 3, "layer").log_l2)
    options = {"seeds": (4,), "many": True, "chunk_size": 3}
    back, there = (gradient(problem, both, method, **options) for method in ("tape", "forward"))
    assert apart(there.grads, back.grads) < 1e-12


@pytest.mark.parametrize("steps", [10, 60])
def test_nothing_is_kept_however_long_the_training(steps):
    law = Counted(lr=0.3)
    gradient(training("logistic", law, steps), Hypers(log_l2=torch.zeros(1)), "forward")
    assert law.most[0] <= 4  # before and after a step, each with its tangent


def test_tied_hyperparameters_cost_as_many_columns_as_there_are_of_them():
    walked = []

    def watched(t: int, seed: int):
        walked.append(t)
        return plain.batch(t, seed)

    plain = training("logistic", steps=12)
    problem = Problem(
        plain.layout, 12, plain.init, plain.inner_loss, plain.outer_loss, watched, plain.dynamics
    )
    hypers = Hypers(log_lr=every_part(problem).log_lr[:3])  # 3 pieces × 2 groups
    options = {"ties": {"log_lr": piecewise(12, 3)}}
    walked.clear()
    there = gradient(problem, hypers, Forward(4), **options)
    # Twice the first to see that it repeats itself; columns 1–4, then 5–6; and the gradient at the end.
    assert len(walked) == 2 + 2 * 12 + 1
    assert apart(there.grads, gradient(plain, hypers, "tape", **options).grads) < 1e-12


def test_the_rounding_of_momentum_lets_tangents_through():
    beta = torch.tensor([0.9, 0.3], dtype=torch.float64)
    _, slope = torch.func.jvp(exact_fraction, (beta,), (torch.full_like(beta, 2),))
    assert slope.tolist() == [2, 2]


def test_a_part_without_a_direction_stands_still():
    problem = training("logistic", steps=3)
    parts = every_part(problem).parts()
    assert tangent(lone(problem), parts, {})[1] == 0


def test_no_directions_at_once_is_refused_where_it_is_given():
    with pytest.raises(ValueError, match="Forward: 0 directions at once; give 1 or more, or None"):
        Forward(0)
