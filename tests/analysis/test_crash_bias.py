"""The verdict on failed trials: how often it is a false alarm, what it finds, and that nothing irrelevant moves it."""

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
    return Snapshot(study="s", search=search.to_json(), trials=trials)


def drawn(space: Space, rng: random.Random, trials: int, failed: int, kind: Outcome) -> Snapshot:
    points = [studies.draw_params(space, rng) for _ in range(trials)]
    outcomes = [kind] * failed + [Outcome.FINISHED] * (trials - failed)
    rng.shuffle(outcomes)
    return sweep(space, points, outcomes)


def space_of(*distributions: Float | Int | Choice) -> Space:
    return Space(tuple(Hyperparameter(f"h{i}", d) for i, d in enumerate(distributions)))


CONTINUOUS = space_of(*[Float(1e-5, 1e-1, log=True), Float(0.0, 1.0)] * 3)
TIED = space_of(Int(1, 4), Int(0, 1), Int(1, 3), Choice(("a", "b")), Choice(("a", "b", "c")), Choice((1, 2, 3, 4, 5)))
MIXED = space_of(Float(0.0, 1.0), Int(1, 4), Int(5, 30), Choice(("a", "b")), Choice(("a", "b", "c")), Float(1.0, 2.0))
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


@pytest.mark.parametrize("variant", VARIANTS)
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
