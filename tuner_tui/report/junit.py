"""A sweep as a JUnit file, which every CI service shows as a list of tests.

A trial is a test case: unfinished is a failure (the test ran and went wrong), never started an error (it
could not run), still running is skipped. Trials that failed carry the end of their log. The file is valid by
junit-10.xsd, the schema that Jenkins checks uploads with.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree

from ..analysis.pace import trial_seconds
from ..sources.source import Files
from ..study.outcomes import Outcome
from ..study.snapshot import Snapshot, Trial
from ..study.text import last_lines, one_line
from ..view.words import brief_params, number, why
from .atomic import write_text

LOG_LINES = 20  # what fits a CI service's pop-up; the log itself is kept in the study's folder
# XML 1.0 has no way to write other characters, not even escaped.
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write_junit(snapshot: Snapshot, path: Path | str, files: Files | None = None) -> None:
    """With `files`, trials that did not finish have the end of their log. Raises ReportNotWritten."""
    root = junit(snapshot, files)
    ElementTree.indent(root)
    text = ElementTree.tostring(root, encoding="unicode")
    write_text(path, f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n')


def junit(snapshot: Snapshot, files: Files | None = None) -> ElementTree.Element:
    """The report as XML: one suite per study, one case per trial."""
    snapshot = snapshot.own
    counts = snapshot.counts
    trials = sorted(snapshot.trials.values(), key=lambda t: t.number)
    sums = {
        "name": _clean(snapshot.study) or "study",
        "tests": str(len(trials)),
        "failures": str(counts.unfinished),
        "errors": str(counts.no_start),
        "time": f"{sum(trial_seconds(t) or 0.0 for t in trials):.3f}",
    }
    started = datetime.fromtimestamp(snapshot.opened_at or 0.0, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    root = ElementTree.Element("testsuites", sums)
    suite = ElementTree.SubElement(
        root, "testsuite", sums | {
            "skipped": str(counts.running), "timestamp": started,
            "hostname": _clean(snapshot.host) or "localhost",
        },
    )  # fmt: skip
    for trial in trials:
        suite.append(_case(snapshot, trial, files))
    return root


def _case(snapshot: Snapshot, trial: Trial, files: Files | None) -> ElementTree.Element:
    # The name holds no parameters: a CI service follows a test over time by its name.
    case = ElementTree.Element(
        "testcase",
        classname=_clean(snapshot.study) or "study",
        name=f"trial {trial.number}",
        time=f"{trial_seconds(trial) or 0.0:.3f}",
    )
    params = brief_params(trial, tuple(trial.params), limit=2000)
    value = f"{one_line(snapshot.objective) or 'value'}: {number(trial.value)}"
    if trial.outcome is None:
        ElementTree.SubElement(case, "skipped", message="still running when this report was written")
    elif trial.outcome is not Outcome.FINISHED:
        tag = "failure" if trial.outcome is Outcome.UNFINISHED else "error"
        failed = ElementTree.SubElement(
            case, tag, type=str(trial.reason or "unknown"), message=one_line(trial.message, 300)
        )
        failed.text = _clean(f"{trial.message or why(trial)}\n\n{value}\nparameters: {params}\n")
        if files is not None and (tail := last_lines(files.log(trial.number), LOG_LINES)):
            ElementTree.SubElement(case, "system-out").text = _clean("\n".join(tail))
        return case
    ElementTree.SubElement(case, "system-out").text = _clean(f"{value}\nparameters: {params}\n")
    return case


def _clean(text: str) -> str:
    """`text` with a replacement mark for what XML can't hold."""
    return _NOT_XML.sub("\ufffd", text)
