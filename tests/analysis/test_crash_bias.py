"""The verdict on failed trials: how often it is a false alarm, what it finds, and that nothing else moves it."""

from __future__ import annotations

import csv
import math
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import studies
from support.snapshot_strategies import made_trials, snapshots

from tuner_tui.analysis.crash_bias import LEVEL, Bias, CrashBias, Region, Side, Verdict, crash_bias
from tuner_tui.analysis.two_groups import corrected, rank_sum
from tuner_tui.search.search import Search
from tuner_tui.search.space import Choice, Float, Hyperparameter, Int, Space
from tuner_tui.study.outcomes import Outcome, Reason
from tuner_tui.study.snapshot import Snapshot, Trial

SWEEPS = 1_000
# Three standard errors of a share of 5 % in 1,000 sweeps: a correct test fails here once in 700 runs, and its
# seed is fixed.
MOST_FALSE_ALARMS = LEVEL + 3 * math.sqrt(LEVEL * (1 - LEVEL) / SWEEPS)


def sweep(space: Space, points: Sequence[dict[str, Any]], outcomes: Sequence[Outcome | None]) -> Snapshot:
    """A snapshot without the detour through events: thousands are looked at."""
    search = Search(name="s", target="a:b", objective="loss", space=space, trials=len(points))
    trials = {
        number: Trial(
            number, params, outcome=outcome,
            reason=None if outcome in (Outcome.FINISHED, None) else Reason.EXCEPTION,
            value=None if outcome is Outcome.NO_START else 1.0,
        )
        for number, (params, outcome) in enumerate(zip(points, outcomes, strict=True))
    }  # fmt: skip
    return Snapshot(study="s", search=search, trials=trials)


def drawn(space: Space, rng: random.Random, trials: int, failed: int, kind: Outcome) -> Snapshot:
    points = [studies.draw_params(space, rng) for _ in range(trials)]
    outcomes = [kind] * failed + [Outcome.FINISHED] * (trials - failed)
    rng.shuffle(outcomes)
    return sweep(space, points, outcomes)


def space_of(*distributions: Float | Int | Choice) -> Space:
    return Space(tuple(Hyperparameter(f"h{i}", d) for i, d in enumerate(distributions)))


CONTINUOUS = space_of(*[Float(1e-5, 1e-1, log=True), Float(0.0, 1.0)] * 3)
TIED = space_of(
    Int(1, 4), Int(0, 1), Int(1, 3), Choice(("a", "b")), Choice(("a", "b", "c")), Choice((1, 2, 3, 4, 5))
)
MIXED = space_of(
    Float(0.0, 1.0), Int(1, 4), Int(5, 30), Choice(("a", "b")), Choice(("a", "b", "c")), Float(1.0, 2.0)
)
CONDITIONAL = Space(
    (
        Hyperparameter("kind", Choice(("conv", "attention", "none"))),
        Hyperparameter("depth", Int(4, 64), when=(("kind", ("conv",)),)),
        Hyperparameter("heads", Int(1, 4), when=(("kind", ("attention",)),)),
        Hyperparameter("drop", Float(0.0, 1.0), when=(("kind", ("conv", "attention")),)),
        Hyperparameter("width", Int(16, 256)),
    )
)
VARIANTS: dict[str, tuple[Space, int, Callable[[random.Random], int]]] = {
    "continuous": (CONTINUOUS, 60, lambda rng: 12),
    "heavy ties": (TIED, 60, lambda rng: rng.randint(8, 20)),
    "few failed": (MIXED, 50, lambda rng: rng.randint(3, 6)),
    "most failed": (MIXED, 240, lambda rng: 130),
    "conditional": (CONDITIONAL, 80, lambda rng: rng.randint(5, 25)),
    "large": (MIXED, 600, lambda rng: rng.randint(90, 150)),
}


@pytest.mark.parametrize(
    "variant", [pytest.param(v, marks=pytest.mark.slow if v == "large" else ()) for v in VARIANTS]
)
def test_false_alarms_are_as_rare_as_stated(variant: str) -> None:
    space, trials, failed = VARIANTS[variant]
    rng = random.Random(f"no bias: {variant}")
    alarms = 0
    for number in range(SWEEPS):
        kind = Outcome.NO_START if number % 2 else Outcome.UNFINISHED
        found = crash_bias(drawn(space, rng, trials, failed(rng), kind))
        alarms += any(kind.biased for kind in found.kinds)
    print(f"false alarms, {variant}: {alarms / SWEEPS:.1%}")
    assert alarms / SWEEPS <= MOST_FALSE_ALARMS


# --- what it finds


def rising(place: float) -> float:
    """5 % at the smallest depth, 60 % at the largest."""
    return 0.05 + 0.55 * place


def broken_above_300(place: float) -> float:
    return 0.70 if place > math.log(300 / 64) / math.log(512 / 64) else 0.05


def planted(rng: random.Random, trials: int, chance: Callable[[float], float]) -> Snapshot:
    """Crashes more likely at large depth, on a log axis from 0 to 1, in the space of the first picture."""
    points = [studies.draw_params(studies.SEED_SPACE, rng) for _ in range(trials)]
    places = [math.log(point["convnet.depth"] / 64) / math.log(512 / 64) for point in points]
    crashed = [rng.random() < chance(place) for place in places]
    return sweep(studies.SEED_SPACE, points, [Outcome.NO_START if c else Outcome.FINISHED for c in crashed])


@pytest.mark.parametrize(
    ("trials", "chance", "least"),
    [(60, rising, 0.33), (120, rising, 0.70), (60, broken_above_300, 0.85)],
)
def test_a_bias_that_was_planted_is_found(
    trials: int, chance: Callable[[float], float], least: float
) -> None:
    """Among thirteen hyperparameters, and after the correction for them: 42 %, 79 % and 91 % of 300 sweeps."""
    rng = random.Random("planted")
    found = 0
    for _ in range(100):
        bias = crash_bias(planted(rng, trials, chance)).never_started.of("convnet.depth")
        found += bias is not None and bias.verdict is Verdict.BIASED
    print(f"found with {trials} trials: {found}%")
    assert found / 100 >= least


def test_the_region_can_be_counted_by_hand() -> None:
    points = [{"depth": depth} for depth in range(1, 41)]
    failed = {5, *range(31, 41)}
    outcomes = [Outcome.NO_START if p["depth"] in failed else Outcome.FINISHED for p in points]
    bias = one(crash_bias(sweep(Space((Hyperparameter("depth", Int(1, 40)),)), points, outcomes)))
    assert bias.verdict is Verdict.BIASED
    assert bias.region == Region(Side.ABOVE, 30, failed=10, trials=10)
    assert (bias.failed, bias.trials) == (11, 40)


def one(found: CrashBias) -> Bias:
    (bias,) = found.never_started.hyperparameters
    return bias


def two_heaps(distribution: Float | Int, low: list[float], high: list[float]) -> Region | None:
    """The region when all trials at `low` finished and all at `high` failed."""
    points = [{"x": x} for x in (*low, *high)]
    outcomes = [Outcome.FINISHED] * len(low) + [Outcome.NO_START] * len(high)
    return one(crash_bias(sweep(Space((Hyperparameter("x", distribution),)), points, outcomes))).region


@pytest.mark.parametrize(
    ("distribution", "low", "high", "threshold"),
    [
        (Int(1, 4), [1, 1, 2, 2], [3, 3, 4], 2),
        (Int(1, 512), [80, 90, 138], [143, 400], 140),
        (Int(1, 512), [139], [140], 139),
        (Float(0.0, 1.0), [0.1, 0.2281], [0.2619, 0.9], 0.24),
        (Float(1e-5, 1e-1, log=True), [1e-5, 2.2e-4], [5.1e-3, 1e-2], 1e-3),
        (Float(-1.0, 1.0), [-0.5, -1e-300], [0.0, 1.0], -5e-301),
        (Float(0.0, 1.0), [0.1], [0.1 + 2**-56], 0.1),
    ],
)
def test_a_threshold_is_as_short_as_its_counts_allow(
    distribution: Float | Int, low: list[float], high: list[float], threshold: float
) -> None:
    region = two_heaps(distribution, low, high)
    assert region is not None
    assert all(x <= region.value for x in low)
    assert all(x > region.value for x in high)
    assert region.value == pytest.approx(threshold, rel=1e-12, abs=0)
    if isinstance(distribution, Int):
        assert isinstance(region.value, int)


def test_failures_at_small_values_lie_below() -> None:
    points = [{"x": x} for x in range(1, 31)]
    outcomes = [Outcome.NO_START] * 10 + [Outcome.FINISHED] * 20
    bias = one(crash_bias(sweep(Space((Hyperparameter("x", Int(1, 30)),)), points, outcomes)))
    assert bias.region == Region(Side.BELOW, 11, failed=10, trials=10)


def test_an_option_that_fails() -> None:
    points = [{"kind": kind} for kind in ("conv", "attention", "none") for _ in range(12)]
    outcomes = [Outcome.FINISHED] * 12 + [Outcome.NO_START] * 9 + [Outcome.FINISHED] * 15
    space = Space((Hyperparameter("kind", Choice(("conv", "attention", "none"))),))
    bias = one(crash_bias(sweep(space, points, outcomes)))
    assert bias.verdict is Verdict.BIASED
    assert bias.region == Region(Side.IS, "attention", failed=9, trials=12)


def test_too_few_is_said_and_even_is_not_claimed_of_a_few() -> None:
    space = MIXED
    rng = random.Random(11)
    few = crash_bias(drawn(space, rng, 60, 2, Outcome.NO_START)).never_started
    assert few.verdict is Verdict.TOO_FEW
    assert {bias.verdict for bias in few.hyperparameters} == {Verdict.TOO_FEW}
    many = crash_bias(drawn(space, rng, 60, 20, Outcome.NO_START)).never_started
    assert many.verdict is Verdict.EVEN
    numbers = [bias for bias in many.hyperparameters if bias.region and bias.region.side is not Side.IS]
    assert len(numbers) == 4
    assert {bias.noticeable for bias in numbers} == {16}  # of 20 in one half; by chance once in 460 times


@pytest.mark.parametrize("failed", [0, 30])
def test_without_failures_or_without_a_rest_nothing_can_be_said(failed: int) -> None:
    found = crash_bias(drawn(MIXED, random.Random(1), 30, failed, Outcome.NO_START)).never_started
    assert {bias.verdict for bias in found.hyperparameters} <= {Verdict.TOO_FEW}
    assert all(bias.region is None and bias.p == 1.0 for bias in found.hyperparameters)


# --- who counts


def crowd(reason: Reason, value: float | None) -> Snapshot:
    """Ten of thirty trials, those of the largest values, ended for this reason."""
    snapshot = sweep(
        Space((Hyperparameter("x", Int(1, 30)),)),
        [{"x": x} for x in range(1, 31)],
        [Outcome.FINISHED] * 20 + [Outcome.NO_START if value is None else Outcome.UNFINISHED] * 10,
    )
    return replace(
        snapshot,
        trials={
            n: t if n < 20 else replace(t, reason=reason, value=value) for n, t in snapshot.trials.items()
        },
    )


@pytest.mark.parametrize("value", [None, 1.0])
@pytest.mark.parametrize("reason", [Reason.PRUNED, Reason.STOPPED, Reason.INTERRUPTED])
def test_ends_that_say_nothing_are_not_failures(reason: Reason, value: float | None) -> None:
    found = crash_bias(crowd(reason, value))
    assert [kind.failed for kind in found.kinds] == [0, 0]
    assert found.never_started.trials == (20 if value is None else 30)  # with a loss it did start
    assert found.unfinished.trials == 20


@pytest.mark.parametrize("reason", [Reason.TIMEOUT, Reason.SILENT, Reason.OUT_OF_MEMORY, Reason.DIVERGED])
def test_every_other_end_is(reason: Reason) -> None:
    assert one(crash_bias(crowd(reason, None))).verdict is Verdict.BIASED
    unfinished = crash_bias(crowd(reason, 1.0)).unfinished
    assert unfinished.biased[0].region == Region(Side.ABOVE, 20, failed=10, trials=10)


def test_a_running_trial_with_a_loss_has_started() -> None:
    """Else, while a sweep runs, all slow trials seem to be missing among those that started."""
    points = [{"x": x} for x in range(1, 31)]
    outcomes: list[Outcome | None] = [Outcome.NO_START] * 6 + [None] * 14 + [Outcome.FINISHED] * 10
    snapshot = sweep(Space((Hyperparameter("x", Int(1, 30)),)), points, outcomes)
    assert crash_bias(snapshot).never_started.trials == 30
    assert crash_bias(snapshot).unfinished.trials == 10


def test_a_conditional_hyperparameter_is_judged_among_the_trials_that_have_it() -> None:
    rng = random.Random(5)
    found = crash_bias(drawn(CONDITIONAL, rng, 80, 30, Outcome.NO_START)).never_started
    depth, width = found.of("depth"), found.of("width")
    assert depth is not None and width is not None
    assert depth.trials < width.trials == 80


# --- nothing irrelevant moves it


@settings(deadline=None, max_examples=200)
@given(snapshots)
def test_any_snapshot_has_an_answer(snapshot: Snapshot) -> None:
    found = crash_bias(snapshot)
    for kind in found.kinds:
        for bias in kind.hyperparameters:
            assert 0.0 <= bias.p <= 1.0 and bias.p <= bias.corrected <= 1.0
            assert 0 <= bias.failed <= min(bias.trials, kind.failed)
            if bias.region is not None:
                assert 0 < bias.region.failed <= bias.region.trials <= bias.trials


@pytest.mark.parametrize("name", studies.ODD)
def test_odd_studies_have_one(name: str) -> None:
    assert crash_bias(studies.ODD[name]()).never_started.biased == ()


def test_so_has_nothing_at_all() -> None:
    assert crash_bias(Snapshot()).never_started.hyperparameters == ()


@settings(deadline=None, max_examples=50)
@given(made_trials, st.randoms(use_true_random=False))
def test_the_order_of_trials_does_not_matter(made: list[studies.Made], rng: random.Random) -> None:
    shuffled = list(made)
    rng.shuffle(shuffled)
    assert crash_bias(studies.study_of(studies.SMALL_SPACE, made)) == crash_bias(
        studies.study_of(studies.SMALL_SPACE, shuffled)
    )


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 10**6), st.sampled_from([(20, 4), (40, 15), (200, 30), (400, 150)]))
def test_only_the_order_of_values_matters(seed: int, size: tuple[int, int]) -> None:
    """lr, log(lr) and lr**3 get the same p; so do 1..4 and 1, 10, 100, 1000."""
    rng = random.Random(seed)
    trials, failed = size
    values = [rng.choice([rng.randint(1, 4), rng.uniform(1, 4)]) for _ in range(trials)]
    outcomes = [Outcome.NO_START] * failed + [Outcome.FINISHED] * (trials - failed)
    space = Space((Hyperparameter("x", Float(-1e9, 1e9)),))
    ps = [
        one(crash_bias(sweep(space, [{"x": change(v)} for v in values], outcomes))).p
        for change in (float, math.log, lambda v: v**3, lambda v: 1e6 * v - 5e6)
    ]
    assert len(set(ps)) == 1


def test_the_same_study_gets_the_same_answer() -> None:
    snapshot = drawn(MIXED, random.Random(3), 300, 40, Outcome.NO_START)
    assert crash_bias(snapshot) == crash_bias(snapshot)


def test_ten_thousand_trials_are_judged_in_the_time_of_a_blink() -> None:
    """300 ms on a quiet machine is the promise, and 0.1 s was measured; here with room for a busy one."""
    snapshot = studies.large_snapshot(10_000, panels=13)
    began = time.process_time()
    crash_bias(snapshot)
    assert time.process_time() - began < 1.0


# --- the picture of 2017


PICTURE = Path(__file__).parents[1] / "data" / "seed1_never_started.csv"
READ = ("batch_size", "convnet.depth", "convnet.profundity", "merger.depth", "reader.radius", "reader.size")


def picture() -> dict[str, dict[str, list[str]]]:
    """Of each panel the values of the trials by how they ended."""
    found: dict[str, dict[str, list[str]]] = {}
    with PICTURE.open() as file:
        for row in csv.DictReader(file):
            values = found.setdefault(row["hyperparameter"], {}).setdefault(row["outcome"], [])
            values += [row["value"]] * int(row["trials"])
    return found


def test_all_panels_of_the_picture_show_the_same_trials() -> None:
    """Ten panels, each read by itself, agree: that says the reading is right. In merger.kind and reader.bidir one
    option is too dark and was taken as what is missing; merger.depth confirms the first of them."""
    lines = {name: len(ends["never started"]) for name, ends in picture().items()}
    conv = picture()["merger.kind"]["never started"].count("conv")
    assert lines.pop("merger.depth") == conv == 66  # it exists only for conv
    assert len(lines) == 12
    assert set(lines.values()) == {110}


def test_the_red_runs_of_the_picture_are_not_evenly_distributed() -> None:
    """As its author thought. One panel at a time, for nobody knows which lines belong to one trial."""
    biases = {}
    for name in READ:
        values = picture()[name]
        points = [
            {name: int(v)} for v in (*values["never started"], *values["finished"], *values["unfinished"])
        ]
        failed = len(values["never started"])
        outcomes = [Outcome.NO_START] * failed + [Outcome.FINISHED] * (len(points) - failed)
        space = Space((replace(studies.SEED_SPACE[name], when=()),))
        biases[name] = one(crash_bias(sweep(space, points, outcomes)))
    # Among thirteen hyperparameters, of which seven could not be read: they count as found even.
    ps = corrected([bias.p for bias in biases.values()] + [1.0] * 7)
    biased = {name for (name, _), p in zip(biases.items(), ps, strict=False) if p <= LEVEL}
    assert biased == {"batch_size", "convnet.depth", "convnet.profundity", "reader.radius", "reader.size"}
    assert all(biases[name].region.side is Side.ABOVE for name in biased if biases[name].region)
    assert biases["convnet.depth"].region == Region(Side.ABOVE, 253, failed=73, trials=104)
    assert biases["convnet.depth"].trials == 190


def test_a_rank_sum_knows_its_direction() -> None:
    _, _, up = rank_sum(np.array([5, 5]), np.array([0, 5]))
    _, _, down = rank_sum(np.array([5, 5]), np.array([5, 0]))
    assert (up, down) == (1.0, -1.0)
