"""Filters: what each condition lets through, and what is said of one that can't be read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import studies

from tuner_tui.analysis.filter import (
    FilterError,
    Names,
    completions,
    condition,
    one_of,
    parse,
)
from tuner_tui.study.outcomes import Outcome

SNAPSHOT = studies.seed_snapshot(running=3)
NAMES = Names.of(SNAPSHOT)


def kept(text):
    return set(parse(text, NAMES).narrow(SNAPSHOT).trials)


def those(test):
    return {number for number, trial in SNAPSHOT.trials.items() if test(trial)}


@pytest.mark.parametrize(
    ("text", "test"),
    [
        ("batch_size < 10", lambda t: t.params["batch_size"] < 10),
        ("batch_size in 8..12", lambda t: 8 <= t.params["batch_size"] <= 12),
        ("batch_size not in 8..12", lambda t: not 8 <= t.params["batch_size"] <= 12),
        ("batch_size in (8, 12)", lambda t: t.params["batch_size"] in (8, 12)),
        ("convnet.kind = straight", lambda t: t.params["convnet.kind"] == "straight"),
        ("convnet.kind != straight", lambda t: t.params["convnet.kind"] != "straight"),
        ("convnet.kind ~ RESID", lambda t: "resid" in t.params["convnet.kind"]),
        ("merger.depth > 10", lambda t: t.params.get("merger.depth", 0) > 10),
        ("not merger.depth > 10", lambda t: not t.params.get("merger.depth", 0) > 10),
        ("reader.bidir = true", lambda t: t.params["reader.bidir"] is True),
        ("outcome = no_start", lambda t: t.outcome is Outcome.NO_START),
        ("failed", lambda t: t.outcome in (Outcome.NO_START, Outcome.UNFINISHED)),
        ("running or finished", lambda t: t.outcome in (None, Outcome.FINISHED)),
        ("loss < 1 and batch_size >= 20", lambda t: t.value and t.value < 1 and t.params["batch_size"] >= 20),
        ("loss/valid < 1", lambda t: t.latest.get("loss/valid", 9) < 1),
        ("reason = exception", lambda t: t.reason == "exception"),
        ("message ~ 'shape'", lambda t: "shape" in t.message),
        (
            "failed and (batch_size < 10 or batch_size > 25)",
            lambda t: (
                t.outcome in (Outcome.NO_START, Outcome.UNFINISHED) and not 10 <= t.params["batch_size"] <= 25
            ),
        ),
        ("trial = 7", lambda t: t.number == 7),
    ],
)
def test_a_filter_lets_through_what_it_says(text, test):
    assert kept(text) == those(test) and kept(text)


@pytest.mark.parametrize(
    ("text", "at", "said"),
    [
        ("batchsize < 3", 0, "nothing is called batchsize; did you mean batch_size?"),
        ("failed and lr2 > 3", 11, "nothing is called lr2; the names are"),
        ("batch_size <", 12, "a value is needed here, not the end"),
        ("batch_size", 10, "what of batch_size? compare it"),
        ("batch_size < many", 11, "< compares numbers"),
        ("convnet.kind = straigth", 15, "did you mean straight?"),
        ("outcome = crashed", 10, "it can be finished, unfinished, no_start, running"),
        ("(failed", 0, "this parenthesis is not closed"),
        ("failed running", 7, "'running' is too much"),
        ("failed and", 10, "a name is needed here, not the end"),
        ("batch_size in 3", 15, "in low..high"),
        ("message = 'x", 10, "the quote ' is not closed"),
        ("failed; exit", 6, "';' has no meaning here"),
        ("not " * 60 + "failed", 204, "too many"),
    ],
)
def test_what_cannot_be_read_is_said_with_its_place(text, at, said):
    with pytest.raises(FilterError) as caught:
        parse(text, NAMES)
    assert said in str(caught.value) and caught.value.at == at


def test_a_part_knows_what_it_is_a_part_of():
    part = parse("failed", NAMES).narrow(SNAPSHOT)
    assert part.part_of is SNAPSHOT and part.where == "failed"
    again = parse("batch_size < 10", NAMES).narrow(part)  # another filter takes its place, not a part of it
    assert again.part_of is SNAPSHOT and set(again.trials) == kept("batch_size < 10")


def test_bounds_are_known_where_conditions_are_joined_by_and():
    bounds = parse(
        "batch_size >= 8 and batch_size < 12 and convnet.kind in (straight, straight_residual)", NAMES
    ).bounds
    assert (bounds["batch_size"].low, bounds["batch_size"].high) == (8, 12)
    assert bounds["convnet.kind"].options == ("straight", "straight_residual")
    assert not parse("batch_size < 8 or failed", NAMES).bounds
    assert not parse("not batch_size < 8", NAMES).bounds


@given(st.text(alphabet="abc_ ()<>=!~.,'\"`0123456789eand ornotinlrfailed\\;", max_size=40))
def test_no_text_is_worse_than_wrong(text):
    try:
        found = parse(text, NAMES)
    except FilterError as error:
        assert 0 <= error.at <= len(text)
    else:
        assert (found is None) == (not text.strip())
        if found:
            found.narrow(SNAPSHOT)
    completions(text, NAMES)


names = st.text('abc.-/ "in', min_size=1, max_size=6).filter(
    lambda name: '"' not in name and name.strip() == name
)


@given(names, st.floats(-1e9, 1e9), st.floats(-1e9, 1e9))
def test_a_range_that_was_brushed_can_be_typed(name, a, b):
    low, high = sorted((a, b))
    bounds = parse(condition(name, low, high), Names({name: ()}, ())).bounds[name]
    assert bounds.low == pytest.approx(low, rel=1e-2) and bounds.high == pytest.approx(high, rel=1e-2)


@given(
    names, st.lists(st.one_of(st.booleans(), names, st.integers(0, 99)), min_size=1, max_size=4, unique=True)
)
def test_choices_that_were_brushed_can_be_typed(name, options):
    found = parse(one_of(name, options), Names({name: tuple(options)}, ()))
    assert set(map(str, options)) <= set(map(str, found.bounds[name].options))


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("bat", "batch_size"),
        ("failed and convnet.k", "failed and convnet.kind"),
        ("convnet.kind = straight_r", "convnet.kind = straight_residual"),
        ("out", "outcome"),
        ("failed an", "failed and"),
        ("batch_size ", None),
        ("batch_size < 3", None),
    ],
)
def test_names_and_choices_are_completed(text, first):
    assert next(iter(completions(text, NAMES)), None) == first
