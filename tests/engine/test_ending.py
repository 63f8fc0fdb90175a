"""The judgement on an ended trial, as a table: every combination of what was seen."""

from __future__ import annotations

import math

import pytest

from tuner_tui.engine.ending import Watched, ending, measured
from tuner_tui.engine.launcher import Exited
from tuner_tui.study.outcomes import Outcome, Reason

RETURNED = {"end": "returned"}
RAISED = {"end": "raised", "type": "ValueError", "message": "no", "where": "t.py:3", "memory": False}
DIVERGED = RAISED | {"type": "Diverged", "diverged": True}


@pytest.mark.parametrize(
    ("losses", "word", "code", "cause", "stopping", "outcome", "reason", "sentence"),
    [
        ([1.0], RETURNED, 0, "", None, Outcome.FINISHED, None, ""),
        ([], RETURNED, 0, "", None, Outcome.NO_START, Reason.EXIT, "without ever reporting 'loss'"),
        ([1.0, math.nan], RETURNED, 0, "", None, Outcome.UNFINISHED, Reason.DIVERGED, "became nan at step 1"),
        ([math.inf], RETURNED, 0, "", None, Outcome.NO_START, Reason.DIVERGED, "became inf at step 0"),
        ([math.inf, 2.0], RETURNED, 0, "", None, Outcome.FINISHED, None, ""),
        ([1.0], RAISED, 1, "", None, Outcome.UNFINISHED, Reason.EXCEPTION, "ValueError: no (t.py:3)"),
        ([], RAISED, 1, "", None, Outcome.NO_START, Reason.EXCEPTION, "ValueError: no (t.py:3)"),
        ([1.0], RAISED | {"memory": True}, 1, "", None, Outcome.UNFINISHED, Reason.OUT_OF_MEMORY, "no"),
        ([1.0], DIVERGED, 1, "", None, Outcome.UNFINISHED, Reason.DIVERGED, "no"),
        ([], DIVERGED, 1, "", None, Outcome.NO_START, Reason.DIVERGED, "no"),
        ([1.0], DIVERGED, 1, "", Reason.TIMEOUT, Outcome.UNFINISHED, Reason.TIMEOUT, "because"),
        ([1.0], {"end": "exit", "code": 3}, 3, "", None, Outcome.UNFINISHED, Reason.EXIT, "exit code 3"),
        ([1.0], {"end": "exit", "code": 0}, 0, "", None, Outcome.FINISHED, None, ""),
        ([1.0], None, 5, "", None, Outcome.UNFINISHED, Reason.EXIT, "exit code 5 without a last word"),
        ([], None, -11, "", None, Outcome.NO_START, Reason.SIGNAL, "SIGSEGV (segmentation fault)"),
        ([1.0], None, -9, "out_of_memory", None, Outcome.UNFINISHED, Reason.OUT_OF_MEMORY, "out of memory"),
        ([], None, None, "launch", None, Outcome.NO_START, Reason.EXIT, "no process"),
        ([1.0], None, None, "", None, Outcome.UNFINISHED, Reason.EXIT, "vanished"),
        ([1.0], None, -9, "", Reason.TIMEOUT, Outcome.UNFINISHED, Reason.TIMEOUT, "because"),
        ([], {"end": "stopped"}, 0, "", Reason.SILENT, Outcome.NO_START, Reason.SILENT, "because"),
        ([1.0], RAISED, 1, "", Reason.STOPPED, Outcome.UNFINISHED, Reason.STOPPED, "because"),
        ([1.0], RETURNED, 0, "", Reason.TIMEOUT, Outcome.UNFINISHED, Reason.TIMEOUT, "because"),
        (
            [1.0],
            {"end": "exit", "code": 0},
            0,
            "",
            Reason.STOPPED,
            Outcome.UNFINISHED,
            Reason.STOPPED,
            "because",
        ),
        ([1.0, math.nan, 2.0], RETURNED, 0, "", None, Outcome.UNFINISHED, Reason.DIVERGED, "nan at step 1"),
        ([1.0, math.nan], RAISED, 1, "", None, Outcome.UNFINISHED, Reason.DIVERGED, "nan at step 1"),
        ([math.nan], None, -11, "", None, Outcome.NO_START, Reason.DIVERGED, "nan at step 0"),
        ([1.0], None, -40, "", None, Outcome.UNFINISHED, Reason.SIGNAL, "signal 40"),
    ],
)
def test_every_end_has_its_name(losses, word, code, cause, stopping, outcome, reason, sentence):
    watched = Watched(started=0.0, heard=0.0)
    for step, loss in enumerate(losses):
        measured(watched, step, {"loss": loss}, "loss", now=1.0)
    watched.last_word = word
    watched.stopping = (stopping, "because") if stopping else None
    exited = Exited(0, 1.0, code, cause, "no process")
    got_outcome, got_reason, got_sentence = ending(watched, exited, "loss")
    assert (got_outcome, got_reason) == (outcome, reason)
    assert sentence in got_sentence if sentence else got_sentence == ""
