"""The reports other programs read, through the programs' own eyes: a JSON, an XML and a Markdown parser."""

from __future__ import annotations

import json
import os
import re
import stat
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from support import studies
from support.studies import SMALL_SPACE, Made, large_snapshot, seed_snapshot, small_snapshot, study_of

from tuner_tui.report.atomic import ReportNotWritten, write_text
from tuner_tui.report.fail_if import parse_condition
from tuner_tui.report.junit import junit, write_junit
from tuner_tui.report.machine import from_json, to_json, write_json
from tuner_tui.report.markdown import markdown, write_markdown
from tuner_tui.study.folder import StudyFolder
from tuner_tui.study.outcomes import Reason
from tuner_tui.study.text import one_line

# Everything a message may hold, lone surrogates (undecodable file names) included.
NASTY = st.text(st.characters(codec=None, exclude_categories=()), min_size=1, max_size=80)


def refuse(name: str):
    raise AssertionError(f"{name} is not JSON")


def strictly(text: str):
    return json.loads(text, parse_constant=refuse)


# --- JSON


@pytest.mark.parametrize("name", [*studies.ODD, "small", "seed"])
def test_json_has_exactly_the_promised_shape(name, tmp_path):
    snapshot = {**studies.ODD, "small": small_snapshot, "seed": seed_snapshot}[name]()
    write_json(snapshot, tmp_path / "new" / "folder" / "report.json")
    report = strictly((tmp_path / "new" / "folder" / "report.json").read_text())
    assert list(report) == [
        "format", "study", "search", "objective", "direction", "seed", "sampler", "sampler_options", "pruner",
        "pruner_options", "git_commit", "versions",
        "started", "seconds", "counts", "best", "trials",
    ]  # fmt: skip
    assert list(report["counts"]) == ["finished", "unfinished", "no_start", "before"]
    assert [t["number"] for t in report["trials"]] == sorted(snapshot.trials)
    for record in report["trials"]:
        assert list(record) == [
            "number", "outcome", "reason", "message", "value", "metrics", "params", "seed", "steps", "seconds",
            "source",
        ]  # fmt: skip
        assert record["outcome"] in ("finished", "unfinished", "no_start", None)
        assert (record["value"] is None) == (snapshot.trials[record["number"]].value is None)
    ended = [t["outcome"] for t in report["trials"]]
    ends = {o: ended.count(o) for o in ("finished", "unfinished", "no_start")}
    assert report["counts"] == ends | {"before": 0}
    if report["best"] is None:
        assert "finished" not in ended
    else:
        finished = [t for t in report["trials"] if t["outcome"] == "finished"]
        assert report["best"]["value"] == min(t["value"] for t in finished)
        assert list(report["best"]) == ["number", "value", "params"]


@pytest.mark.parametrize("name", [*studies.ODD, "small", "seed"])
def test_a_report_read_back_answers_every_condition_alike(name, tmp_path):
    snapshot = {**studies.ODD, "small": small_snapshot, "seed": seed_snapshot}[name]()
    write_json(snapshot, tmp_path / "report.json")
    again = from_json(strictly((tmp_path / "report.json").read_text()))
    assert to_json(again) == strictly((tmp_path / "report.json").read_text())
    for text in ("best > 1", "median > 1", "failed > 10%", "finished > 3", "loss/valid > 1"):
        condition = parse_condition(text)
        assert condition.holds(again) == condition.holds(snapshot)


def test_what_is_no_report_of_this_version_is_refused():
    for report in ({"study": "x", "counts": {}}, {"format": 99}):
        with pytest.raises(ValueError, match="not a report of this version"):
            from_json(report)


def test_values_that_json_lacks_are_null_or_spelled():
    made = [Made({"lr": float("inf"), "layers": (1, float("nan"))}, (float("nan"),), Reason.DIVERGED)]
    record = strictly(json.dumps(to_json(study_of(SMALL_SPACE, made)), allow_nan=False))["trials"][0]
    assert record["value"] is None and record["outcome"] == "no_start"
    assert record["params"] == {"lr": "inf", "layers": [1, "nan"]}


def test_a_running_trial_has_no_outcome_and_no_seconds_yet():
    record = to_json(small_snapshot())["trials"][-1]
    assert record["outcome"] is None and record["seconds"] is None and record["value"] == 2.1


def test_a_message_that_is_not_unicode_costs_nothing(tmp_path):
    snapshot = study_of(SMALL_SPACE, [Made({}, (), Reason.EXCEPTION, message="no such file: \udcff.png")])
    write_json(snapshot, tmp_path / "report.json")
    assert strictly((tmp_path / "report.json").read_text())["trials"][0]["message"] == "no such file: ?.png"


# --- JUnit


def test_junit_counts_failures_errors_and_skipped_and_keeps_the_log(tmp_path):
    folder = StudyFolder(tmp_path / "small")
    folder.trial(18).mkdir(parents=True)
    folder.log(18).write_bytes(b"loading\n\x1b[31mCUDA\x00 error\xff\n")
    write_junit(small_snapshot(), tmp_path / "junit.xml", folder)
    root = ElementTree.parse(tmp_path / "junit.xml").getroot()
    assert root.tag == "testsuites"
    (suite,) = root
    counted = {key: suite.attrib[key] for key in ("name", "tests", "failures", "errors", "skipped")}
    assert counted == {"name": "small", "tests": "23", "failures": "3", "errors": "3", "skipped": "2"}
    assert suite.attrib["timestamp"] == "2017-05-01T12:00:00" and suite.attrib["hostname"] == "gpu-box"
    cases = {case.attrib["name"]: case for case in suite}
    assert float(cases["trial 0"].attrib["time"]) == 31.0 and cases["trial 0"].attrib["classname"] == "small"
    assert [child.tag for child in cases["trial 0"]] == ["system-out"]
    assert [child.tag for child in cases["trial 15"]] == ["failure"]  # it left no log
    assert [child.tag for child in cases["trial 18"]] == ["error", "system-out"]
    assert [child.tag for child in cases["trial 21"]] == ["skipped", "system-out"]
    assert cases["trial 18"][0].attrib == {
        "type": "out_of_memory", "message": "out of memory: 512 filters at batch size 30",
    }  # fmt: skip
    assert cases["trial 18"][1].text == "loading\nCUDA· error\ufffd"


# What Jenkins checks a report with: the xUnit plugin's junit-10.xsd, as facts. Element -> the attributes it may
# have, those it must have, and what may stand inside it.
JUNIT_10 = {
    "testsuites": ({"name", "time", "tests", "failures", "errors"}, set(), {"testsuite"}),
    "testsuite": (
        {"name", "tests", "failures", "errors", "group", "time", "skipped", "timestamp", "hostname", "id",
         "package", "file", "log", "url"},
        {"name", "tests", "failures", "errors"},
        {"testsuite", "properties", "testcase", "system-out", "system-err"},
    ),
    "testcase": (
        {"name", "time", "classname", "group"}, {"name"},
        {"skipped", "error", "failure", "system-out", "system-err"},
    ),
    "failure": ({"type", "message"}, set(), set()),
    "error": ({"type", "message"}, set(), set()),
    "skipped": ({"type", "message"}, set(), set()),
    "system-out": (set(), set(), set()),
}  # fmt: skip
JUNIT_TIME = re.compile(r"(([0-9]{0,3},)*[0-9]{3}|[0-9]{0,3})*(\.[0-9]*)?")


@pytest.mark.parametrize("name", [*studies.ODD, "small", "seed"])
def test_junit_is_valid_by_the_schema_of_jenkins(name):
    snapshot = {**studies.ODD, "small": small_snapshot, "seed": seed_snapshot}[name]()
    root = junit(snapshot)
    assert root.tag == "testsuites"
    for element in root.iter():
        may, must, inside = JUNIT_10[element.tag]
        assert must <= element.attrib.keys() <= may, element.tag
        assert {child.tag for child in element} <= inside
        if element.tag in ("testsuites", "testsuite"):
            assert JUNIT_TIME.fullmatch(element.attrib["time"])


@given(NASTY, NASTY)
def test_junit_stays_xml_whatever_a_trial_says(message, value):
    made = [
        Made({"activation": value}, (1.0,), Reason.EXCEPTION, message=message),
        Made({"activation": value}, (1.0,), message=message),
    ]
    snapshot = study_of(SMALL_SPACE, made, name=value, objective=value)
    text = ElementTree.tostring(junit(snapshot), encoding="unicode").encode("utf-8", "strict")
    failure = ElementTree.fromstring(text)[0][0][0]
    assert failure.attrib["message"] == one_line(message)


def test_a_log_that_cannot_be_read_is_said_not_raised(tmp_path):
    folder = StudyFolder(tmp_path)
    folder.log(18).mkdir(parents=True)  # a folder where the log should be
    out = junit(small_snapshot(), folder).findall(".//testcase[@name='trial 18']/system-out")
    assert "this file could not be read (Is a directory)" in (out[0].text or "")


# --- Markdown


class Cells(HTMLParser):
    """The tables of a page: for each row the text of its cells."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.inside = False
        self.tags: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
            self.inside = True

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self.inside = False

    def handle_data(self, data):
        if self.inside:
            self.rows[-1][-1] += data


def rendered(text: str) -> Cells:
    return Cells(MarkdownIt("commonmark").enable("table").enable("strikethrough").render(text))


def test_markdown_reads_well(golden, tmp_path):
    write_markdown(small_snapshot(), tmp_path / "report.md")
    text = (tmp_path / "report.md").read_text()
    before, plots = text.split("<details>")
    golden("report.md", before)
    assert plots.startswith("<summary>Scatterplots</summary>\n\n```text\nsmall  loss/valid")
    assert plots.endswith("\n```\n\n</details>\n") and "\x1b" not in plots
    assert rendered(text).rows[0] == ["● finished", "▲ unfinished", "│ never started"]


@example("a ` | ` b `", "x|`y|")
@example("**bold** [link](http://x) ~~gone~~ @you #1", "<b>&amp;\\|")
@given(NASTY, NASTY)
def test_markdown_tables_hold_whatever_a_trial_says(message, value):
    made = [Made({"activation": value}, (1.0,)), Made({}, (1.0,), Reason.EXCEPTION, message=message)]
    cells = rendered(markdown(study_of(SMALL_SPACE, made)))
    best, failure = cells.rows[3], cells.rows[5]
    # A blank at either end is not shown in a table's cell; nothing else may be lost.
    assert best[-1].strip() == one_line(value, 24).strip() and len(best) == 5
    assert failure[2].strip() == (one_line(message) or "").strip() and len(failure) == 4
    assert not {"a", "em", "s", "img", "script"} & set(cells.tags)


@pytest.mark.parametrize("snapshot", [*studies.ODD.values(), seed_snapshot, lambda: large_snapshot(50, 200)])
def test_markdown_fits_a_comment(snapshot):
    text = markdown(snapshot())
    assert len(text) < 65_536
    assert "Scatterplots</summary>" in text or "too large for a comment" in text


def test_a_fence_is_longer_than_any_in_the_plots():
    text = markdown(study_of(SMALL_SPACE, [Made({"lr": 0.1}, (1.0,))], name="a````b"))
    assert "\n`````text\n" in text and "\n`````\n\n</details>" in text


# --- how they are written


def test_a_report_is_whole_or_not_there(tmp_path, monkeypatch):
    path = tmp_path / "report.json"
    write_text(path, "old")
    monkeypatch.setattr("pathlib.Path.replace", lambda *_: (_ for _ in ()).throw(OSError(28, "disk full")))
    with pytest.raises(
        ReportNotWritten, match=r"report\.json: this report could not be written \(disk full\)"
    ):
        write_text(path, "new")
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["report.json"]  # noqa: PTH208


@pytest.mark.parametrize("place", ["a_file/report.json", "a_folder"])
def test_what_cannot_be_written_is_a_sentence_with_the_path(place, tmp_path):
    (tmp_path / "a_file").write_text("")
    (tmp_path / "a_folder").mkdir()
    with pytest.raises(ReportNotWritten) as caught:
        write_json(small_snapshot(), tmp_path / place)
    assert str(tmp_path / place) in str(caught.value) and "could not be written (" in str(caught.value)


def test_a_pipe_is_written_to_and_a_link_stays_a_link(tmp_path):
    (tmp_path / "link.json").symlink_to(tmp_path / "real.json")
    write_text(tmp_path / "link.json", "x")
    write_text(tmp_path / "link.json", "y")
    assert (tmp_path / "link.json").is_symlink() and (tmp_path / "real.json").read_text() == "y"
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    write_text(tmp_path / "pipe", "through")
    assert os.read(reader, 100) == b"through"
    os.close(reader)
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)
