"""Reports by suffix: one file of each kind from one study, through the verb a person uses."""

import csv
import json
from xml.etree import ElementTree

import pytest
from support import studies
from support.sabotage import tuner

from tuner_tui.report.formats import suffixes
from tuner_tui.study.folder import StudyFolder
from tuner_tui.study.journal import JournalWriter


@pytest.fixture
def place(tmp_path):
    folder = StudyFolder(tmp_path / "mlruns" / "small-1")
    folder.path.mkdir(parents=True)
    JournalWriter(folder.journal).append(studies.small_events())
    return tmp_path


def test_a_finished_study_is_reported_in_every_format(place):
    names = [f"r/report{suffix}" for suffix in suffixes()]
    assert {".json", ".xml", ".md", ".html", ".csv", ".txt", ".png", ".svg"} <= set(suffixes())
    told = tuner(place, "report", "small", *(word for name in names for word in ("--to", name)))
    assert told.returncode == 0, told.stderr
    assert told.stderr.split() == names
    snapshot = StudyFolder(place / "mlruns" / "small-1").snapshot()
    assert json.loads((place / "r/report.json").read_text())["counts"]["finished"] == 15
    assert ElementTree.parse(place / "r/report.xml").getroot().get("tests") == str(len(snapshot.trials))
    with (place / "r/report.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["number"]) for row in rows] == sorted(snapshot.trials)
    for row in rows:
        trial = snapshot.trials[int(row["number"])]
        assert row["value"] == ("" if trial.value is None else str(trial.value))
        assert row["params.lr"] == str(trial.params["lr"])
    page = (place / "r/report.html").read_text()
    assert page.count("<svg") == 1 and "3 trials never started" in page and 'src="' not in page
    assert "Crash bias" in (place / "r/report.txt").read_text()
    assert "**Crash bias**" in (place / "r/report.md").read_text()


def test_a_suffix_nobody_writes_is_refused_before_anything_is_read(place):
    told = tuner(place, "report", "small", "--to", "report.pdf")
    assert told.returncode == 2
    assert "report.pdf: no report has this suffix; use .csv, .html" in told.stderr
