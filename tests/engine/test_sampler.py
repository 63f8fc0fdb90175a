"""Samplers: the same trial n whatever happened before it, and values that lie where the file says."""

from __future__ import annotations

import dataclasses
import json
import math
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.search_files import CAPTION, TARGET
from support.search_strategies import searches

from tuner_tui.engine import sampler
from tuner_tui.engine.sampler import make_sampler
from tuner_tui.search.file import parse_search
from tuner_tui.search.search import SAMPLERS, Search
from tuner_tui.search.space import Choice, Distribution, Float, Int, frozen
from tuner_tui.study.outcomes import Outcome
from tuner_tui.study.snapshot import Trial


def read(space: str, *overrides: str) -> Search:
    return parse_search(f"{TARGET}[space]\n{space}", "x.toml", overrides)


def ended(number: int, params: dict[str, Any], value: float | None) -> Trial:
    outcome = Outcome.NO_START if value is None else Outcome.FINISHED
    return Trial(number, params, outcome=outcome, value=value)


def lies_in(value: Any, distribution: Distribution) -> bool:
    match distribution:
        case Choice(options):
            return frozen(value) in options and not isinstance(value, tuple)
        case Int(low, high, _, step):
            return type(value) is int and low <= value <= high and (value - low) % step == 0
        case Float(low, high, _, None):
            return type(value) is float and low <= value <= high
        case Float(low, high, _, step):
            step = step or 1.0
            nearest = low + round((value - low) / step) * step
            rounding = 4 * math.ulp(max(abs(low), abs(high)))  # of this check's own sums, far from zero
            close = abs(value - nearest) <= 1e-6 * step + rounding
            return type(value) is float and low <= value <= high and close


@settings(deadline=None)
@given(searches(), st.integers(0, 10**6))
def test_values_lie_in_the_space_and_only_where_they_apply(search: Search, number: int) -> None:
    sampler = make_sampler(dataclasses.replace(search, sampler="random"))
    for n in range(number, number + 3):
        params = sampler.ask(n)
        everything = {**search.fixed, **params}
        assert list(params) == [h.name for h in search.space if h.applies(everything)]
        assert all(lies_in(value, search.space[name].distribution) for name, value in params.items())
        assert json.loads(json.dumps(params, allow_nan=False)) == params


@settings(max_examples=15, deadline=None)
@given(searches())
def test_tpe_keeps_to_the_space_too(search: Search) -> None:
    search = dataclasses.replace(search, sampler="tpe")
    sampler = make_sampler(search)
    past = []
    for n in range(14):  # beyond its ten random trials
        params = sampler.ask(n)
        everything = {**search.fixed, **params}
        assert list(params) == [h.name for h in search.space if h.applies(everything)]
        assert all(lies_in(value, search.space[name].distribution) for name, value in params.items())
        assert json.loads(json.dumps(params, allow_nan=False)) == params
        value = None if n % 4 == 3 else float(n)
        past.append(ended(n, everything, value))
        sampler.tell(n, everything, value, past[-1].outcome)
    assert make_sampler(search, past).ask(14) == sampler.ask(14)


@settings(deadline=None)
@given(searches(), st.permutations(range(8)), st.integers(0, 8))
def test_trial_n_is_the_same_whatever_the_order_or_the_number_of_resumes(
    search: Search, order: list[int], cut: int
) -> None:
    search = dataclasses.replace(search, sampler="random")
    in_order = make_sampler(search)
    trials = {n: in_order.ask(n) for n in range(8)}
    shuffled = make_sampler(search)
    assert {n: shuffled.ask(n) for n in order} == trials
    past = [ended(n, trials[n], 1.0) for n in order[:cut]]
    resumed = make_sampler(Search.from_json(json.loads(json.dumps(search.to_json()))), past)
    assert {n: resumed.ask(n) for n in order[cut:] + order[:cut]} == trials
    assert resumed.ask(order[0]) == trials[order[0]]  # once more, the same


def test_trials_are_the_same_in_another_process_and_another_year(tmp_path: Path) -> None:
    """The figures are literal: a sweep begun with an older version must resume with the same trials."""
    search = parse_search(CAPTION, "caption.toml", ["seed=3"])
    sampler = make_sampler(search)
    expected = [sampler.ask(n) for n in range(20)]
    code = (
        "import json, sys; from tuner_tui.search.search import Search\n"
        "from tuner_tui.engine.sampler import make_sampler\n"
        "sampler = make_sampler(Search.from_json(json.load(sys.stdin)))\n"
        "print(json.dumps([sampler.ask(n) for n in range(20)]))"
    )
    out = subprocess.run(
        [sys.executable, "-c", code], input=json.dumps(search.to_json()), capture_output=True, text=True,
        env={"PYTHONHASHSEED": "12345"}, check=True, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert json.loads(out.stdout) == expected
    assert expected[:2] == [pytest.approx(trial) for trial in GOLDEN]


GOLDEN: list[dict[str, Any]] = [
    {
        "lr": 0.0011839998878460701,
        "batch_size": 22,
        "convnet.kind": "straight",
        "convnet.depth": 488,
        "merger.kind": "conv",
        "merger.depth": 45,
    },
    {
        "lr": 0.04579551327694694,
        "batch_size": 10,
        "convnet.kind": "straight_dilated",
        "convnet.depth": 504,
        "merger.kind": "conv",
        "merger.depth": 55,
    },
]


def test_seeds_numbers_and_names_all_matter() -> None:
    space = "a = { float = [0, 1] }\nb = { float = [0, 1] }"
    sampler, other = make_sampler(read(space)), make_sampler(read(space, "seed=1"))
    draws = [value for n in range(50) for s in (sampler, other) for value in s.ask(n).values()]
    assert len(set(draws)) == len(draws)


def test_another_hyperparameter_leaves_the_others_as_they_are() -> None:
    few = make_sampler(read("lr = { log = [1e-5, 1] }"))
    more = make_sampler(read("x = { int = [1, 9] }\nlr = { log = [1e-5, 1] }"))
    assert all(few.ask(n)["lr"] == more.ask(n)["lr"] for n in range(20))


def distance(draws: list[float]) -> float:
    """Kolmogorov's: the largest gap between the draws, scaled to [0, 1], and uniform ones."""
    ordered = sorted(draws)
    n = len(ordered)
    return max(max(abs(x - i / n), abs(x - (i + 1) / n)) for i, x in enumerate(ordered))


def test_draws_are_uniform_on_their_scale() -> None:
    n = 1500
    sampler = make_sampler(
        read(
            "u = { float = [-2, 6] }\nl = { log = [1e-5, 1e-1] }\ni = { int = [1, 5] }\n"
            "s = { float = [0, 1], step = 0.25 }\nt = { int = [0, 10], step = 4 }\n"
            'c = ["a", "b", "c"]\ng = { int = [1, 1000], log = true }'
        )
    )
    draws = [sampler.ask(k) for k in range(n)]
    limit = 1.95 / math.sqrt(n)  # passed by one honest generator in a thousand; the seed is fixed
    assert distance([(d["u"] + 2) / 8 for d in draws]) < limit
    assert distance([math.log(d["l"] / 1e-5) / math.log(1e4) for d in draws]) < limit
    for name, options in [("i", 5), ("s", 5), ("t", 3), ("c", 3)]:
        counts = Counter(d[name] for d in draws)
        assert len(counts) == options
        expected = n / options
        # Chi squared with at most four degrees of freedom: 18.5 is passed by one in a thousand.
        assert sum((count - expected) ** 2 / expected for count in counts.values()) < 18.5
    assert {d["t"] for d in draws} == {0, 4, 8}
    assert {d["s"] for d in draws} == {0.0, 0.25, 0.5, 0.75, 1.0}
    decades = Counter(min(2, int(math.log10(d["g"]))) for d in draws)
    assert all(abs(decades[k] - n / 3) < 0.1 * n for k in range(3))


def test_steps_are_counted_in_decimals() -> None:
    sampler = make_sampler(
        read("s = { float = [0, 1], step = 0.1 }\nt = { float = [0.05, 0.42], step = 0.07 }")
    )
    draws = [sampler.ask(n) for n in range(200)]
    assert {d["s"] for d in draws} == {0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0}
    assert {d["t"] for d in draws} == {0.05, 0.12, 0.19, 0.26, 0.33, 0.4}


def test_conditions_may_chain_and_may_speak_of_fixed_values_and_of_what_comes_later() -> None:
    search = read(
        'deep = { int = [1, 2], when = { depth = [3, 4] } }\ndepth = { int = [1, 4], when = { kind = "b" } }\n'
        'kind = ["a", "b"]\nyes = { int = [1, 2], when = { f = 7 } }',
        "fixed.f=7",
    )
    sampler = make_sampler(search)
    kinds = Counter()
    for n in range(200):
        params = sampler.ask(n)
        assert list(params) == [name for name in ("deep", "depth", "kind", "yes") if name in params]
        assert ("depth" in params) == (params["kind"] == "b")
        assert ("deep" in params) == (params.get("depth") in (3, 4))
        assert "yes" in params and "f" not in params
        kinds[params["kind"], "deep" in params] += 1
    assert len(kinds) == 3  # each of the ways happens


def test_lists_and_booleans_among_the_choices_come_back_as_json_has_them() -> None:
    sampler = make_sampler(read("c = [[1, 2], [3], true, 'x', 2.5]"))
    seen = [sampler.ask(n)["c"] for n in range(100)]
    for option in ([1, 2], [3], True, "x", 2.5):
        assert any(type(value) is type(option) and value == option for value in seen)


def test_an_unknown_sampler_is_named() -> None:
    with pytest.raises(ValueError, match="unknown sampler 'grid'; choose random or tpe"):
        make_sampler(dataclasses.replace(read("a = [1]"), sampler="grid"))


TPE = 'x = { float = [-10, 10] }\ny = { float = [-10, 10] }\nkind = ["good", "bad"]'


def loss(params: dict[str, Any]) -> float:
    return (params["x"] - 3) ** 2 + (params["y"] + 5) ** 2 + (50 if params["kind"] == "bad" else 0)


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_tpe_learns_and_goes_on_learning_after_a_resume(direction: str) -> None:
    search = dataclasses.replace(read(TPE, "sampler=tpe"), direction=direction)
    past: list[Trial] = []
    for n in range(60):
        if n % 20 == 0:
            sampler = make_sampler(search, past)
        params = sampler.ask(n)
        value = loss(params) * search.sign
        past.append(ended(n, params, value))
        sampler.tell(n, params, value, Outcome.FINISHED)
    losses = [loss(t.params) for t in past]
    assert sum(losses[40:]) < 0.4 * sum(losses[:20])


def test_tpe_after_a_resume_does_not_repeat_its_first_draws() -> None:
    search = read(TPE, "sampler=tpe")
    first = make_sampler(search)
    past = [ended(n, first.ask(n), 1.0) for n in range(5)]
    resumed = make_sampler(search, past)
    assert all(resumed.ask(n)["x"] not in [t.params["x"] for t in past] for n in range(5, 10))


def test_tpe_takes_crashes_repeats_and_trials_from_another_space() -> None:
    search = read(TPE, "sampler=tpe")
    rng = random.Random(0)
    past = [
        Trial(0, {"x": 1.0, "y": 1.0, "kind": "good"}),  # still running
        ended(1, {"x": 1.0, "y": 1.0, "kind": "good", "fixed": 3}, math.inf),
        ended(2, {"x": 99.0, "y": 1.0, "kind": "good"}, 1.0),  # from before the range was narrowed
        ended(3, {"x": 1.0, "y": "one", "kind": "good"}, 1.0),
        ended(4, {"x": 1.0, "y": 1.0, "kind": "ugly"}, 1.0),
        ended(5, {}, None),
        Trial(6, {"x": 1.0, "y": 1.0, "kind": "bad"}, outcome=Outcome.UNFINISHED, value=-1e9),
        *(ended(n, {"x": rng.uniform(-10, 10), "y": 0.0, "kind": "good"}, 1.0) for n in range(7, 20)),
    ]
    sampler = make_sampler(search, past)
    params = sampler.ask(20)
    for _ in range(2):
        sampler.tell(20, params, 0.5, Outcome.FINISHED)
    assert sampler.ask(20) == params
    sampler.tell(0, past[0].params, 0.1, Outcome.FINISHED)  # asked of an earlier sampler
    sampler.ask(21)


def test_a_search_file_may_name_the_samplers_there_are():
    assert tuple(sampler.SAMPLERS) == SAMPLERS
