"""Whatever a search or a target calls its own, MLflow gets a name and a value it takes."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tuner_tui.record.names import MAX_PARAM, MAX_TAG, mlflow_name, param_value, renamed, tag_value

ODD = [
    "",
    ".",
    "..",
    "/",
    "a//b",
    "../x",
    "...",
    ".../x",
    "a/./b",
    "/a",
    "a/",
    "loss (valid)",
    "l\nr",
    "ω@1",
    "a\0b",
]
names = st.one_of(
    st.text(), st.sampled_from(ODD), st.text(alphabet="./a\n ", max_size=8), st.text(min_size=240)
)


@settings(deadline=None)  # the first example imports MLflow
@given(names)
def test_mlflow_takes_every_name(name: str) -> None:
    from mlflow.utils.validation import _validate_metric, _validate_param, _validate_tag

    new = mlflow_name(name)
    _validate_metric(new, 1.0, 1, 1)
    _validate_param(new, "x")
    _validate_tag(new, "x")
    assert len(new) <= 250 and "\n" not in new


@given(names, names)
def test_two_names_never_become_one(one: str, other: str) -> None:
    assert (one == other) == (mlflow_name(one) == mlflow_name(other))


@pytest.mark.parametrize("name", ["lr", "convnet.depth", "loss/valid", "a b", "größe", "a:b"])
def test_a_name_mlflow_takes_is_kept(name: str) -> None:
    assert mlflow_name(name) == name and renamed({name: 1}) == {}


def test_a_renamed_name_is_kept_in_a_tag() -> None:
    assert renamed({"loss (valid)": 1}) == {f"tuner.name.{mlflow_name('loss (valid)')}": "loss (valid)"}


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.integers() | st.text(), st.lists))
def test_every_value_is_text_within_the_limits(value: object) -> None:
    for text, limit in ((param_value(value), MAX_PARAM), (tag_value(value), MAX_TAG)):
        assert len(text) <= limit and "\0" not in text
        text.encode()  # no half of a surrogate pair


def test_long_values_are_cut_visibly() -> None:
    assert param_value("x" * 9000) == "x" * 5999 + "…"
    assert (
        param_value([1, "a"]) == '[1, "a"]' and param_value(True) == "True" and param_value(1e-5) == "1e-05"
    )
