"""Rates, momenta and batch sizes: PyTorch's own schedulers say the same, and no step is wasted."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.optim.lr_scheduler import CosineAnnealingLR, CyclicLR, LRScheduler, OneCycleLR

from models.config import Config
from models.train.schedules import batch_size, depends_on_steps, learning_rate, momentum

LR = 0.02
KINDS = ("constant", "cosine", "one_cycle", "triangular", "plateau")


def of(kind: str, steps: int = 100, **hypers) -> Config:
    named = {name.replace("__", "."): value for name, value in hypers.items()}
    return Config.of({"schedule.kind": kind, "steps": steps, "lr": LR, **named})


def rates(config: Config) -> list[float]:
    return [learning_rate(config, step) for step in range(1, config.steps + 1)]


def sgd() -> torch.optim.SGD:
    return torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=LR, momentum=0.9)


def followed(scheduler: LRScheduler, steps: int) -> tuple[list[float], list[float]]:
    """The rate and momentum of `steps` steps under a scheduler of PyTorch, from its t = 0."""
    group = scheduler.optimizer.param_groups[0]
    lrs, momenta = [], []
    for _ in range(steps):
        lrs.append(group["lr"])
        momenta.append(group["momentum"])
        scheduler.optimizer.step()
        scheduler.step()
    return lrs, momenta


@pytest.mark.parametrize("steps", [1, 2, 7, 100])
@pytest.mark.parametrize("floor", [0.0, 0.1])
def test_cosine_is_pytorchs(steps, floor):
    config = of("cosine", steps, schedule__warmup=0.0, schedule__floor=floor)
    lrs, _ = followed(CosineAnnealingLR(sgd(), T_max=steps, eta_min=floor * LR), steps)
    assert rates(config) == pytest.approx(lrs)


@pytest.mark.parametrize("steps", [2, 7, 100])
@pytest.mark.parametrize("warmup", [0.05, 0.3, 0.5])
@pytest.mark.parametrize("floor", [0.01, 0.5])
def test_one_cycle_is_pytorchs(steps, warmup, floor):
    """Whose first and last rates are the floor; ours are one step before the first and after the last."""
    config = of("one_cycle", steps, schedule__warmup=warmup, schedule__floor=floor)
    theirs = OneCycleLR(
        sgd(),
        max_lr=LR,
        total_steps=steps + 2,
        pct_start=(round(warmup * steps) + 2) / (steps + 2),
        anneal_strategy="linear",
        base_momentum=0.8,
        max_momentum=0.9,
        div_factor=1 / floor,
        final_div_factor=1,
    )
    lrs, momenta = followed(theirs, steps + 1)
    assert rates(config) == pytest.approx(lrs[1:])
    assert [momentum(config, step) for step in range(1, steps + 1)] == pytest.approx(momenta[1:])


@pytest.mark.parametrize("cycle", [2, 3, 10, 400])
@pytest.mark.parametrize("floor", [0.0, 0.1])
def test_triangular_is_pytorchs(cycle, floor):
    config = of("triangular", 50, schedule__cycle=cycle, schedule__floor=floor)
    theirs = CyclicLR(
        sgd(),
        base_lr=floor * LR,
        max_lr=LR,
        step_size_up=cycle / 2,
        step_size_down=cycle / 2,
        cycle_momentum=False,
    )
    lrs, _ = followed(theirs, 51)
    assert rates(config) == pytest.approx(lrs[1:], abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from(KINDS),
    steps=st.integers(1, 300),
    warmup=st.floats(0, 1),
    floor=st.floats(0, 1),
    cycle=st.integers(2, 500),
)
def test_every_schedule_stays_between_floor_and_lr_and_is_never_idle(kind, steps, warmup, floor, cycle):
    floor = 0.0 if kind == "constant" else floor
    config = of(kind, steps, schedule__warmup=warmup, schedule__floor=floor, schedule__cycle=cycle)
    followed = rates(config)
    warming = kind in ("constant", "cosine", "plateau")  # from zero, below any floor
    assert all((0 if warming else floor * LR) - 1e-12 <= rate <= LR * (1 + 1e-12) for rate in followed)
    if kind != "triangular":
        assert min(followed) > 0
        assert max(followed) == pytest.approx(LR)
    else:
        assert max(followed) > 0


@settings(max_examples=60, deadline=None)
@given(kind=st.sampled_from(("constant", "cosine", "plateau", "one_cycle")), steps=st.integers(1, 300))
def test_warm_up_rises_evenly_and_then_only_falls(kind, steps):
    config = of(kind, steps, schedule__warmup=0.3)
    followed = rates(config)
    top = followed.index(max(followed))
    assert top == min(round(0.3 * steps), steps - 1)
    assert followed[: top + 1] == pytest.approx([LR * (i + 1) / (top + 1) for i in range(top + 1)])
    assert followed[top:] == sorted(followed[top:], reverse=True)


def test_a_training_of_one_step_learns_at_the_full_rate():
    for kind in ("constant", "cosine", "one_cycle", "plateau"):
        assert rates(of(kind, 1, schedule__warmup=1.0)) == [LR]


def test_the_plateaus_decay_stops_at_the_floor():
    config = of("plateau", schedule__floor=0.05, schedule__warmup=0.1)
    assert learning_rate(config, 50, decayed=0.1) == pytest.approx(0.1 * LR)
    assert learning_rate(config, 50, decayed=0.001) == pytest.approx(0.05 * LR)
    assert learning_rate(of("cosine"), 50, decayed=0.1) == learning_rate(of("cosine"), 50)


def test_only_one_cycle_moves_the_momentum_and_never_below_zero():
    for kind in KINDS:
        config = of(kind, optimizer__momentum=0.05)
        moved = {momentum(config, step) for step in range(1, 101)}
        assert moved == {0.05} if kind != "one_cycle" else min(moved) == 0 and max(moved) <= 0.05


def test_the_batch_grows_and_the_rate_does_not_care():
    hypers = {"batch_size": 24, "adabatch__every": 10, "adabatch__most": 100}
    config = of("constant", 50, schedule__warmup=0.0, **hypers)
    assert [batch_size(config, step) for step in (1, 10, 11, 20, 21, 30, 31, 50)] == [
        *(24, 24, 48, 48, 96, 96, 100, 100)
    ]
    assert set(rates(config)) == {LR}
    assert {batch_size(of("cosine", batch_size=24), step) for step in (1, 50, 100)} == {24}


@settings(max_examples=60, deadline=None)
@given(
    every=st.integers(1, 1000),
    factor=st.integers(2, 16),
    most=st.integers(1, 65536),
    batch=st.integers(1, 65536),
    step=st.integers(1, 10**8),
)
def test_the_batch_after_any_number_of_growths(every, factor, most, batch, step):
    batch = min(batch, most)
    hypers = {"adabatch.every": every, "adabatch.factor": factor, "adabatch.most": most, "batch_size": batch}
    growths = (step - 1) // every
    exact = most if growths > math.log(most, factor) + 1 else min(most, batch * factor**growths)
    assert batch_size(Config.of(hypers), step) == exact


@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from(KINDS),
    warmup=st.sampled_from((0.0, 0.2)),
    steps=st.integers(5, 50),
    more=st.integers(5, 50),
)
def test_what_does_not_depend_on_steps_is_the_first_half_of_something_longer(kind, warmup, steps, more):
    short, long = (of(kind, n, schedule__warmup=warmup) for n in (steps, steps + more))
    same = [(learning_rate(short, s), momentum(short, s)) for s in range(1, steps + 1)] == [
        (learning_rate(long, s), momentum(long, s)) for s in range(1, steps + 1)
    ]
    assert depends_on_steps(short) == (
        kind in ("cosine", "one_cycle") or (warmup > 0 and kind != "triangular")
    )
    assert same or depends_on_steps(short)
