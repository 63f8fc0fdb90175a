"""Which method `auto` takes as memory gets short, how many runs go side by side, and what it says about it."""

import pytest
import torch
from support.trainings import Counted, apart, every_part, several, training
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from meta import Hypers, Problem, Result, hypergradient
from meta.inner.steps import Inner
from meta.inner.ties import constant
from meta.methods.choice import METHODS, WAYS
from meta.methods.method import Method
from meta.methods.tape import Tape
from meta.problems.nets import Examples, network

STEPS = 100  # enough for the methods to differ: a tape takes 6 kB


def found(
    limit: int | None, hypers: Hypers | None = None, problem: Problem | None = None, **options
) -> Result:
    problem = problem or training("logistic", steps=STEPS)
    hypers = hypers or Hypers(log_l2=torch.full((3,), -3.0))
    return hypergradient(problem, hypers, **({"memory_limit": limit, "precision": "float32"} | options))


def needs(name: str, hypers: Hypers | None = None) -> int:
    hypers = hypers or Hypers(log_l2=torch.zeros(3))
    lone = Inner(training("logistic", steps=STEPS), (0,), None, torch.float32, torch.device("cpu"))
    return METHODS[name].bytes(lone, hypers.parts())


# ── the registry ──


def test_every_method_goes_by_its_name():
    assert {name: method.name for name, method in METHODS.items()} == {name: name for name in METHODS}
    assert set(METHODS) == {
        *("unroll", "tape", "checkpoint", "replay", "reversible"),
        *("forward", "implicit", "truncated", "evolution"),
    }
    assert set(WAYS) <= set(METHODS)


@pytest.mark.parametrize("name", METHODS)
def test_every_method_is_reached_by_name_and_says_so(name):
    hypers = Hypers(log_l2=torch.full((1,), -3.0))
    result = found(None, hypers, training("logistic", steps=4), method=name)
    assert result.method == name
    assert result.why == f"{name}: asked for"
    assert result.grads.log_l2.shape == (1,)
    assert result.grads.log_l2.isfinite().all()


@pytest.mark.parametrize("name", METHODS)
def test_an_estimate_is_a_number_of_bytes_for_one_run_and_trains_nothing(name):
    law = Counted(lr=0.3)
    problem = training("logistic", law, STEPS)
    lone = Inner(problem, (0,), None, torch.float32, torch.device("cpu"))
    size = METHODS[name].bytes(lone, {"log_l2": torch.zeros(1)})
    assert isinstance(size, int)
    assert size > 0
    assert law.steps[0] <= 1  # unroll tries one


# ── by memory ──


def test_a_tape_while_it_fits_then_checkpoints_then_the_reversible_training():
    three = [needs(name) for name in ("tape", "checkpoint", "reversible")]
    assert three == sorted(three, reverse=True)
    tape, checkpoint, reversible = (found(limit) for limit in three)
    assert (
        tape.why == "tape: 12 kB for 100 steps fit in 12 kB; 3 hyperparameters are too many for forward mode"
    )
    assert checkpoint.why.startswith(
        "checkpoint: 2.3 kB for 100 steps fit in 2.3 kB; tape (12 kB) would not; 3 hyper"
    )
    assert "; tape (12 kB) and checkpoint (2.3 kB) would not; " in reversible.why
    assert [each.method for each in (tape, checkpoint, reversible)] == ["tape", "checkpoint", "reversible"]
    assert apart(checkpoint.grads, tape.grads) < 1e-5
    assert apart(reversible.grads, tape.grads) < 1e-4


@pytest.mark.parametrize("count", [1, 2])
def test_forward_for_one_or_two_hyperparameters_where_neither_tape_nor_checkpoints_fit(count):
    examples = Examples(torch.randn(8, 60), torch.arange(8))
    problem = network(examples, examples, (), steps=144, batch=4)
    hypers, ties = Hypers(log_lr=torch.full((1, count), -2.0)), {"log_lr": constant(144)}
    if count == 1:
        hypers, ties = Hypers(log_l2=torch.zeros(1)), {}
    limit = 4 * 2 * problem.layout.P * (2 * 12 - 1) - 1  # a byte short of √T checkpoints
    result = found(limit, hypers, problem, ties=ties)
    assert result.method == "forward"
    assert "would not" in result.why
    assert "too many" not in result.why
    assert found(None, hypers, problem, ties=ties).why.endswith("; forward mode is slower")


def test_where_steps_cannot_be_undone_a_tree_is_replayed():
    free = training("logistic", Counted(lr=0.3, denominator=None), STEPS)
    assert found(needs("checkpoint") - 1, problem=free).method == "replay"
    exact = r"nothing exact fits in .* tape .*, checkpoint .*, replay .*; give a larger memory_limit="
    with pytest.raises(ValueError, match=exact) as told:
        found(needs("replay") - 1, problem=free)
    assert "reversible" not in str(told.value)


def test_where_nothing_fits_it_says_what_would_be_needed():
    told = (
        r"method: nothing exact fits in 10 bytes for one run of 100 steps: tape \(12 kB\), checkpoint \(2\.3 kB\), "
        r"reversible \(\S+ \w+\), replay \(\S+ \w+\); give a larger memory_limit=, fewer steps, or method='truncated'"
    )
    with pytest.raises(ValueError, match=told):
        found(10)


def test_what_is_asked_for_and_far_too_large_is_refused_before_any_step():
    law = Counted(lr=0.3)
    problem = training("logistic", law, STEPS)
    told = r"tape: needs about 12 kB for one run of 100 steps, but 5\.0 kB may be taken; give a larger memory_limit="
    with pytest.raises(ValueError, match=told):
        found(5000, problem=problem, method="tape")
    with pytest.raises(
        ValueError, match=r"4 runs side by side .* give a smaller chunk_size or a larger memory_limit="
    ):
        found(20_000, problem=problem, method="tape", seeds=range(4), chunk_size=4)
    assert law.steps[0] == 0


def test_by_default_half_of_what_is_free_may_be_taken(monkeypatch):
    monkeypatch.setattr("meta.inner.memory.available", lambda device: 2 * needs("tape") - 2)
    assert found(None).method == "checkpoint"
    monkeypatch.setattr("meta.inner.memory.available", lambda device: 2 * needs("tape"))
    assert found(None).method == "tape"


# ── side by side ──


class Watched(Tape):
    """How many runs it was given at a time."""

    seen: list[int] = []  # noqa: RUF012

    def __call__(self, inner, parts):
        self.seen.append(inner.runs or 1)
        return super().__call__(inner, parts)


@pytest.fixture
def watched() -> Method:
    Watched.seen.clear()
    return Watched()


def test_small_runs_go_side_by_side_as_many_as_fit(watched):
    result = found(10**9, seeds=range(7), method=watched)
    assert watched.seen == [7]
    assert result.why == "tape: asked for; 7 of 7 runs side by side"
    watched.seen.clear()
    result = found(40_000, seeds=range(7), method=watched)
    assert sum(watched.seen) == 7
    assert 1 < max(watched.seen) <= 40_000 // needs("tape")
    watched.seen.clear()
    result = found(needs("tape"), seeds=range(3), method=watched)
    assert watched.seen == [1, 1, 1]
    assert result.why == "tape: asked for; one run at a time"


def test_on_a_processor_large_runs_go_one_by_one_as_vmap_would_not_pay(watched):
    images, labels = torch.zeros(4, 1000), torch.tensor([0, 1, 2, 3])
    examples = Examples(images, labels)
    problem = network(examples, examples, (), steps=2, batch=2)  # P = 10,010
    found(None, Hypers(log_l2=torch.zeros(1)), problem, seeds=(0, 1), method=watched)
    assert watched.seen == [1, 1]


def test_a_chunk_that_is_given_is_taken(watched):
    found(None, seeds=range(5), method=watched, chunk_size=2)
    assert watched.seen == [2, 2, 1]
    for wrong in (0, -1):
        with pytest.raises(ValueError, match=f"chunk_size: is {wrong}; give 1 or more"):
            found(None, chunk_size=wrong)


def test_a_given_chunk_counts_when_auto_chooses():
    options = {"seeds": range(4), "chunk_size": 4}
    assert found(4 * needs("tape"), **options).method == "tape"
    assert found(4 * needs("tape") - 1, **options).method == "checkpoint"


def test_work_grows_with_the_chunk_and_not_with_the_runs():
    class Largest(TorchDispatchMode):
        numbers = 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            made = func(*args, **(kwargs or {}))
            sizes = [t.numel() for t in pytree.tree_leaves(made) if isinstance(t, torch.Tensor)]
            self.numbers = max([self.numbers, *sizes])
            return made

    class Measured(Tape):
        def __call__(self, inner, parts):
            with largest:
                return super().__call__(inner, parts)

    problem, found = training(steps=4), {}
    for chunk, runs in ((2, 2), (2, 6), (3, 6), (6, 6)):
        largest = Largest()
        hypergradient(problem, several(problem, runs), Measured(), many=True, chunk_size=chunk)
        found[chunk, runs] = largest.numbers
    assert found[2, 6] == found[2, 2]
    assert found[3, 6] == found[2, 2] * 3 / 2
    assert found[6, 6] == found[2, 2] * 3


def test_auto_gives_the_gradient():
    problem = training()
    hypers = every_part(problem)
    auto, tape = (hypergradient(problem, hypers, method, precision="float64") for method in ("auto", "tape"))
    assert apart(auto.grads, tape.grads) == 0
