"""Evolution strategies estimate the slope they say they do: without bias, with the error they tell, and as central
differences where they are asked to; and they stay sober where gradients explode."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from meta import Hypers, Problem, hypergradient
from meta.dynamics import HeavyBall
from meta.inner.steps import Inner
from meta.inner.ties import constant
from meta.methods.evolution import Estimate, Evolution
from meta.problems.nets import Examples, network
from meta.problems.quadratic import rotated

T = 8
BOWL = rotated(torch.tensor([0.2, 1.0, 3.0]), T, seed=3)  # its outer loss is quadratic in the target
TARGET = Hypers(other={"target": torch.tensor([0.3, -1.0, 0.7], dtype=torch.float64)})


def normal(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def net(steps: int, hidden: tuple[int, ...], n: int, inputs: int = 3, **rates: float) -> Problem:
    labels = torch.arange(n) % 3
    train, valid = Examples(normal(1, n, inputs), labels), Examples(normal(2, 9, inputs), torch.arange(9) % 3)
    dynamics = HeavyBall(denominator=None, **rates)
    return network(train, valid, hidden, steps=steps, batch=n, classes=3, dynamics=dynamics)


def alone(problem: Problem, seed: int = 0) -> Inner:
    return Inner(problem, (seed,), None, torch.float64, torch.device("cpu"))


def estimate(method: Evolution, seed: int = 0) -> Estimate:
    return method.estimate(alone(BOWL.problem(), seed), TARGET.parts())


def off(found: Estimate, truth: Hypers) -> dict[str, torch.Tensor]:
    """In standard errors."""
    true = truth.parts()
    return {name: (part - true[name]) / found.standard_error[name] for name, part in found.parts.items()}


# ── what is estimated ──


@pytest.mark.parametrize("persistent", [None, 1, 3])
def test_it_has_no_bias_on_a_quadratic_at_any_scale(persistent):
    """Smoothing adds a constant to a quadratic: its slope is the true one, though σ is large."""
    _, truth = BOWL.exact(TARGET)
    found = estimate(Evolution(sigma=0.5, pairs=400, persistent=persistent, seed=1))
    assert off(found, truth)["other.target"].abs().max() < 4
    error = found.standard_error["other.target"]
    assert (error < 0.35 * truth.parts()["other.target"].norm()).all()  # so that the test says something


@pytest.mark.parametrize("persistent", [None, 2])
def test_the_standard_error_is_that_of_many_repetitions(persistent):
    """Mean z² = 1. With 400 pairs, as a term ε(ε·g) is far from normal: with 40, one entry's z² is 1.4 on average."""
    _, truth = BOWL.exact(TARGET)
    z = [
        off(estimate(Evolution(pairs=400, persistent=persistent, pairs_at_once=400, seed=seed)), truth)[
            "other.target"
        ]
        for seed in range(40)
    ]
    assert 0.5 < torch.cat(z).square().mean() < 1.6  # its deviation is 0.13, or 0.22 if the entries were one


def test_persistent_agrees_with_the_exact_gradient_where_it_is_benign():
    """By a rate read in every window, first weights read before the first, and a penalty: small σ, small bias."""
    problem, ties = net(T, (4,), 9), {"log_lr": constant(T)}
    h = Hypers(
        log_lr=torch.full((1, 4), -1.0, dtype=torch.float64),
        log_init_scale=torch.full((4,), -0.5, dtype=torch.float64),
        log_l2=torch.full((1,), -3.0, dtype=torch.float64),
    )
    true = hypergradient(problem, h, "tape", precision="float64", ties=ties).grads
    inner = replace(alone(problem), ties=ties)
    for persistent in (None, 3, 1):
        method = Evolution(sigma=0.01, pairs=150, persistent=persistent, seed=2)
        found = method.estimate(inner, h.parts())
        for name, z in off(found, true).items():
            assert z.abs().max() < 4, (name, persistent)


def test_one_window_is_the_plain_estimate():
    plain = estimate(Evolution(pairs=5))
    for persistent in (T, T + 3):
        window = estimate(Evolution(pairs=5, persistent=persistent))
        assert torch.equal(window.parts["other.target"], plain.parts["other.target"])
    shorter = estimate(Evolution(pairs=5, persistent=T - 1))
    assert not torch.equal(shorter.parts["other.target"], plain.parts["other.target"])


# ── central differences ──


def test_orthogonal_directions_are_central_differences():
    """The error falls as σ² for every part of a gradient by everything."""
    steps, n = 6, 6
    problem = net(steps, (2,), n, inputs=2, lr=0.3)
    G = problem.layout.G
    h = Hypers(
        log_lr=-1 + 0.1 * normal(3, steps, G),
        logit_momentum=0.5 + 0.1 * normal(4, steps, G),
        log_init_scale=-0.3 + 0.1 * normal(5, G),
        log_l2=-2 + 0.1 * normal(6, problem.layout.P),
        data=normal(7, n, 2),
        labels=normal(8, n, 3),
    )
    true = hypergradient(problem, h, "tape", precision="float64").grads.parts()
    errors = {}
    sigmas = (4e-3, 1e-3)  # a step is σ√d, ten times as long
    for sigma in sigmas:
        method = Evolution(sigma=sigma, pairs=None, orthogonal=True, pairs_at_once=60)
        found = hypergradient(problem, h, method, precision="float64").grads.parts()
        errors[sigma] = {name: (part - true[name]).norm() for name, part in found.items()}
    for name, wide in errors[sigmas[0]].items():
        slope = math.log(wide / errors[sigmas[1]][name]) / math.log(sigmas[0] / sigmas[1])
        assert slope == pytest.approx(2, abs=0.2), name
        assert errors[sigmas[1]][name] < 1e-2 * true[name].norm(), name


def test_each_part_has_its_own_scale_and_a_quadratic_no_error():
    h = Hypers(log_l2=torch.tensor([-1.0], dtype=torch.float64), other=TARGET.other)
    value, truth = BOWL.exact(h, seed=4)
    method = Evolution(sigma={"log_l2": 1e-5, "other.target": 2e-5}, pairs=None, orthogonal=True)
    found = hypergradient(BOWL.problem(), h, method, precision="float64", seeds=(4,))
    assert found.value.item() == pytest.approx(value)
    for name, part in found.grads.parts().items():
        torch.testing.assert_close(part, truth.parts()[name], rtol=1e-6, atol=1e-6)
    wide = estimate(Evolution(sigma=3.0, pairs=None, orthogonal=True))
    torch.testing.assert_close(wide.parts["other.target"], BOWL.exact(TARGET)[1].other["target"])
    assert wide.standard_error["other.target"].isnan().all() and wide.pairs == 3


@settings(max_examples=20)
@given(d=st.integers(1, 12), asked=st.integers(1, 15), seed=st.integers(-5, 2**40))
def test_directions_stand_at_right_angles(d, asked, seed):
    method = Evolution(pairs=asked, orthogonal=True, seed=seed)
    parts = {"data": torch.zeros(d, dtype=torch.float64)}
    n = method._pairs(d)
    eps = method._noise(alone(BOWL.problem()), parts)(range(n), 0)["data"]
    assert n == min(asked, d)
    torch.testing.assert_close(eps @ eps.T, d * torch.eye(n, dtype=torch.float64), rtol=1e-9, atol=1e-9)


# ── noise by counter ──


def test_the_noise_hangs_on_nothing_but_its_counters():
    def draw(seed: int, training: int, pairs: range, window: int) -> torch.Tensor:
        return Evolution(seed=seed)._noise(alone(BOWL.problem(), training), TARGET.parts())(pairs, window)[
            "other.target"
        ]

    first = draw(0, 0, range(6), 0)
    assert torch.equal(draw(0, 0, range(2, 5), 0), first[2:5])
    others = [draw(1, 0, range(6), 0), draw(0, 1, range(6), 0), draw(0, 0, range(6), 1)]
    everything = torch.cat([first, *others])
    assert len(everything.unique(dim=0)) == 24


def test_chunks_and_repetitions_give_the_same_gradient():
    once = estimate(Evolution(pairs=10, persistent=3))
    again = estimate(Evolution(pairs=10, persistent=3))
    assert torch.equal(once.parts["other.target"], again.parts["other.target"])
    for at_once in (1, 3, 10):
        chunked = estimate(Evolution(pairs=10, persistent=3, pairs_at_once=at_once))
        torch.testing.assert_close(chunked.parts["other.target"], once.parts["other.target"])
        torch.testing.assert_close(
            chunked.standard_error["other.target"], once.standard_error["other.target"]
        )


def test_runs_side_by_side_are_the_lone_runs():
    many = Hypers(other={"target": torch.stack([TARGET.other["target"], normal(9, 3)])})
    method = Evolution(pairs=6)
    lone = hypergradient(BOWL.problem(), many, method, seeds=(0, 5), precision="float64", many=True)
    rows = hypergradient(
        BOWL.problem(), many, method, seeds=(0, 5), precision="float64", many=True, chunk_size=3
    )
    torch.testing.assert_close(rows.seed_grads.other["target"], lone.seed_grads.other["target"])
    torch.testing.assert_close(rows.curves["inner"], lone.curves["inner"])
    torch.testing.assert_close(rows.weights, lone.weights)
    assert rows.value[0].item() == pytest.approx(lone.value[0].item())
    single = hypergradient(BOWL.problem(), TARGET, method, seeds=(5,), precision="float64")
    torch.testing.assert_close(single.grads.other["target"], lone.seed_grads.other["target"][0, 1])


def test_float32_goes_through_the_door_as_well():
    found = hypergradient(BOWL.problem(), TARGET, Evolution(sigma=0.5, pairs=None, orthogonal=True))
    assert found.grads.other["target"].dtype == torch.float32 and found.method == "evolution"
    truth = BOWL.exact(TARGET)[1].other["target"].float()
    torch.testing.assert_close(found.grads.other["target"], truth, rtol=1e-3, atol=1e-3)


# ── where trainings end badly, and where gradients explode ──


def brittle(edge: float) -> Problem:
    problem = BOWL.problem()

    def outer(x: torch.Tensor, h: Hypers) -> torch.Tensor:
        return torch.where(h.other["target"][0] > edge, torch.inf, problem.outer_loss(x, h))

    return replace(problem, outer_loss=outer)


@pytest.mark.parametrize("persistent", [None, 2])
def test_a_pair_that_is_not_finite_is_left_out_and_told(persistent):
    method = Evolution(sigma=0.1, pairs=30, persistent=persistent, seed=3)
    with pytest.warns(UserWarning, match="of 30 pairs left out"):
        found = method.estimate(alone(brittle(0.45)), TARGET.parts())  # 1.5 deviations away
    assert 5 < found.pairs < 30  # 26 are expected, and 0.866⁴ · 30 = 17 where four windows must all survive
    assert found.parts["other.target"].isfinite().all()
    assert found.standard_error["other.target"].isfinite().all()


def test_when_none_is_left_the_gradient_is_not_a_number():
    for orthogonal in (False, True):
        method = Evolution(pairs=3, orthogonal=orthogonal)
        with pytest.warns(UserWarning, match="3 of 3 pairs"):
            found = hypergradient(brittle(-100.0), TARGET, method, precision="float64")
        assert found.grads.other["target"].isnan().all()


def test_a_basis_that_lost_a_direction_keeps_the_others():
    class Axes(Evolution):
        def _noise(self, inner, parts):
            axes = math.sqrt(3) * torch.eye(3, dtype=torch.float64)
            return lambda pairs, window: {"other.target": axes[pairs.start : pairs.stop]}

    _, truth = BOWL.exact(TARGET)
    with pytest.warns(UserWarning, match="1 of 3 pairs"):
        method = Axes(pairs=None, orthogonal=True)
        found = method.estimate(alone(brittle(0.35)), TARGET.parts()).parts["other.target"]
    torch.testing.assert_close(found[1:], truth.other["target"][1:])
    assert found[0] == 0


def test_it_stays_sober_where_the_gradient_explodes():
    """Beyond the edge of chaos the exact slope is that of one wrinkle, the estimate that of the landscape."""
    steps, sigma = 40, 0.2
    problem, ties = net(steps, (20, 20), 30, inputs=6, momentum=0.9), {"log_lr": constant(steps)}
    problem = replace(problem, init=lambda seed: 0.5 * normal(seed, problem.layout.P))
    log_lr = torch.full((1, 6), 3.5, dtype=torch.float64)
    h = Hypers(log_lr=log_lr)
    true = hypergradient(problem, h, "tape", precision="float64", ties=ties)
    assert true.growth is not None and true.growth.item() > 5
    found = hypergradient(problem, h, Evolution(sigma, pairs=12), precision="float64", ties=ties)
    there = Hypers(log_lr=torch.stack([log_lr + sigma * normal(s, 1, 6) for s in range(12)]))
    values = hypergradient(problem, there, Evolution(pairs=1), precision="float64", ties=ties, many=True)
    slopes = (values.value - true.value).abs() / sigma
    assert found.grads.norm() < 3 * slopes.max()
    assert true.grads.norm() > 1e3 * found.grads.norm()


# ── options ──


@pytest.mark.parametrize(
    "wrong",
    [
        {"sigma": 0.0},
        {"sigma": {"data": -1.0}},
        {"sigma": math.nan},
        {"pairs": 0},
        {"persistent": 0},
        {"pairs_at_once": 0},
        {"orthogonal": True, "persistent": 3},
    ],
)
def test_options_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ValueError, match=r"Evolution: .*; give"):
        Evolution(**wrong)


def test_a_part_without_a_scale_is_refused():
    with pytest.raises(ValueError, match=r"no entry for other\.target; give one"):
        hypergradient(BOWL.problem(), TARGET, Evolution(sigma={"data": 0.1}))
