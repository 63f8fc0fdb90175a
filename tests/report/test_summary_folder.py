"""The summary folder of a study: complete when it can be, and never the reason a sweep fails."""

from __future__ import annotations

import json
from xml.etree import ElementTree

import pytest
from PIL import Image
from support import studies
from support.studies import small_snapshot

from tuner_tui.report.summary_folder import summary_path, write_summary
from tuner_tui.study.folder import StudyFolder

ALL = [
    "best-so-far.txt",
    "crash-bias.txt",
    "importance.txt",
    "outliers.txt",
    "referee.txt",
    "scatterplots.png",
    "scatterplots.svg",
    "scatterplots.txt",
    "summary.json",
    "tuning-curve.txt",
]


@pytest.fixture
def folder(tmp_path) -> StudyFolder:
    (tmp_path / "small-1").mkdir()
    return StudyFolder(tmp_path / "small-1")


def files(folder: StudyFolder) -> list[str]:
    return sorted(path.name for path in summary_path(folder).iterdir())


def test_the_folder_holds_the_report_and_the_plots_in_three_forms(folder):
    assert write_summary(folder, small_snapshot()) == ()
    assert files(folder) == ALL
    place = summary_path(folder)
    assert json.loads((place / "summary.json").read_text())["counts"]["finished"] == 15
    text = (place / "scatterplots.txt").read_text()
    assert "momentum" in text and "\x1b" not in text and max(map(len, text.splitlines())) <= 120
    assert min(Image.open(place / "scatterplots.png").size) > 200
    assert ElementTree.parse(place / "scatterplots.svg").getroot().tag.endswith("svg")
    assert [path.name for path in folder.path.iterdir()] == ["summary"]  # nothing half-made beside it


def test_an_empty_study_has_a_summary_too(folder):
    assert write_summary(folder, studies.empty_snapshot()) == ()
    assert files(folder) == ALL[5:-1]  # nothing failed or finished, so there is nothing to say of it


def test_a_picture_that_fails_leaves_a_sentence_and_a_good_one_takes_it_away(folder, monkeypatch):
    import tuner_tui.view.picture

    def fail(snapshot, path):
        path.write_text("half a pict")
        raise RuntimeError("no font\x1b[2J")

    with monkeypatch.context() as patch:
        patch.setattr(tuner_tui.view.picture, "save_picture", fail)
        problems = write_summary(folder, small_snapshot())
    assert files(folder) == [
        "best-so-far.txt",
        "crash-bias.txt",
        "importance.txt",
        "outliers.txt",
        "problems.txt",
        "referee.txt",
        "scatterplots.txt",
        "summary.json",
        "tuning-curve.txt",
    ]
    said = (summary_path(folder) / "problems.txt").read_text()
    assert said.splitlines() == list(problems) and len(problems) == 2
    assert said.startswith(
        f"{summary_path(folder)}/scatterplots.png could not be made: RuntimeError: no font"
    )
    assert [path.name for path in folder.path.iterdir()] == ["summary"]
    assert write_summary(folder, small_snapshot()) == ()
    assert files(folder) == ALL


def test_a_folder_that_cannot_be_made_is_told_not_raised(folder):
    summary_path(folder).write_text("a file stands here")
    problems = write_summary(folder, small_snapshot())
    assert len(problems) == len(ALL) + 1 and all(str(summary_path(folder)) in problem for problem in problems)
