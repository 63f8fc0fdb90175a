"""Three ways through the same training give the same gradient to the last digits, and remember what they promise."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.trainings import DYNAMICS, GRANULARITIES, NETS, Counted, apart, every_part, several, training

from meta import Hypers, Problem, Result, hypergradient
from meta.dynamics import Adam, HeavyBall
from meta.hypers import Parts
from meta.inner.steps import Inner
from meta.methods.checkpoint import Checkpoint
from meta.methods.method import Method
from meta.methods.replay import Replay
from meta.methods.tape import Tape
from meta.methods.truncated import Truncated
from meta.methods.unroll import Unroll

EXACT = 1e-12
WALKS = [Unroll(), Tape(), Checkpoint(), Replay(), Truncated(3)]


def gradient(problem: Problem, hypers: Hypers, method: str | Method, **options) -> Result:
    return hypergradient(problem, hypers, method, **({"precision": "float64"} | options))


# ── tape = checkpoint = unroll ──


@pytest.mark.parametrize("granularity", GRANULARITIES)
@pytest.mark.parametrize("dynamics", DYNAMICS)
@pytest.mark.parametrize("net", NETS)
def test_the_way_back_is_that_of_automatic_differentiation(net, dynamics, granularity):
    problem = training(net, dynamics)
    hypers = every_part(problem, granularity)
    truth = gradient(problem, hypers, "unroll")
    assert all(
        part.norm() > 1e-6 for part in truth.grads.parts().values()
    )  # each kind has something to compare
    for method in ("tape", "checkpoint", "replay"):
        found = gradient(problem, hypers, method)
        assert apart(found.grads, truth.grads) < EXACT
        torch.testing.assert_close(found.value, truth.value, rtol=EXACT, atol=0)
        torch.testing.assert_close(found.weights, truth.weights, rtol=EXACT, atol=EXACT)
        torch.testing.assert_close(found.curves["inner"], truth.curves["inner"], rtol=EXACT, atol=0)
        assert found.growth is not None and truth.growth is not None
        torch.testing.assert_close(found.growth, truth.growth, rtol=1e-10, atol=1e-10)
        assert found.method == method


@settings(max_examples=12)
@given(steps=st.integers(1, 14), segment=st.none() | st.integers(1, 17))
def test_any_segments_give_the_gradient_of_the_tape(steps, segment):
    problem = training("logistic", steps=steps)
    hypers = every_part(problem, "one")
    tape = gradient(problem, hypers, "tape")
    assert apart(gradient(problem, hypers, Checkpoint(segment)).grads, tape.grads) < EXACT


@settings(max_examples=12)
@given(steps=st.integers(1, 20), branches=st.integers(2, 7))
def test_any_tree_gives_the_gradient_of_the_tape(steps, branches):
    problem = training("logistic", steps=steps)
    hypers = every_part(problem, "one")
    tape = gradient(problem, hypers, "tape")
    replayed = gradient(problem, hypers, Replay(branches))
    assert apart(replayed.grads, tape.grads) < EXACT
    torch.testing.assert_close(replayed.curves["inner"], tape.curves["inner"], rtol=EXACT, atol=0)


@pytest.mark.parametrize("branches", [2, 4, 10])
def test_a_tree_trains_once_on_each_of_its_levels(branches):
    law = Counted(lr=0.3)
    gradient(training("logistic", law, 100), Hypers(log_l2=torch.zeros(1)), Replay(branches))
    levels = {2: 7, 4: 4, 10: 2}[branches]  # ⌈log_k 100⌉
    assert law.steps[0] <= 100 * levels + 1  # one is tried by `check_functions`


@pytest.mark.parametrize("method", ["tape", "checkpoint", "replay"])
def test_in_single_precision_they_agree_to_single_precision(method):
    problem = training()
    hypers = every_part(problem)
    truth, single = (
        gradient(problem, hypers, "unroll"),
        gradient(problem, hypers, method, precision="float32"),
    )
    assert single.value.dtype == torch.float32
    assert apart(single.grads, truth.grads) < 2e-5


@pytest.mark.parametrize("method", ["tape", "checkpoint", "replay", "forward"])
def test_two_parts_may_share_one_gradient_of_the_outer_loss(method):
    def inner(x, h, batch):
        return plain.inner_loss(x, h, batch) + h.other["a"] * x.sum() + 3 * h.other["b"] * x.square().sum()

    plain = training("logistic")
    shared = replace(
        plain,
        inner_loss=inner,
        outer_loss=lambda x, h: plain.outer_loss(x, h) + (h.other["a"] + h.other["b"]) ** 2,
    )
    hypers = Hypers(other={name: torch.tensor(0.1, dtype=torch.float64) for name in "ab"})
    assert apart(gradient(shared, hypers, method).grads, gradient(shared, hypers, "unroll").grads) < EXACT


@pytest.mark.gpu
@pytest.mark.parametrize("method", [Checkpoint(), Truncated(9), "forward"])
def test_on_a_gpu_as_on_the_processor(method):
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    problem = training(device="cuda")
    hypers = every_part(problem, "unit")
    moved = Hypers.of({name: part.cuda() for name, part in hypers.parts().items()})
    seeds = (0, 1, 2)
    found = gradient(problem, moved, method, seeds=seeds).grads
    there = Hypers.of({name: part.cpu() for name, part in found.parts().items()})
    assert apart(there, gradient(training(), hypers, "tape", seeds=seeds).grads) < 1e-10


# ── side by side ──


@pytest.mark.parametrize("chunk", [1, 3, 4, 6])  # 4: the last chunk is smaller
@pytest.mark.parametrize("method", WALKS, ids=lambda method: method.name)
def test_runs_side_by_side_are_the_runs_one_by_one(method, chunk):
    problem = training(dynamics="adam" if chunk == 3 else "heavy ball")
    both, seeds = several(problem, 2, "unit"), (5, 0, 7)
    together = gradient(problem, both, method, seeds=seeds, many=True, chunk_size=chunk)
    for k in range(2):
        alone = Hypers.of({name: part[k] for name, part in both.parts().items()})
        one = gradient(problem, alone, method, seeds=seeds, chunk_size=1)
        here = together.grads.parts()
        for name, part in one.grads.parts().items():
            torch.testing.assert_close(here[name][k], part, rtol=1e-10, atol=1e-12)
        for name in ("seed_values", "weights", "growth", "inner_grad_norm"):
            torch.testing.assert_close(getattr(together, name)[k], getattr(one, name), rtol=1e-9, atol=1e-10)
        torch.testing.assert_close(together.curves["inner"][k], one.curves["inner"], rtol=1e-10, atol=0)


def test_one_seed_serves_all_settings():
    problem = training()
    together = gradient(problem, several(problem, 3), "checkpoint", seeds=(4,), many=True, chunk_size=3)
    for k in range(3):
        one = gradient(problem, every_part(problem, seed=k), "tape", seeds=(4,))
        here = Hypers.of({name: part[k] for name, part in together.grads.parts().items()})
        assert apart(here, one.grads) < 1e-10


# ── what is remembered ──


def most_alive(method: Method, steps: int) -> int:
    law = Counted(lr=0.3)
    gradient(training("logistic", law, steps), Hypers(log_l2=torch.zeros(1)), method)
    return law.most[0]


def test_a_checkpoint_remembers_twice_the_root_of_the_steps_and_a_tape_all():
    now = 2  # the state that is made and the one it is made from
    assert 100 <= most_alive(Tape(), 100) <= 100 + now
    assert most_alive(Checkpoint(), 100) <= 2 * 10 + now
    assert 25 <= most_alive(Checkpoint(25), 100) <= 4 + 25 + now
    assert 7 <= most_alive(Truncated(7), 100) <= 7 + now
    for k, levels in ((2, 7), (4, 4), (10, 2)):
        assert most_alive(Replay(k), 100) <= (k - 1) * levels + 1 + now


@pytest.mark.parametrize(
    ("method", "words"),
    [
        (Tape(), 2 * 9),
        (Checkpoint(), 2 * 5),
        (Checkpoint(1), 2 * 9),
        (Checkpoint(9), 2 * 9),
        (Replay(2), 2 * 4),  # of 9 = 5 + 4 the first, of 4 = 2 + 2 the first, of 2 both
        (Replay(3), 2 * 5),
        (Truncated(4), 2 * 4),
    ],
)
def test_the_estimate_counts_the_states_that_are_kept(method, words):
    problem = training(steps=9)
    lone = Inner(problem, (0,), None, torch.float32, torch.device("cpu"))
    assert method.bytes(lone, {}) == 4 * words * problem.layout.P
    kept = gradient(problem, Hypers(log_l2=torch.zeros(1)), method, precision="float32").bits
    assert kept == 32 * words / 9


def test_a_longer_chunk_takes_more_runs_at_a_time():
    seen = []

    class Watched(Tape):
        def __call__(self, inner, parts):
            seen.append((inner.seeds, {len(part) if inner.runs else 1 for part in parts.values()}))
            return super().__call__(inner, parts)

    problem = training()
    for chunk in (1, 4, 6, 100):
        seen.clear()
        gradient(problem, several(problem, 2), Watched(), seeds=(0, 1, 2), many=True, chunk_size=chunk)
        assert [len(seeds) for seeds, _ in seen] == {1: [1] * 6, 4: [4, 2]}.get(chunk, [6])
        assert sum((seeds for seeds, _ in seen), ()) == (0, 1, 2) * 2
        assert all(rows == {len(seeds)} for seeds, rows in seen)


# ── truncation ──


@pytest.mark.parametrize(
    "dynamics", [HeavyBall(0.3, 0.8, denominator=None), Adam(0.05, 0.8, denominator=None)]
)
@pytest.mark.parametrize("last", [1, 4, 9])
def test_truncation_is_the_slope_with_the_earlier_state_held(dynamics, last):
    problem = training(dynamics=dynamics)
    hypers = every_part(problem)
    found = gradient(problem, hypers, Truncated(last)).grads.parts()
    inner = Inner(problem, (0,), None, torch.float64, torch.device("cpu"))
    middle = problem.steps - last
    with torch.no_grad():
        expanded = inner.expand(hypers.parts())
        held = inner.start(expanded)
        for t in range(middle):
            held, _ = inner.advance(t, held, expanded)

        def outer(parts: Parts) -> torch.Tensor:
            expanded = inner.expand(parts)
            state = held if middle else inner.start(expanded)
            for t in range(middle, problem.steps):
                state, _ = inner.advance(t, state, expanded)
            return inner.outer(state[0], expanded.theta)

        draws = torch.Generator().manual_seed(1)
        for name, part in hypers.parts().items():
            v = torch.randn(part.shape, generator=draws, dtype=torch.float64)
            up, down = (outer(hypers.parts() | {name: part + h * v}) for h in (1e-5, -1e-5))
            torch.testing.assert_close((found[name] * v).sum(), (up - down) / 2e-5, rtol=1e-6, atol=1e-9)


def test_the_last_of_all_steps_is_the_whole_tape():
    problem = training()
    hypers = every_part(problem)
    assert apart(gradient(problem, hypers, Truncated(9)).grads, gradient(problem, hypers, "tape").grads) == 0


def test_what_lies_before_the_last_steps_gets_zeros():
    problem = training()
    found = gradient(problem, every_part(problem), Truncated(3)).grads
    for part in (found.log_init_scale, found.init_bins, found.log_lr[:6], found.logit_momentum[:6]):
        assert not part.any()
    for part in (found.log_lr[6:], found.logit_momentum[6:], found.log_l2, found.data):
        assert part.any()


def test_by_default_a_quarter_of_the_steps():
    problem = training()  # of 9 steps
    hypers = Hypers(log_l2=torch.zeros(1))
    by_default, three = (gradient(problem, hypers, method).grads for method in ("truncated", Truncated(3)))
    assert apart(by_default, three) == 0


def test_truncation_says_what_it_cannot_do():
    problem = training()
    with pytest.raises(ValueError, match=r"truncated: last=10, but the training has 9 steps; give 1 to 9"):
        gradient(problem, every_part(problem), Truncated(10))
    only = Hypers(log_init_scale=torch.zeros(problem.layout.G))
    with pytest.raises(
        ValueError, match=r"the last 3 of 9 steps do not reach .* log_init_scale would get zeros"
    ):
        gradient(problem, only, Truncated(3))
    assert gradient(problem, only, Truncated(9)).grads.log_init_scale.any()


@pytest.mark.parametrize("made", [lambda: Truncated(0), lambda: Checkpoint(0), lambda: Checkpoint(-3)])
def test_options_are_checked_where_they_are_given(made):
    with pytest.raises(ValueError, match="give 1 or more, or None"):
        made()
