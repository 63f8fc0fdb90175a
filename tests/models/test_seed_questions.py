"""The arithmetic behind docs/seed-questions.md: effects are recovered, grids are grids."""

import importlib
from pathlib import Path

import numpy as np
import pytest

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def questions():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(DOCS)
        return importlib.import_module("seed_questions")


def drawn(noise, n=60, seed=0):
    """Trials whose loss is 10, times 0.5 for b, 2 for c, 0.9 for each doubling of width, 1.2 for each unit of
    `inner` (which only b has), and noise."""
    random = np.random.default_rng(seed)
    params, losses = [], []
    for _ in range(n):
        one = {
            "kind": str(random.choice(["a", "b", "c"])),
            "width": int(8 * 2 ** random.uniform(0, 4)),
            "fixed": 3,
        }
        loss = 10 * {"a": 1, "b": 0.5, "c": 2}[one["kind"]] * 0.9 ** np.log2(one["width"])
        if one["kind"] == "b":
            one["inner"] = float(random.uniform(10, 12))
            loss *= 1.2 ** (one["inner"] - 11)
        params.append(one)
        losses.append(loss * np.exp(noise * random.normal()))
    return params, losses


def test_effects_are_recovered_each_with_the_others_held_equal(questions):
    found = {(e.of, e.words): e for e in questions.effects(*drawn(noise=1e-9))}
    true = {
        ("kind", "b for a"): 0.5,
        ("kind", "c for a"): 2,
        ("width", "doubled"): 0.9,
        ("inner", "one more"): 1.2,
    }
    assert found.keys() == true.keys()  # nothing of what is fixed
    for key, factor in true.items():
        # The mean of `inner` among the trials is not its middle, which b's own factor takes up.
        assert found[key].factor == pytest.approx(factor, rel=0.05 if key[1] == "b for a" else 1e-6)
    assert found["width", "doubled"].count == 60 > found["inner", "one more"].count


def test_intervals_hold_the_truth_as_often_as_they_say(questions):
    held = 0
    for seed in range(200):
        params, losses = drawn(noise=0.3, n=25, seed=seed)
        (effect,) = (e for e in questions.effects(params, losses) if e.words == "c for a")
        held += effect.low <= 2 <= effect.high
    assert 178 <= held <= 199  # 190 are expected; fewer or more happen once in 10,000 times


def test_too_few_trials_are_refused(questions):
    with pytest.raises(ValueError, match="3 finished trials for 4 effects; run more trials"):
        questions.effects(
            [{"kind": kind, "x": x} for kind, x in (("a", 1.0), ("b", 3.0), ("c", 9.0))], [1.0, 2.0, 3.0]
        )


def test_grids_and_draws_have_nine_points_of_the_table(questions):
    for rows, columns in questions.grids():
        assert len(set(zip(rows.tolist(), columns.tolist(), strict=True))) == 9
        assert len(set(rows.tolist())) == len(set(columns.tolist())) == 3
        assert min(rows) >= 0 and max(rows) <= 8 >= max(columns)
    assert len(questions.grids()) == 81
    rows, columns = questions.draws()[0]
    assert len(rows) == len(columns) == 9
