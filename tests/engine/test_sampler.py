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
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.search_files import CAPTION, TARGET
from support.search_strategies import searches

from tuner_tui.engine import sampler as door
from tuner_tui.engine.sampler import BadSampler, Sampler, make_sampler
from tuner_tui.search.file import parse_search
from tuner_tui.search.sampling import SAMPLERS
from tuner_tui.search.search import Search
from tuner_tui.search.space import Choice, Distribution, Float, Int, frozen
from tuner_tui.search.uniform import position_of, value_at
from tuner_tui.study.outcomes import Outcome, Reason
from tuner_tui.study.snapshot import Trial


def read(space: str, *overrides: str) -> Search:
    return parse_search(f"{TARGET}[space]\n{space}", "x.toml", overrides)


def ended(number: int, params: dict[str, Any], value: float | None) -> Trial:
    """One trial after the other: each begins when the one before it has ended."""
    outcome = Outcome.NO_START if value is None else Outcome.FINISHED
    return Trial(number, params, outcome=outcome, value=value, started_at=number + 0.5, ended_at=number + 1.0)


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


@pytest.mark.parametrize("name", ["random", "qmc"])
@settings(deadline=None)
@given(search=searches(), number=st.integers(0, 10**6))
def test_values_lie_in_the_space_and_only_where_they_apply(name: str, search: Search, number: int) -> None:
    sampler = make_sampler(dataclasses.replace(search, sampler=name))
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
        past.append(ended(n, everything, None if n % 4 == 3 else float(n)))
        sampler.tell(past[-1])
    assert make_sampler(search, past).ask(14) == sampler.ask(14)


@pytest.mark.parametrize("name", ["random", "qmc"])
@settings(deadline=None)
@given(search=searches(), order=st.permutations(range(8)), cut=st.integers(0, 8))
def test_trial_n_is_the_same_whatever_the_order_or_the_number_of_resumes(
    name: str, search: Search, order: list[int], cut: int
) -> None:
    search = dataclasses.replace(search, sampler=name)
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
    with pytest.raises(BadSampler, match="unknown sampler 'grit'; choose random or qmc or grid"):
        make_sampler(dataclasses.replace(read("a = [1]"), sampler="grit"))


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
        past.append(ended(n, params, loss(params) * search.sign))
        sampler.tell(past[-1])
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
        sampler.tell(ended(20, params, 0.5))
    assert sampler.ask(20) == params
    sampler.tell(ended(0, past[0].params, 0.1))  # asked of an earlier sampler
    sampler.ask(21)


LEARNERS = tuple(name for name, options in SAMPLERS.items() if "failures" in options)
CRASHES = 'x = { float = [-10, 10] }\ny = { log = [1e-3, 1] }\nk = { int = [1, 30] }\nkind = ["a", "b"]'


def went(search: Search, n: int, params: dict[str, Any]) -> Trial:
    """Where x is large no trial starts."""
    value = None if params.get("x", 0) > 5 else search.sign * (params.get("x", 0) ** 2 + params.get("k", 0))
    return ended(n, params, value)


def killed_and_resumed(search: Search, cut: int, trials: int, rel: float = 0.0) -> None:
    """Trials of an unbroken sweep, and of one that begins again after `cut` trials."""
    unbroken = make_sampler(search)
    past: list[Trial] = []
    for n in range(trials):
        past.append(went(search, n, unbroken.ask(n)))
        unbroken.tell(past[-1])
    resumed = make_sampler(search, past[:cut])
    for n in range(cut, trials):
        drawn = resumed.ask(n)
        assert drawn == {
            name: pytest.approx(value, rel=rel) if isinstance(value, float) else value
            for name, value in past[n].params.items()
        }
        resumed.tell(past[n])
    assert len({t.params["x"] for t in past}) == trials


@pytest.mark.parametrize("name", [name for name in LEARNERS if name != "gp"])
@settings(max_examples=4, deadline=None)
@given(cut=st.integers(0, 17), seed=st.integers(0, 9), direction=st.sampled_from(["minimize", "maximize"]))
@example(cut=1, seed=6, direction="minimize")  # the first trial fails, and waits for one that finishes
def test_a_killed_sweep_goes_on_with_the_trials_it_would_have_had_and_repeats_none(
    name: str, cut: int, seed: int, direction: str
) -> None:
    search = read(CRASHES, f"sampler={name}", f"seed={seed}")
    killed_and_resumed(dataclasses.replace(search, direction=direction), cut, 18)


@pytest.mark.parametrize("name", [name for name in LEARNERS if name != "gp"])
@pytest.mark.parametrize("cut", [9, 21])
def test_a_killed_sweep_that_draws_crashes_again_goes_on_with_the_same_trials(name: str, cut: int) -> None:
    search = read(CRASHES, f"sampler={name}", "sampler.survival=true", "seed=2")
    killed_and_resumed(search, cut, 25)


def test_a_killed_sweep_of_gp_goes_on_but_for_the_last_digits() -> None:
    """Its linear algebra is not the same to the last bit in every call."""
    killed_and_resumed(read(CRASHES, "sampler=gp", "sampler.startup_trials=4"), 6, 8, rel=1e-4)


def test_the_first_sobol_points_fill_every_part_of_a_range_once() -> None:
    search = read("a = { float = [0, 1] }\nb = { log = [1e-4, 1] }\nc = ['x', 'y']", "sampler=qmc")
    sampler = make_sampler(search)
    draws = [sampler.ask(n) for n in range(32)]
    assert sorted(int(d["a"] * 32) for d in draws) == list(range(32))
    assert sorted(int((4 + math.log10(d["b"])) * 8) for d in draws) == list(range(32))
    assert Counter(d["c"] for d in draws) == {"x": 16, "y": 16}
    other = make_sampler(dataclasses.replace(search, seed=1))
    assert not {d["a"] for d in draws} & {other.ask(n)["a"] for n in range(32)}


def test_a_grid_has_every_combination_once_and_only_what_applies() -> None:
    search = read(
        "kind = ['plain', 'deep']\ndepth = { int = [1, 3], when = { kind = 'deep' } }\nlr = { log = [1e-4, 1] }",
        "sampler=grid", "sampler.points=3",
    )  # fmt: skip
    assert search.trials == 12  # as many as there are, where the file does not say
    sampler = make_sampler(search)
    found = [sampler.ask(n) for n in range(12)]
    wanted = [{"kind": "plain", "lr": lr} for lr in (1e-4, 1e-2, 1.0)] + [
        {"kind": "deep", "depth": depth, "lr": lr} for depth in (1, 2, 3) for lr in (1e-4, 1e-2, 1.0)
    ]

    def key(params: dict[str, Any]) -> tuple[Any, ...]:
        return params["kind"], params.get("depth", 0), round(math.log10(params["lr"]))

    assert sorted(map(key, found)) == sorted(map(key, wanted))
    assert [sampler.ask(n) for n in range(12, 24)] == found  # and again
    assert make_sampler(search).ask(7) == found[7]


@settings(deadline=None)
@given(searches())
def test_grid_points_lie_in_the_space_and_are_distinct(search: Search) -> None:
    search = dataclasses.replace(search, sampler="grid", sampler_options={"points": 2}, seed=0)
    sampler = make_sampler(search)
    points = [sampler.ask(n) for n in range(min(12, len(sampler.points)))]
    for params in points:
        assert list(params) == [h.name for h in search.space if h.applies({**search.fixed, **params})]
        assert all(lies_in(value, search.space[name].distribution) for name, value in params.items())
    assert len({json.dumps(p) for p in points}) == len(points)


def share_of_crashes(search: Search) -> float:
    """Of the trials 20 to 60, where everything with x above 0 crashes and the loss falls towards it."""
    sampler: Sampler = make_sampler(search)
    crashed = 0
    for n in range(60):
        params = sampler.ask(n)
        x = params["x"]
        sampler.tell(ended(n, params, None if x > 0 else -x + 0.1 * params["y"]))
        crashed += x > 0 and n >= 20
    return crashed / 40


def test_a_sampler_that_is_told_of_crashes_runs_into_them_less_often() -> None:
    told, ignored = [], []
    for seed in range(3):
        search = read("x = { float = [-1, 1] }\ny = { float = [0, 1] }", "sampler=tpe", f"seed={seed}")
        told.append(share_of_crashes(search))
        ignored.append(share_of_crashes(dataclasses.replace(search, sampler_options={"failures": "ignore"})))
    assert sum(told) < 0.7 * sum(ignored), (told, ignored)


def test_a_model_of_survival_saves_crashes() -> None:
    without, saved = [], []
    for seed in range(2):
        space = "x = { float = [-1, 1] }\ny = { float = [0, 1] }"
        search = read(space, "sampler=tpe", "sampler.failures=ignore", f"seed={seed}")
        without.append(share_of_crashes(search))
        options = {**search.sampler_options, "survival": True}
        saved.append(share_of_crashes(dataclasses.replace(search, sampler_options=options)))
    assert sum(saved) < 0.6 * sum(without), (saved, without)


def told_values(search: Search, trials: list[Trial]) -> list[tuple[str, float | None]]:
    """What Optuna's own study knows: the public list of its trials."""
    sampler = make_sampler(search, trials)
    return [(t.state.name, t.value) for t in sampler.study.trials]  # type: ignore[attr-defined]


def test_failures_are_told_as_the_worst_so_far_and_wait_until_there_is_one() -> None:
    search = read("x = { float = [0, 10] }", "sampler=tpe")
    x = {"x": 1.0}
    trials = [
        ended(0, x, None),
        ended(1, x, 3.0),
        ended(2, x, 7.0),
        ended(3, x, None),
        ended(4, x, 9.0),
        dataclasses.replace(ended(5, x, 1.0), outcome=Outcome.UNFINISHED, reason=Reason.TIMEOUT),
        dataclasses.replace(ended(6, x, 1.0), outcome=Outcome.UNFINISHED, reason=Reason.STOPPED),
        dataclasses.replace(
            ended(7, x, 1.0), outcome=Outcome.UNFINISHED, reason=Reason.PRUNED, curve=((0, 2.0), (1, 1.0))
        ),
    ]
    worst = [3.0, 3.0, 7.0, 7.0, 9.0, 9.0]
    complete = [("COMPLETE", value) for value in worst]
    assert sorted(told_values(search, trials), key=str) == sorted(
        [*complete, ("FAIL", None), ("PRUNED", None)], key=str
    )
    upward = dataclasses.replace(search, direction="maximize")
    assert [v for s, v in told_values(upward, trials[:4]) if s == "COMPLETE"] == [3.0, 3.0, 7.0, 3.0]
    deaf = dataclasses.replace(search, sampler_options={"failures": "ignore"})
    assert [s for s, _ in told_values(deaf, trials[:4])] == ["FAIL", "COMPLETE", "COMPLETE", "FAIL"]


def test_a_missing_package_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "find_spec", lambda package: None)
    for name, package in (("gp", "torch"), ("cmaes", "cmaes"), ("controller", "torch")):
        with pytest.raises(
            BadSampler, match=rf"{name} needs {package}.*pip install {package}.*or choose one of random"
        ):
            make_sampler(read("a = { float = [0, 1] }", f"sampler={name}"))


@pytest.mark.parametrize("name", ["gp", "cmaes"])
def test_gp_and_cmaes_take_conditions_and_choices(name: str) -> None:
    space = 'x = { float = [-4, 4] }\ny = { float = [-4, 4] }\nkind = ["a", "b"]\n' \
            'z = { int = [1, 4], when = { kind = "b" } }'  # fmt: skip
    search = read(space, f"sampler={name}")
    sampler, losses = make_sampler(search), []
    for n in range(32 if name == "gp" else 80):
        params = sampler.ask(n)
        assert ("z" in params) == (params["kind"] == "b")
        losses.append((params["x"] - 1) ** 2 + (params["y"] + 2) ** 2)
        sampler.tell(ended(n, params, losses[-1]))
    # Optuna draws choices at random for CMA-ES, and learns from the rest.
    assert sorted(losses[-10:])[5] < 0.5 * sorted(losses[:10])[5]


def test_the_controller_learns_conditions_and_what_crashes() -> None:
    space = 'x = { float = [-4, 4] }\nkind = ["a", "b", "c"]\nz = { int = [1, 40], when = { kind = "b" } }'
    late, early = [], []
    for seed in range(3):
        sampler = make_sampler(read(space, "sampler=controller", f"seed={seed}"))
        values = []
        for n in range(90):
            params = sampler.ask(n)
            assert ("z" in params) == (params["kind"] == "b")
            # Only b brings a loss, the better the smaller z is; the rest never starts.
            value = params["z"] + abs(params["x"]) if "z" in params else None
            values.append(50.0 if value is None else value)
            sampler.tell(ended(n, params, value))
        early.append(sum(values[:30]))
        late.append(sum(values[60:]))
    assert sum(late) < 0.75 * sum(early), (early, late)


def test_the_controller_begins_almost_uniform_and_leaves_no_bin_out() -> None:
    sampler = make_sampler(
        read("x = { log = [1e-4, 1] }\nn = { int = [1, 30] }\nc = [1, 2]", "sampler=controller")
    )
    draws = [sampler.ask(n) for n in range(1500)]
    limit = 2.5 / math.sqrt(1500)  # a little above chance's 1.95: its first weights are not zero
    assert distance([1 + math.log10(d["x"]) / 4 for d in draws]) < limit
    assert {d["n"] for d in draws} == set(range(1, 31))


@given(searches())
def test_positions_and_values_are_each_others_inverse(search: Search) -> None:
    for h in search.space:
        for u in (0.0, 0.1, 0.5, 0.77, 1 - 1e-9):
            value = value_at(h.distribution, u)
            assert lies_in(value, h.distribution)
            back = position_of(h.distribution, value)
            assert back is not None and value_at(h.distribution, min(back, 1 - 1e-9)) == pytest.approx(value)
        assert position_of(h.distribution, "no such value") is None
