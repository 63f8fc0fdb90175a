"""The viewer of a learning-rate finder: a line now and then while the rate rises, the curve at its end, JSON."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TextIO

from ..analysis.rate import RateCurve
from ..sources.source import Files
from ..study.events import encode_number
from ..study.snapshot import Snapshot
from ..study.text import one_line
from ..view.draw import PICTURE_HEIGHT
from ..view.page import as_text
from ..view.rate import rate_panel, rate_words
from ..view.words import number, why
from .atomic import write_text
from .output import Output

A_LINE = 1 / 3  # of a decade: a range of six decades is two dozen lines


class RatePrinter:
    """Prints how far the rate has risen. It never raises for trouble with its stream."""

    def __init__(self, stream: TextIO) -> None:
        self._out = Output(stream)
        self._next = -math.inf  # the logarithm of the rate that is worth a line

    def update(self, snapshot: Snapshot) -> None:
        """Print the readings that are new in the snapshot."""
        for trial in snapshot.trials.values():
            rate, loss = trial.latest.get("lr", 0.0), trial.latest.get(snapshot.objective)
            if loss is None or not 0 < rate < math.inf or math.log10(rate) < self._next:
                continue
            self._next = math.log10(rate) + A_LINE
            self._out.write(f"step {trial.last_step:>6}   lr {number(rate):>9}   loss {number(loss)}\n")

    def note(self, text: str) -> None:
        """Print a message of its own."""
        self._out.write(one_line(text, 1000) + "\n")


def rate_report(files: Files, snapshot: Snapshot, curve: RateCurve, *, width: int, color: bool) -> str:
    """The picture and what to make of it; for a finder that failed, why, and where its log is."""
    parts = []
    if len(curve.finite) > 1:
        parts.append(as_text(rate_panel(curve, width, PICTURE_HEIGHT, color=color), color=color))
    for trial in snapshot.trials.values():
        if trial.reason is not None:
            parts.append(f"the finder did not finish: {why(trial)}\nlog {files.log(trial.number)}")
    if curve.readings:
        parts.append(rate_words(curve, snapshot.search.rate))
    return "\n".join(parts)


def write_rate_json(snapshot: Snapshot, curve: RateCurve, path: Path | str) -> None:
    """{study, outcome, message, suggested, steepest, lowest, diverges, range, curve: [[lr, loss]]}; null: none.

    Raises ReportNotWritten.
    """
    trial = snapshot.trials.get(0)
    record = {
        "study": snapshot.study,
        "outcome": None if trial is None or trial.outcome is None else str(trial.outcome),
        "message": "" if trial is None else trial.message,
        "suggested": curve.suggested,
        "steepest": curve.steepest,
        "lowest": curve.lowest,
        "diverges": curve.diverges,
        "range": curve.range,
        "curve": [[rate, encode_number(loss)] for rate, loss in curve.readings],
    }
    write_text(path, json.dumps(record, indent=1, allow_nan=False, ensure_ascii=False) + "\n")
