"""One snapshot through the screen and every report: each number, count, estimate and name is the same."""

from __future__ import annotations

import io

from support import studies
from support.room import NOW

from tuner_tui.analysis.pace import remaining
from tuner_tui.report.progress import Printer
from tuner_tui.report.text import summary
from tuner_tui.study.outcomes import Reason
from tuner_tui.study.snapshot import Snapshot
from tuner_tui.view.words import duration, number


def stopped_by_hand() -> Snapshot:
    """Ten trials have ended, five of them because a person stopped them early; ninety wait."""
    made = [studies.Made({"lr": 0.01 * n, "width": 123456.7}, (0.5,) * 6) for n in range(1, 6)]
    made += [studies.Made({"lr": 0.1 * n, "width": 64.0}, (0.6,), Reason.STOPPED) for n in range(1, 6)]
    return studies.study_of(studies.SMALL_SPACE, made, planned=100, closed=False)


def test_headless_and_screen_give_one_estimate():
    snapshot = stopped_by_hand()
    left = remaining(snapshot, NOW)
    assert left is not None
    out = io.StringIO()
    printer = Printer(out, live=True, color=False, clock=lambda: NOW)
    printer.update(snapshot)
    assert f"ETA {duration(left)}" in out.getvalue()


def test_reports_and_words_write_one_number():
    snapshot = stopped_by_hand()
    text = summary(snapshot, width=200, color=False)
    assert number(123456.7) == "1.235e5" and "1.235e5" in text and "123457" not in text
