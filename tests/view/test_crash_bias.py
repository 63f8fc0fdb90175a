"""The sentences about failed trials, word for word."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from support.snapshot_strategies import snapshots

from tuner_tui.analysis.crash_bias import Bias, CrashBias, FailureBias, Region, Side, Verdict, crash_bias
from tuner_tui.study.outcomes import Outcome
from tuner_tui.study.snapshot import Snapshot
from tuner_tui.view.crash_bias import condition, mark, sentence, sentences

DEPTH = Bias(
    "convnet.depth", Verdict.BIASED, failed=12, trials=100, p=0.0002, corrected=0.00213,
    region=Region(Side.ABOVE, 140, failed=9, trials=31), noticeable=11,
)  # fmt: skip
WIDTH = replace(DEPTH, name="width", verdict=Verdict.EVEN, p=0.4, corrected=0.6)
RADIUS = replace(WIDTH, name="radius", verdict=Verdict.TOO_FEW, noticeable=None)


def test_a_bias_is_told_in_counts() -> None:
    assert sentence(DEPTH, Outcome.NO_START) == (
        "never started: 9 of 12 trials have convnet.depth > 140; 31 % of all trials do (p = 0.002 after correction)"
    )
    assert sentence(replace(DEPTH, corrected=1e-9), Outcome.UNFINISHED) == (
        "unfinished: 9 of 12 trials have convnet.depth > 140; 31 % of all trials do (p < 0.001 after correction)"
    )


def test_no_sign_of_bias_says_what_would_have_shown() -> None:
    assert sentence(WIDTH, Outcome.NO_START) == (
        "no sign of bias: the 12 trials that never started are spread over width like the rest; "
        "11 of them in one half would have shown"
    )
    kind = replace(WIDTH, name="kind", region=Region(Side.IS, "conv", 7, 50))
    assert sentence(kind, Outcome.UNFINISHED) == (
        "no sign of bias: the 12 trials that ended unfinished are spread over kind like the rest; "
        "11 of them on one option would have shown"
    )


def test_too_few_is_said_as_such() -> None:
    few = replace(RADIUS, failed=2)
    assert sentence(few, Outcome.NO_START) == "too few to say: 2 trials never started"
    assert sentence(replace(few, failed=1), Outcome.UNFINISHED) == "too few to say: 1 trial ended unfinished"
    all_failed = replace(few, failed=7, trials=7, region=None)
    assert sentence(all_failed, Outcome.NO_START) == "too few to say: all trials with radius never started"


@pytest.mark.parametrize(
    ("region", "words"),
    [
        (Region(Side.ABOVE, 140, 1, 1), "> 140"),
        (Region(Side.ABOVE, 12346, 1, 1), "> 12346"),
        (Region(Side.BELOW, 0.001, 1, 1), "< 0.001"),
        (Region(Side.BELOW, 2.43e-05, 1, 1), "< 2.43e-5"),
        (Region(Side.ABOVE, 3.0, 1, 1), "> 3"),
        (Region(Side.ABOVE, 0.598412, 1, 1), "> 0.598412"),
        (Region(Side.IS, "conv", 1, 1), "= conv"),
        (Region(Side.IS, True, 1, 1), "= true"),
        (Region(Side.IS, (1, 2), 1, 1), "= [1, 2]"),
    ],
)
def test_a_region_as_a_condition(region: Region, words: str) -> None:
    assert condition(region) == words


def test_a_mark_shows_the_side_and_only_a_bias_has_one() -> None:
    below, option = Region(Side.BELOW, 3, 9, 31), Region(Side.IS, "conv", 9, 31)
    assert mark(DEPTH) == "▸"
    assert mark(replace(DEPTH, region=below)) == "◂"
    assert mark(replace(DEPTH, region=option)) == "!"
    assert [mark(WIDTH), mark(RADIUS), mark(None)] == ["", "", ""]


def test_the_whole_finding() -> None:
    never = FailureBias(Outcome.NO_START, 12, 100, (DEPTH, WIDTH, RADIUS))
    calm = FailureBias(Outcome.UNFINISHED, 12, 88, (WIDTH, replace(WIDTH, name="lr"), RADIUS))
    assert sentences(CrashBias(never, calm)) == [
        sentence(DEPTH, Outcome.NO_START),
        "no sign of bias: the 12 trials that ended unfinished are spread like the rest over 2 hyperparameters; "
        "too few to say of 1 more",
    ]
    few = FailureBias(Outcome.NO_START, 2, 100, (RADIUS,))
    assert sentences(CrashBias(few, replace(calm, failed=0))) == ["too few to say: 2 trials never started"]
    every = FailureBias(Outcome.NO_START, 40, 40, (RADIUS,))
    assert sentences(CrashBias(every, replace(calm, failed=0))) == [
        "too few to say: no trial is left to compare the 40 trials that never started with"
    ]


@settings(deadline=None, max_examples=100)
@given(snapshots)
def test_any_snapshot_can_be_told(snapshot: Snapshot) -> None:
    found = crash_bias(snapshot)
    assert all(sentences(found)) or not sentences(found)
    assert all(sentence(bias, kind.outcome) for kind in found.kinds for bias in kind.hyperparameters)
