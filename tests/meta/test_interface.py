"""The one door: what it answers, in which shapes; what ties do; and the sentence for each thing that does not fit."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.trainings import apart, every_part, several, training

from meta import Hypers, hypergradient
from meta.dynamics import Adam
from meta.inner.ties import Tie, constant, linear, per_epoch, piecewise
from meta.methods.evolution import Evolution
from meta.methods.truncated import Truncated

PROBLEM = training()
T, G, P = PROBLEM.steps, PROBLEM.layout.G, PROBLEM.layout.P
ONE = Hypers(log_l2=torch.full((1,), -3.0))


# ── what it answers ──


def test_one_setting_under_several_seeds():
    hypers = every_part(PROBLEM)
    result = hypergradient(PROBLEM, hypers, "tape", seeds=(3, 1))
    assert result.value.shape == ()
    assert result.seed_values.shape == (2,)
    assert result.weights.shape == (2, P)
    assert result.curves["inner"].shape == (2, T)
    assert result.inner_grad_norm.shape == (2,)
    assert result.growth is not None
    assert result.growth.shape == (2,)
    for name, part in hypers.parts().items():
        assert result.grads.parts()[name].shape == part.shape
        assert result.seed_grads.parts()[name].shape == (2, *part.shape)
    assert result.ms > 0
    assert result.exact is None
    assert result.bits == 64


def test_many_settings_have_an_axis_in_front():
    hypers = several(PROBLEM, 3)
    result = hypergradient(PROBLEM, hypers, "tape", seeds=(3, 1), many=True)
    assert result.value.shape == (3,)
    assert result.seed_values.shape == (3, 2)
    assert result.weights.shape == (3, 2, P)
    assert result.curves["inner"].shape == (3, 2, T)
    assert result.growth is not None
    assert result.growth.shape == (3, 2)
    for name, part in hypers.parts().items():
        assert result.grads.parts()[name].shape == part.shape
        assert result.seed_grads.parts()[name].shape == (3, 2, *part.shape[1:])
    assert all(
        part.shape == hypers.parts()[name].shape for name, part in result.standard_error().parts().items()
    )


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_everything_has_the_precision_asked_for(precision):
    result = hypergradient(PROBLEM, every_part(PROBLEM), "tape", precision=precision)
    dtype = getattr(torch, precision)
    tensors = [result.value, result.weights, result.curves["inner"], *result.grads.parts().values()]
    assert {tensor.dtype for tensor in tensors} == {dtype}
    assert not any(tensor.requires_grad for tensor in tensors)


def test_what_is_given_is_left_as_it_was():
    hypers = every_part(PROBLEM)
    before = {name: part.clone() for name, part in hypers.parts().items()}
    for method in ("unroll", "tape", "checkpoint", "truncated"):
        hypergradient(PROBLEM, hypers, method, precision="float64")
    for name, part in hypers.parts().items():
        assert torch.equal(part, before[name])
        assert not part.requires_grad


def test_value_and_gradient_are_means_over_the_seeds_and_the_error_is_that_of_a_mean():
    seeds = (0, 1, 2, 5)
    each = [hypergradient(PROBLEM, ONE, "tape", seeds=(seed,), precision="float64") for seed in seeds]
    together = hypergradient(PROBLEM, ONE, "tape", seeds=seeds, precision="float64", chunk_size=3)
    values = torch.stack([one.value for one in each])
    grads = torch.stack([one.grads.log_l2 for one in each])
    torch.testing.assert_close(together.seed_values, values, rtol=1e-12, atol=0)
    torch.testing.assert_close(together.value, values.mean(), rtol=1e-12, atol=0)
    torch.testing.assert_close(together.grads.log_l2, grads.mean(0), rtol=1e-10, atol=0)
    error = ((grads - grads.mean(0)).square().sum(0) / (4 - 1)).sqrt() / 4**0.5
    torch.testing.assert_close(together.standard_error().log_l2, error, rtol=1e-8, atol=0)
    assert each[0].standard_error().log_l2.isnan().all()  # one seed has no spread


def test_agreement_is_the_mean_cosine_between_seeds():
    hypers = Hypers(log_l2=torch.full((P,), -3.0), data=every_part(PROBLEM).data)
    result = hypergradient(PROBLEM, hypers, "tape", seeds=(0, 1, 2), precision="float64")
    flat = torch.cat([part.flatten(1) for part in result.seed_grads.parts().values()], 1)
    pairs = [torch.cosine_similarity(flat[i], flat[j], dim=0) for i, j in ((0, 1), (0, 2), (1, 2))]
    torch.testing.assert_close(result.agreement(), torch.stack(pairs).mean(), rtol=1e-10, atol=1e-12)
    assert hypergradient(PROBLEM, hypers, "tape", seeds=(4, 4)).agreement() == pytest.approx(1)
    assert hypergradient(PROBLEM, hypers, "tape").agreement().isnan()  # one seed agrees with nobody


def test_the_gradient_at_the_end_is_that_of_the_next_batch():
    result = hypergradient(PROBLEM, ONE, "tape", precision="float64")
    x = result.weights[0].requires_grad_()
    rows, images, labels = PROBLEM.batch(T, 0)
    loss = (
        PROBLEM.inner_loss(x, Hypers(), (rows, images, labels))
        + 0.5 * ONE.log_l2.double().exp() * x.square().sum()
    )
    (g,) = torch.autograd.grad(loss, x)
    torch.testing.assert_close(result.inner_grad_norm[0], g.norm(), rtol=1e-12, atol=0)


# ── ties ──

TIES = {
    "constant": constant(T),
    "piecewise": piecewise(T, 3),
    "per epoch": per_epoch(T, 2),
    "linear": linear(T, 4),
}


@pytest.mark.parametrize("many", [False, True])
@pytest.mark.parametrize("name", TIES)
def test_a_tied_part_gets_the_tied_sum_of_the_gradient(name, many):
    """With part = M raw, dE/draw = Mᵀ dE/dpart."""
    tie, draws = TIES[name], torch.Generator().manual_seed(0)
    rows = tie.matrix.shape[1]
    raw = {
        "log_lr": 0.1 * torch.randn(2, rows, G, generator=draws, dtype=torch.float64) - 1,
        "logit_momentum": 0.1 * torch.randn(2, rows, G, generator=draws, dtype=torch.float64) + 1,
    }
    whole = {part: torch.einsum("nk,rkg->rng", tie.matrix, some) for part, some in raw.items()}
    if not many:
        raw, whole = ({part: some[0] for part, some in each.items()} for each in (raw, whole))
    options = {"precision": "float64", "many": many, "seeds": (0, 1)}
    tied = hypergradient(PROBLEM, Hypers.of(raw), "tape", ties=dict.fromkeys(raw, tie), **options)
    free = hypergradient(PROBLEM, Hypers.of(whole), "tape", **options)
    torch.testing.assert_close(tied.value, free.value, rtol=1e-12, atol=0)
    summed = {part: torch.einsum("nk,...ng->...kg", tie.matrix, g) for part, g in free.grads.parts().items()}
    assert apart(tied.grads, Hypers.of(summed)) < 1e-12


@settings(max_examples=6)
@given(columns=st.integers(1, 5), seed=st.integers(0, 99))
def test_any_linear_map_ties_any_part(columns, seed):
    draws = torch.Generator().manual_seed(seed)
    matrix = torch.randn(P, columns, generator=draws, dtype=torch.float64)
    raw = 0.1 * torch.randn(columns, generator=draws, dtype=torch.float64)
    options = {"precision": "float64"}
    tied = hypergradient(PROBLEM, Hypers(log_l2=raw), "checkpoint", ties={"log_l2": Tie(matrix)}, **options)
    free = hypergradient(PROBLEM, Hypers(log_l2=matrix @ raw), "unroll", **options)
    assert apart(tied.grads, Hypers(log_l2=matrix.T @ free.grads.log_l2)) < 1e-12


# ── what is given, and not differentiated by ──


@pytest.mark.parametrize("method", ["unroll", "tape", "checkpoint", "replay", "reversible", "forward"])
@pytest.mark.parametrize("seeds", [(3,), (3, 1)])
def test_fixed_parts_shape_the_training_and_nothing_else(method, seeds):
    every = every_part(PROBLEM).parts()
    some = {name: every[name] for name in ("logit_momentum", "other.push")}
    rest = Hypers.of({name: part for name, part in every.items() if name not in some})
    options = {"seeds": seeds, "precision": "float64", "chunk_size": 2}
    whole = hypergradient(PROBLEM, every_part(PROBLEM), "tape", **options)
    found = hypergradient(PROBLEM, Hypers.of(some), method, fixed=rest, **options)
    assert found.grads.parts().keys() == some.keys()
    assert found.value.item() == pytest.approx(whole.value.item(), rel=1e-10)
    wanted = {name: whole.grads.parts()[name] for name in some}
    assert apart(found.grads, Hypers.of(wanted)) < 1e-7


def test_implicit_takes_fixed_what_it_cannot_differentiate_by_and_tells_its_residual():
    every = every_part(PROBLEM)
    found = hypergradient(PROBLEM, ONE, "implicit", fixed=Hypers(log_lr=every.log_lr), seeds=(3, 1))
    assert found.figures["residual"].shape == (2,)


def test_evolution_counts_its_pairs():
    found = hypergradient(PROBLEM, ONE, Evolution(pairs=3), seeds=(3, 1), chunk_size=2)
    assert found.figures["pairs"].tolist() == [3, 3]


# ── what does not fit ──

SCHEDULE = torch.zeros(T, G)

ERRORS = {
    "nothing to differentiate by": (Hypers(), {}, r"hypers: every part is None, .*; give at least one"),
    "no seeds": (ONE, {"seeds": ()}, r"seeds: there are none; give at least one, as seeds=\(0,\)"),
    "precision": (ONE, {"precision": "half"}, r"precision: 'half' is unknown; give one of float32, float64"),
    "method": (
        ONE,
        {"method": "magic"},
        r"method: 'magic' is unknown; give one of auto, unroll, tape, checkpoint, ",
    ),
    "chunk": (ONE, {"chunk_size": 0}, r"chunk_size: is 0; give 1 or more runs side by side, or None"),
    "integers": (
        Hypers(log_l2=torch.zeros(1, dtype=torch.int64)),
        {},
        r"hypers\.log_l2: is torch\.int64; a gradient needs real numbers, give floats",
    ),
    "another device": (
        Hypers(log_l2=torch.zeros(1, device="meta")),
        {},
        r"hypers\.log_l2: lies on meta, the problem on cpu; move one of them",
    ),
    "shape of a schedule": (
        Hypers(log_lr=torch.zeros(T, 1)),
        {},
        rf"hypers\.log_lr: has shape \[{T}, 1\]; this problem needs \[{T}, {G}\]",
    ),
    "one rate per group": (
        Hypers(log_lr=torch.zeros(G)),
        {},
        rf"hypers\.log_lr: has shape \[{G}\]; this problem needs \[{T}, {G}\]: for the same values at every step "
        rf'give \[1, {G}\] and ties={{"log_lr": constant\({T}\)}}',
    ),
    "one rate per step": (
        Hypers(logit_momentum=torch.zeros(T)),
        {},
        rf"hypers\.logit_momentum: has shape \[{T}\]; .*: for one value per step in all groups give "
        rf"logit_momentum\[:, None\]\.expand\({T}, {G}\)",
    ),
    "one rate": (
        Hypers(log_lr=torch.tensor(-1.0)),
        {},
        rf'hypers\.log_lr: has shape \[\]; .*give \[1, {G}\] and ties={{"log_lr": constant\({T}\)}}',
    ),
    "data of another set": (
        Hypers(data=torch.zeros(10, 4)),
        {},
        r"hypers\.data: has shape \[10, 4\]; this problem needs \[24, 4\]",
    ),
    "labels of another set": (
        Hypers(labels=torch.zeros(24, 9)),
        {},
        r"hypers\.labels: has shape \[24, 9\]; this problem needs \[24, 3\]",
    ),
    "fixed data of another set": (
        ONE,
        {"fixed": Hypers(data=torch.zeros(24, 5))},
        r"fixed\.data: has shape \[24, 5\]; this problem needs \[24, 4\]",
    ),
    "a generator without a transform": (
        Hypers(generator=torch.zeros(9)),
        {},
        r"hypers\.generator: neither loss depends on it",
    ),
    "a schedule too short": (
        Hypers(logit_momentum=SCHEDULE[1:]),
        {},
        rf"hypers\.logit_momentum: has shape \[{T - 1}, {G}\]; this problem needs \[{T}, {G}\]",
    ),
    "shape of the scales": (
        Hypers(log_init_scale=torch.zeros(3)),
        {},
        rf"hypers\.log_init_scale: has shape \[3\]; this problem needs \[{G}\]",
    ),
    "a single quantile": (
        Hypers(init_bins=torch.zeros(G, 1)),
        {},
        rf"hypers\.init_bins: has shape \[{G}, 1\]; this problem needs \[{G}, 2\]",
    ),
    "quantiles of nothing": (
        Hypers(init_bins=torch.zeros(())),
        {},
        r"hypers\.init_bins: has shape \[\]; this problem",
    ),
    "granularity": (
        Hypers(log_l2=torch.zeros(7)),
        {},
        r"log_l2 has 7 entries; give one of 1 \(one\), 2 \(layer\), 8 ",
    ),
    "in both": (
        ONE,
        {"fixed": Hypers(log_l2=torch.zeros(1))},
        r"fixed\.log_l2: is in hypers as well; give it in one of them",
    ),
    "shape of what is fixed": (
        ONE,
        {"fixed": Hypers(log_lr=torch.zeros(T, 1))},
        rf"fixed\.log_lr: has shape \[{T}, 1\]; this problem needs \[{T}, {G}\]",
    ),
    "a tie of nothing": (
        ONE,
        {"ties": {"log_lr": constant(T)}},
        r"ties: 'log_lr' is tied, but hypers has no such part; it has log_l2",
    ),
    "rows of a tied part": (
        Hypers(log_lr=torch.zeros(3, G)),
        {"ties": {"log_lr": piecewise(T, 2)}},
        rf"hypers\.log_lr: has shape \[3, {G}\]; its tie takes 2 rows",
    ),
    "length of a tie": (
        Hypers(log_lr=torch.zeros(2, G)),
        {"ties": {"log_lr": piecewise(T + 1, 2)}},
        rf"hypers\.log_lr: has shape \[{T + 1}, {G}\] after its tie; this problem needs \[{T}, {G}\]",
    ),
    "numbers of settings": (
        Hypers(log_lr=SCHEDULE.expand(2, T, G), log_l2=torch.zeros(3, 1)),
        {"many": True},
        r"hypers: with many=True every part starts with the same number of settings; got log_lr 2, log_l2 3",
    ),
    "no axis of settings": (
        Hypers(other={"push": torch.tensor(0.1)}),
        {"many": True},
        r"hypers\.other\.push: has no axes; with many=True the first one counts the settings",
    ),
    "an empty axis of settings": (
        Hypers(log_l2=torch.zeros(0, 1)),
        {"many": True},
        r"hypers: with many=True there are no settings; give at least one",
    ),
    "settings and shape": (
        Hypers(log_lr=SCHEDULE),
        {"many": True},
        rf"hypers\.log_lr: has shape \[{G}\]; this problem needs \[{T}, {G}\]",
    ),
    "what a method can't do": (
        ONE,
        {"method": Truncated(T + 1)},
        rf"truncated: last={T + 1}, but the training has {T}",
    ),
    "memory": (
        ONE,
        {"memory_limit": 0},
        r"method: nothing exact fits in 0 bytes for one run of .* memory_limit=",
    ),
}


@pytest.mark.parametrize("name", ERRORS)
def test_what_does_not_fit_is_said_in_a_sentence(name):
    hypers, options, sentence = ERRORS[name]
    with pytest.raises(ValueError, match="^" + sentence):
        hypergradient(PROBLEM, hypers, **options)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            {"dynamics": "adam"},
            r"dynamics: 'adam' is not an optimiser; give HeavyBall\(\) or Adam\(\) of meta",
        ),
        ({"dynamics": Adam}, r"dynamics: .*Adam.* is not an optimiser; give"),
        ({"steps": 0}, r"steps: is 0; give a whole number from 1"),
        ({"steps": 2.5}, r"steps: is 2\.5; give a whole number from 1"),
        ({"layout": [3]}, r"layout: is a list; give a Layout of Pieces"),
    ],
)
def test_a_problem_says_at_once_what_it_cannot_be_made_of(change, sentence):
    with pytest.raises(ValueError, match="^" + sentence):
        replace(PROBLEM, **change)
