"""The space of trials whose search nobody wrote down."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuner_tui.search.infer import FEW, MANY, OFTEN, infer, read_value
from tuner_tui.search.space import Choice, Float, Int


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1), ("-3", -3), ("1e-3", 0.001), (" .5 ", 0.5), ("True", True), ("false", False), ("None", "None"),
        ("1_000", "1_000"), ("nan", "nan"), ("inf", "inf"), ("1e999", "1e999"), ("", ""), ("adam", "adam"),
        ("[1, 2]", "[1, 2]"), ("٣", "٣"), ("1" * 30, 1e30 / 9),
    ],
)  # fmt: skip
def test_a_value_that_was_written_as_text(text, value):
    read = read_value(text)
    assert read == (pytest.approx(value) if len(text) == 30 else value)
    assert type(read) is type(value)


def space(*values):
    return infer([{} if value is None else {"x": value} for value in values]).space


@pytest.mark.parametrize(
    ("values", "distribution"),
    [
        ([0.1, 0.5, 1], Float(0.1, 1.0)),
        ([1e-4, 0.5, 1.0], Float(1e-4, 1.0, log=True)),
        ([0.0, 0.5, 1000.0], Float(0.0, 1000.0)),
        ([0.01, 1.0], Float(0.01, 1.0)),  # 100 times: not more
        ([1, 2, 300], Int(1, 300, log=True)),
        ([-5, 2], Int(-5, 2)),
        ([32, 16] * OFTEN, Choice((16, 32))),
        (["b", "a", "b"], Choice(("b", "a"))),
        ([True, False], Choice((True, False))),
        ([1, True], Choice((1, True))),
        ([1, "auto", 2], Choice((1, "auto", 2))),
        (list(range(FEW + 1)) * OFTEN, Int(0, FEW)),
    ],
)
def test_the_kind_of_a_hyperparameter(values, distribution):
    [found] = space(*values)
    assert found.distribution == distribution
    assert repr(found.distribution) == repr(distribution)  # 1 is not True


def test_what_never_changes_is_fixed_and_names_are_left_out():
    trials = [{"epochs": 5, "path": f"/data/{n}", "seed": n} for n in range(MANY + 1)]
    found = infer(trials)
    assert found.fixed == {"epochs": 5} and found.space.names == ("seed",)


def test_what_is_missing_depends_on_the_choice_that_decides_it():
    trials = [
        {"kind": "conv", "opt": "a", "depth": 3}, {"kind": "mlp", "opt": "a"},
        {"kind": "conv", "opt": "b", "depth": 5}, {"kind": "mlp", "opt": "b"}, {"kind": "rnn", "opt": "a"},
    ]  # fmt: skip
    depth = infer(trials).space["depth"]
    assert depth.when == (("kind", ("conv",)),)
    assert infer([*trials, {"kind": "conv", "opt": "a"}]).space["depth"].when == ()  # nothing decides it


VALUES = st.one_of(
    st.integers(-9, 10**6), st.floats(allow_nan=False, allow_infinity=False), st.booleans(), st.text()
)


@given(st.lists(st.dictionaries(st.sampled_from("abcd"), VALUES), max_size=30))
def test_every_trial_lies_in_the_space_inferred_from_it(trials):
    found = infer(trials)
    assert not found.fixed.keys() & set(found.space.names)
    for params in trials:
        assert found.fixed.items() <= params.items()
        for h in found.space:
            if h.name not in params:
                continue
            assert h.applies(params)
            match h.distribution:
                case Choice(options):
                    assert params[h.name] in options
                case Float(low, high) | Int(low, high):
                    assert low <= params[h.name] <= high
