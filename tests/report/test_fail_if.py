"""`--fail-if` and the exit code of a headless sweep."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.studies import (
    SMALL_SPACE,
    Made,
    empty_snapshot,
    never_started_snapshot,
    small_snapshot,
    study_of,
)

from tuner_tui.report import exit_codes
from tuner_tui.report.exit_codes import exit_code
from tuner_tui.report.fail_if import COUNTS, OPERATORS, VALUES, Condition, Verdict, parse_condition
from tuner_tui.study.outcomes import Reason
from tuner_tui.study.snapshot import Snapshot


def of(text: str, snapshot: Snapshot) -> bool:
    return parse_condition(text).holds(snapshot).holds


def ten(direction: str = "minimize") -> Snapshot:
    """Finished at 1, 2, 3, 4, 5; two unfinished, one of them better than all; three never started."""
    made = [Made({}, (float(value),)) for value in (3, 1, 5, 2, 4)]
    made += [Made({}, (0.1,), Reason.TIMEOUT), Made({}, (9.0,), Reason.SIGNAL)]
    made += [Made({}, (), Reason.EXIT)] * 3
    return study_of(SMALL_SPACE, made, direction=direction)


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("best > 0.5", True), ("best > 1", False), ("best >= 1", True), ("best==1", True), ("best != 1", False),
        ("  best<=1e0 ", True), ("best < -1", False), ("best < .5", False), ("best>+0.5", True),
        ("worst > 4.9", True), ("worst > 5", False), ("median == 3", True), ("median < 3", False),
        ("finished < 10", True), ("finished < 5", False), ("finished <= 5", True),
        ("unfinished >= 3", False), ("unfinished >= 2", True), ("no_start == 3", True), ("failed != 5", False),
        ("no_start > 20%", True), ("no_start > 30%", False), ("no_start >= 30 %", True),
        ("failed > 49.9%", True), ("failed > 50%", False), ("finished < 50%", False), ("finished <= 50%", True),
    ],
)  # fmt: skip
def test_conditions_on_ten_trials(text, holds):
    assert of(text, ten()) is holds


@pytest.mark.parametrize(
    ("text", "holds"), [("best == 5", True), ("worst == 1", True), ("median == 3", True)]
)
def test_when_larger_is_better_best_is_the_largest(text, holds):
    assert of(text, ten("maximize")) is holds


def test_a_share_is_of_the_ended_trials_not_of_the_planned():
    assert small_snapshot().counts.ended == 21  # of 30 planned, 2 running
    assert of("no_start > 14%", small_snapshot()) and not of("no_start > 14.3%", small_snapshot())


def test_a_share_is_compared_as_it_is_written():
    """In floating point neither 161 / 250 nor 100 * 161 against 64.4 * 250 comes out equal."""
    made = [Made({}, (), Reason.EXIT)] * 161 + [Made({}, (1.0,))] * 89
    assert of("no_start == 64.4%", study_of(SMALL_SPACE, made))


def test_a_third_is_never_a_decimal():
    snapshot = study_of(SMALL_SPACE, [Made({}, (1.0,)), Made({}, (1.0,)), Made({}, (), Reason.EXIT)])
    assert of("no_start > 33.333333333333%", snapshot) and not of("no_start > 33.333333333334%", snapshot)


@pytest.mark.parametrize("quantity", VALUES)
@pytest.mark.parametrize("sign", OPERATORS)
def test_without_a_finished_trial_every_condition_on_a_value_holds(quantity, sign):
    verdict = parse_condition(f"{quantity} {sign} 0.5").holds(never_started_snapshot(4))
    assert verdict.holds and verdict.sentence.endswith(f"no trial finished, so there is no {quantity}")


def test_without_an_ended_trial_there_is_no_share_but_there_are_counts():
    verdict = parse_condition("no_start > 20%").holds(empty_snapshot())
    assert verdict.holds and "no trial ended" in verdict.sentence
    assert not of("no_start > 0", empty_snapshot()) and of("finished < 1", empty_snapshot())


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("best>0.5", "best > 0.5 holds: the best is 1 (trial 1)"),
        ("worst > 7", "worst > 7 does not hold: the worst is 5 (trial 2)"),
        ("median > 2.5", "median > 2.5 holds: the median of 5 finished trials is 3"),
        ("failed > 20", "failed > 20 does not hold: 5 of 10 ended trials"),
        ("no_start>20%", "no_start > 20% holds: 3 of 10 ended trials, 30.0%"),
    ],
)
def test_the_verdict_says_what_was_found(text, sentence):
    assert parse_condition(text).holds(ten()).sentence == sentence


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "must be a quantity, an operator and a number"),
        ("best", "must be a quantity, an operator and a number"),
        ("best > fast", "must be a quantity, an operator and a number"),
        ("best > 0.5 and no_start > 3", "must be a quantity, an operator and a number"),
        ("best > nan", "must be a quantity, an operator and a number"),
        ("0.5 < best", "must be a quantity, an operator and a number"),
        ("loss > 0.5", "'loss' is none of best, median, worst, finished, unfinished, no_start, failed"),
        ("best => 0.5", "'=>' is none of >=, <=, ==, !=, >, <"),
        ("best = 0.5", "'=' is none of"),
        ("best > 20%", "a share of the trials can't be compared with best"),
        ("no_start > 120%", "a share lies between 0% and 100%"),
        ("no_start > -1%", "a share lies between 0% and 100%"),
        ("best > 1e999", "its number is too large"),
    ],
)
def test_a_wrong_condition_is_named_with_examples(text, complaint):
    with pytest.raises(ValueError) as caught:
        parse_condition(text)
    message = str(caught.value)
    assert message.startswith(f"--fail-if {text!r}: ") and complaint in message and "'best > 0.5'" in message


@given(st.text() | st.from_regex(r"[a-z_]{0,10} ?[<>=!]{0,2} ?[0-9.e+-]{0,6}%?", fullmatch=True))
def test_any_text_is_a_condition_or_a_value_error(text):
    try:
        condition = parse_condition(text)
    except ValueError:
        return
    assert isinstance(condition.holds(ten()), Verdict)


@given(
    st.builds(Condition, st.sampled_from(VALUES + COUNTS), st.sampled_from(sorted(OPERATORS)),
              st.floats(allow_nan=False, allow_infinity=False))
    | st.builds(Condition, st.sampled_from(COUNTS), st.sampled_from(sorted(OPERATORS)), st.floats(0, 100),
                st.just(True))
)  # fmt: skip
def test_a_condition_reads_as_it_is_written(condition):
    assert parse_condition(str(condition)) == condition


HELD, NOT_HELD = Verdict(True, ""), Verdict(False, "")


@pytest.mark.parametrize(
    ("snapshot", "verdicts", "interrupted", "code"),
    [
        (small_snapshot, [], False, 0),
        (small_snapshot, [NOT_HELD, NOT_HELD], False, 0),
        (small_snapshot, [NOT_HELD, HELD], False, 1),
        (never_started_snapshot, [], False, 3),
        (never_started_snapshot, [HELD], False, 3),
        (empty_snapshot, [], False, 3),
        (small_snapshot, [], True, 130),
        (small_snapshot, [HELD], True, 130),
        (never_started_snapshot, [HELD], True, 130),
    ],
)
def test_interrupted_wins_over_none_finished_over_a_condition(snapshot, verdicts, interrupted, code):
    assert exit_code(snapshot(), verdicts, interrupted) == code


def test_the_codes_are_the_documented_ones():
    names = ("DONE", "CONDITION_HELD", "BAD_INPUT", "NONE_FINISHED", "INTERRUPTED")
    assert [getattr(exit_codes, name) for name in names] == [0, 1, 2, 3, 130]
