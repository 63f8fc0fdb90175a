"""A learning-rate finder's curve: what is read off it is where it was put, and its picture is of exact size."""

from __future__ import annotations

import math

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from support import studies
from support.questions import opened, question

from tuner_tui.analysis.rate import RateCurve, rate_curve
from tuner_tui.search.search import RATE_FINDER, finder_search
from tuner_tui.search.space import Float, Hyperparameter, Space
from tuner_tui.study.events import TrialMeasured, TrialStarted
from tuner_tui.study.snapshot import Snapshot, fold_all
from tuner_tui.view.page import as_text
from tuner_tui.view.rate import rate_panel, rate_words

rates = st.floats(1e-8, 1e3)
losses = st.floats(allow_nan=True, allow_infinity=True)
curves = st.builds(
    lambda readings, suggested: RateCurve(tuple(sorted(readings, key=lambda r: r[0])), suggested),
    st.lists(st.tuples(rates, losses), max_size=80),
    st.none() | rates,
)


def curve(**options) -> RateCurve:
    found = rate_curve(fold_all(Snapshot(), studies.finder_events(**options)))
    assert found is not None
    return found


@pytest.mark.parametrize("noise", [0.0, 0.05])
def test_what_is_read_off_is_where_it_was_put(noise):
    found = curve(noise=noise)
    grid = [1e-5 * 1.01**k for k in range(1200)]
    lowest = min((rate for rate in grid if rate < 1), key=studies.finder_loss)
    assert len(found.readings) == 120 and found.suggested == 3.2e-3
    assert math.isclose(found.lowest, lowest, rel_tol=0.35)
    assert 1e-3 < found.steepest < 1e-2
    assert lowest < found.diverges < 0.15 and studies.finder_loss(found.diverges) > 0.6
    assert found.range == pytest.approx((3.2e-4, 1.6e-2))


def test_nan_is_divergence_and_ends_the_range():
    falling = tuple((10.0**-k, 1.0 + k) for k in range(6, 1, -1))
    found = RateCurve((*falling, (0.03, math.nan)), suggested=0.01)
    assert (found.lowest, found.diverges, found.range) == (0.01, 0.03, (0.001, 0.03))


def test_a_loss_that_only_rises_says_so():
    found = RateCurve(tuple((10.0**k, 3.0 + k) for k in range(-3, 3)))
    assert (found.lowest, found.steepest, found.diverges) == (None, None, None)
    assert rate_words(found, "lr") == "the finder suggests no rate (the loss never falls)"


def test_the_sentence_can_be_copied_into_a_search():
    from tuner_tui.search.file import parse_search

    words = rate_words(curve(noise=0.0), "opt.lr")
    assert words.startswith("suggested lr 0.0032 (the loss falls steepest at ")
    line = words.partition("in the search: ")[2]
    search = parse_search(f'target = "a:b"\n[space]\n{line}\n', "a.toml")
    assert (search.space["opt.lr"].distribution.low, search.space["opt.lr"].distribution.high) == (
        3.2e-4,
        0.016,
    )


@pytest.mark.parametrize(
    ("names", "name"),
    [(["lr"], "lr"), (["a.lr"], '"a.lr"'), (["learning_rate"], "learning_rate"), (["blr"], "lr"), ([], "lr")],
)
def test_the_rate_has_the_name_of_the_search(names, name):
    space = Space(tuple(Hyperparameter(name, Float(0.1, 1.0)) for name in names))
    finder = finder_search(question(space=space, finder="m:find"))
    assert f"in the search: {name} = {{" in rate_words(curve(noise=0.0), finder.rate)


@settings(max_examples=150, deadline=None)
@given(curves, st.integers(1, 100), st.integers(1, 30), st.booleans())
@example(RateCurve(((1.0, 0.0), (1.0, -1.0), (1.0, 0.0))), 30, 9, False)  # a rate that does not rise
def test_any_curve_at_any_size_fills_its_panel_exactly(found, width, height, color):
    lines = rate_panel(found, width, height, color=color)
    assert [sum(cell_len(run.text) for run in line) for line in lines] == [width] * height
    assert color or all(run.style == "" for line in lines for run in line)
    rate_words(found, "lr")
    if found.diverges is not None:
        assert found.lowest < found.diverges
    if found.range is not None:
        assert found.range[0] < found.suggested <= found.range[1]


def test_the_suggested_rate_is_a_line_and_the_divergence_leaves_through_the_top():
    lines = as_text(rate_panel(curve(noise=0.0), 80, 18), color=False).splitlines()
    columns = {line.index("┊") for line in lines if "┊" in line}
    assert len(columns) == 1
    right = [[i for i, letter in enumerate(line) if 0x2800 < ord(letter) < 0x2900] for line in lines]
    drawn = [columns[-1] for columns in right if columns]
    assert drawn[0] == max(drawn)  # it leaves at the top ...
    assert not [column for column in right[1] if column > drawn[0]]  # ... and does not run along it


def test_other_trials_and_odd_rates_are_passed_over():
    values = [
        {"lr": 0.0, "loss": 1.0}, {"lr": math.nan, "loss": 1.0}, {"loss": 1.0}, {"lr": 0.1},
        {"lr": 0.1, "loss": 2.0}, {"lr/suggested": math.inf},
    ]  # fmt: skip
    events = [TrialMeasured(1.0 + i, 0, i, value) for i, value in enumerate(values)]
    events.append(TrialMeasured(9.0, 1, 0, {"lr": 0.2, "loss": 9.0}))
    begun = [opened(0.0, kind=RATE_FINDER, trials=2), *(TrialStarted(0.5, n, {}, 0) for n in range(2))]
    assert rate_curve(fold_all(Snapshot(), [*begun, *events])) == RateCurve(((0.1, 2.0),), None)
    assert rate_curve(studies.small_snapshot()) is None
