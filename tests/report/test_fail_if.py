"""`--fail-if` and the exit code of a headless sweep."""

from __future__ import annotations

import math
from dataclasses import replace

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

from tuner_tui.analysis.quantities import COUNTS, STATISTICS, VALUES, Quantity
from tuner_tui.report import exit_codes
from tuner_tui.report.exit_codes import exit_code
from tuner_tui.report.fail_if import OPERATORS, Condition, Verdict, parse_condition
from tuner_tui.study.outcomes import Outcome, Reason
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
        ("best > fast", "must be a number, or a calculation (+ - * /) with `baseline`"),
        ("best > 0.5 and no_start > 3", "must be a number, or a calculation"),
        ("best > nan", "must be a number, or a calculation"),
        ("best > baseline ** 9", "must be a number, or a calculation"),
        ("best > baseline * True", "must be a number, or a calculation"),
        ("best > " + "1 + " * 99 + "1", "longer than 200 characters"),
        ("best > 1 / 0", "it divides by 0"),
        ("0.5 < best", "must be a quantity, an operator and a number"),
        ("bset > 0.5", 'did you mean best? For a metric of that name write it in quotes: "bset"'),
        ("mode(acc) > 0.5", "'mode' is none of min, max, mean, median, std"),
        ("max(best) > 0.5", "best is one number already; write best alone"),
        ('"best" > 0.5', "a metric can't be called best"),
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


METRIC = st.text(st.characters(exclude_characters='"'), min_size=1).filter(
    lambda name: name not in (*VALUES, *COUNTS, "seconds")
)
QUANTITIES = (
    st.builds(Quantity, st.sampled_from((*VALUES, *COUNTS, "seconds")))
    | st.builds(Quantity, METRIC)
    | st.builds(Quantity, METRIC | st.just("seconds"), st.sampled_from(sorted(STATISTICS)))
)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False).map(repr)
LIMITS = NUMBERS | st.builds("baseline {} {}".format, st.sampled_from("+-*"), st.floats(0, 9).map(repr))


@given(
    st.builds(Condition, QUANTITIES, st.sampled_from(sorted(OPERATORS)), LIMITS)
    | st.builds(Condition, st.builds(Quantity, st.sampled_from(COUNTS)), st.sampled_from(sorted(OPERATORS)),
                st.floats(0, 100).map(repr), st.just(True))
)  # fmt: skip
def test_a_condition_reads_as_it_is_written(condition):
    assert parse_condition(str(condition)) == condition


def measured(values: dict[int, dict[str, float]], reasons: dict[int, Reason] | None = None) -> Snapshot:
    """Trials that measured more than their loss: trial -> last readings."""
    made = [Made({}, (readings["loss"],), (reasons or {}).get(n)) for n, readings in values.items()]
    snapshot = study_of(SMALL_SPACE, made, objective="loss")
    trials = {n: replace(trial, latest=values[n]) for n, trial in snapshot.trials.items()}
    return replace(snapshot, trials=trials)


THREE = {
    0: {"loss": 2.0, "valid/acc": 0.7, "time": 1.0},
    1: {"loss": 1.0, "valid/acc": 0.9},
    2: {"loss": 0.5, "valid/acc": 0.99},  # does not finish
}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("valid/acc < 0.95", "valid/acc < 0.95 holds: valid/acc is 0.9 in the best trial (1)"),
        ("min(valid/acc) < 0.7", "does not hold: the min of valid/acc over 2 finished trials is 0.7"),
        ("mean(valid/acc) == 0.8", "holds: the mean of valid/acc over 2 finished trials is 0.8"),
        ('max("time") > 0', "holds: the max of time over 1 finished trials is 1"),
        ("std > 0.4", "holds: the std of 2 finished trials is 0.5"),
        ("time < 5", "counts as held: the best trial has not measured time; the metrics are loss, time, valid/acc"),
        ("max(speed) < 5", "counts as held: no finished trial measured speed; the metrics are loss, time"),
    ],
)  # fmt: skip
def test_any_metric_of_the_best_trial_or_over_all(text, sentence):
    verdict = parse_condition(text).holds(measured(THREE, {2: Reason.TIMEOUT}))
    assert sentence in verdict.sentence
    assert verdict.holds is ("does not hold" not in sentence)


def test_a_metric_that_is_not_a_number_counts_as_held():
    """Every comparison with nan is false: the job would pass."""
    broken = measured({0: THREE[0] | {"valid/acc": math.nan}, 1: THREE[0] | {"loss": 3.0}})
    for text in ("valid/acc < 0.5", "max(valid/acc) > 5", "min(valid/acc) < 0"):
        verdict = parse_condition(text).holds(broken)
        assert verdict.holds and "counts as held" in verdict.sentence and "nan" in verdict.sentence


def test_seconds_of_the_study_and_of_its_trials():
    snapshot = small_snapshot()
    last = max(t.ended_at or t.measured_at or t.started_at for t in snapshot.trials.values())
    took = last - (snapshot.opened_at or 0)
    assert f"the study took {took:.10g} s" in parse_condition("seconds > 1").holds(snapshot).sentence
    slowest = max(t.seconds(0) for t in snapshot.trials.values() if t.outcome is Outcome.FINISHED)
    assert of(f"max(seconds) == {slowest}", snapshot)


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("best > baseline", False), ("best >= baseline", True), ("best > baseline * 0.99", True),
        ("best > baseline * 1.02", False), ("best > baseline + 0.1", False), ("best > 2 * (baseline - 1)", True),
        ("valid/acc < baseline", False), ("median(valid/acc) < baseline * 0.99", False),
        ("finished < baseline", False), ("best > 1 / (baseline - 1)", True), ("speed > baseline", True),
    ],
)  # fmt: skip
def test_a_baseline_is_the_same_quantity_of_another_study(text, holds):
    condition = parse_condition(text)
    assert condition.needs_baseline
    before = measured({0: {"loss": 0.5, "valid/acc": 0.9}, 1: {"loss": 1.0}, 2: {"loss": 2.0}})
    verdict = condition.holds(measured(THREE), before)
    best = "best" in text and "1 / " not in text
    assert verdict.holds is holds, verdict.sentence
    assert not best or "the best is 0.5 (trial 2); the baseline is 0.5" in verdict.sentence


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
