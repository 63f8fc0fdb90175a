"""Events survive the trip through a line of JSON, and a line that is no event is refused in one way only."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.search_strategies import searches

from tuner_tui.record.plan import mlflow_status
from tuner_tui.study.events import (
    Event,
    StudyAsked,
    StudyChanged,
    StudyClosed,
    StudyOpened,
    TrialConfirmed,
    TrialEnded,
    TrialMeasured,
    TrialStarted,
    decode,
    encode,
)
from tuner_tui.study.outcomes import Outcome, Reason, judge

times = st.floats(0, 4e9)
numbers = st.integers(0, 10**6)
finite = st.floats(allow_nan=False, allow_infinity=False)
params = st.dictionaries(
    st.text(), st.one_of(st.booleans(), st.integers(), finite, st.text(), st.lists(st.integers()))
)
# math.nan itself, so that == holds for the object where it does not hold for the number.
readings = st.one_of(finite, st.just(math.nan), st.sampled_from([math.inf, -math.inf]))
events: st.SearchStrategy[Event] = st.one_of(
    st.builds(
        StudyOpened, times, st.text(), searches(), numbers, host=st.text(), resumed=st.booleans(),
        format=numbers, git_commit=st.none() | st.text(min_size=1), versions=st.dictionaries(st.text(), st.text()),
    ),
    st.builds(StudyAsked, times, st.text(), searches()),
    st.builds(
        TrialStarted, times, numbers, params, numbers, pid=st.none() | numbers,
        process_started=st.none() | times,
    ),
    st.builds(TrialMeasured, times, numbers, numbers, st.dictionaries(st.text(), readings)),
    st.builds(
        TrialEnded, times, numbers, st.sampled_from(Outcome), st.none() | st.sampled_from([*Reason, "preempted"]),
        message=st.text(), exit_code=st.none() | st.integers(-64, 255),
    ),
    st.builds(
        StudyChanged, times, trials=st.none() | numbers, paused=st.none() | st.booleans(),
        stopping=st.none() | st.booleans(),
    ),
    st.builds(
        TrialConfirmed, times, numbers, st.text(), numbers, st.lists(finite).map(tuple),
    ),
    st.builds(StudyClosed, times, st.text(), st.text()),
)  # fmt: skip


@given(events)
def test_an_event_comes_back_from_its_line_as_it_was(event: Event) -> None:
    line = encode(event)
    assert "\n" not in line and "\r" not in line
    assert decode(line) == event


@given(events)
def test_a_line_is_json_that_any_reader_takes(event: Event) -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    json.loads(encode(event), parse_constant=refuse)


def test_not_a_number_and_both_infinities_come_back_as_themselves() -> None:
    event = TrialMeasured(1.0, 0, 3, {"a": math.nan, "b": math.inf, "c": -math.inf})
    back = decode(encode(event))
    assert isinstance(back, TrialMeasured)
    assert math.isnan(back.values["a"]) and back.values["b"] == math.inf and back.values["c"] == -math.inf


def test_half_a_character_in_a_message_does_not_stop_the_journal() -> None:
    line = encode(TrialEnded(1.0, 0, Outcome.NO_START, Reason.EXCEPTION, message="bad byte \udcff"))
    line.encode()  # would raise, and take the engine along
    back = decode(line)
    assert isinstance(back, TrialEnded) and back.message.startswith("bad byte ")


def test_what_a_newer_version_wrote_is_passed_over() -> None:
    assert decode('{"event": "trial_promoted", "at": 1, "trial": 2}') is None
    newer = decode('{"event": "study_closed", "at": 1, "why": "completed", "mood": "good"}')
    assert newer == StudyClosed(1, "completed")


any_json = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@given(events, st.data())
def test_a_damaged_event_is_a_value_error_or_an_event_and_nothing_else(event: Event, data) -> None:
    record: dict[str, Any] = json.loads(encode(event))
    key = data.draw(st.sampled_from(sorted(record)))
    if data.draw(st.booleans()):
        del record[key]
    else:
        record[key] = data.draw(any_json)
    try:
        back = decode(json.dumps(record))
    except ValueError:
        return
    assert back is None or isinstance(back.at, int | float)


@pytest.mark.parametrize(
    "line",
    [
        "", "{", "3", "null", "[]", '"x"', "{}", '{"event": []}', "[" * 100_000, "\x00\x00",
        '{"event":"trial_measured","at":1,"trial":0,"step":0,"values":{"loss":"minus"}}',
        '{"event":"trial_measured","at":1,"trial":0,"step":0,"values":[1]}',
        '{"event":"trial_started","at":1,"trial":"0","params":{},"seed":0}',
        '{"event":"trial_started","at":1,"trial":true,"params":{},"seed":0}',
        '{"event":"trial_ended","at":1,"trial":0,"outcome":[]}',
        '{"event":"trial_ended","at":"now","trial":0,"outcome":"finished"}',
    ],
)  # fmt: skip
def test_no_event_at_all(line: str) -> None:
    with pytest.raises(ValueError):
        decode(line)


def test_an_end_whose_reason_or_outcome_only_a_newer_version_knows_is_an_end() -> None:
    newer = decode('{"event":"trial_ended","at":1,"trial":0,"outcome":"unfinished","reason":"preempted"}')
    assert newer == TrialEnded(1, 0, Outcome.UNFINISHED, "preempted")
    assert decode(encode(newer)) == newer
    doubtful = decode('{"event":"trial_ended","at":1,"trial":0,"outcome":"splendid"}')
    assert doubtful == TrialEnded(1, 0, Outcome.UNFINISHED)  # never a reliable result


def test_a_study_opened_by_version_0_1_0_is_read() -> None:
    old = decode(
        '{"event":"study_opened","at":1,"study":"s-1","search":{"name":"s","target":"m:f","space":[]},'
        '"objective":"error","direction":"maximize","trials":7,"seed":3,"pid":9}'
    )
    assert isinstance(old, StudyOpened)
    asked = old.search
    assert (asked.objective, asked.direction, asked.trials, asked.seed) == ("error", "maximize", 7, 3)


def test_the_three_ends_and_what_mlflow_is_told() -> None:
    assert judge(None, has_finite_loss=True) is Outcome.FINISHED
    assert judge(Reason.SIGNAL, has_finite_loss=True) is Outcome.UNFINISHED
    assert judge(Reason.SIGNAL, has_finite_loss=False) is Outcome.NO_START
    assert judge(None, has_finite_loss=False) is Outcome.NO_START  # it said goodbye without a loss

    assert mlflow_status(Outcome.FINISHED, None) == "FINISHED"
    assert mlflow_status(Outcome.UNFINISHED, Reason.EXCEPTION) == "FAILED"
    assert mlflow_status(Outcome.UNFINISHED, Reason.STOPPED) == "KILLED"
    assert mlflow_status(Outcome.NO_START, Reason.STOPPED) == "FAILED"
