"""One running study through the screen and every report: each number, count, estimate and name is the same."""

from __future__ import annotations

import csv
import io
import json
import random
import re
from html import unescape
from pathlib import Path
from xml.etree import ElementTree

from support import studies
from support.room import NOW, journal_of, settle
from typer.testing import CliRunner

from tuner_tui.analysis.failures import failure_groups
from tuner_tui.analysis.pace import remaining
from tuner_tui.cli import app as commands
from tuner_tui.report.formats import suffixes, writer_for
from tuner_tui.report.progress import Printer
from tuner_tui.study.folder import StudyFolder
from tuner_tui.study.outcomes import Outcome, Reason
from tuner_tui.study.snapshot import Snapshot
from tuner_tui.view import ahead, importance, referee, tuning_curve
from tuner_tui.view.crash_bias import find, sentences
from tuner_tui.view.words import OUTCOME_WORDS, duration, number, reason_word

TEXTS = (".txt", ".md", ".html")


def planted() -> Snapshot:
    """A running study in which trials with a large width never start and some were stopped by a person."""
    rng = random.Random(7)
    made = []
    for n in range(60):
        params = studies.draw_params(studies.SMALL_SPACE, rng)
        params["lr"] = 123456.7 if n == 0 else params["lr"]  # written differently by each face once
        if params["width"] > 180 and n:
            made.append(studies.Made(params, (), Reason.OUT_OF_MEMORY, message="out of memory: too wide"))
        elif n % 9 == 8:
            made.append(studies.Made(params, (0.9,), Reason.STOPPED))
        else:
            made.append(studies.Made(params, (0.9, 0.0123456 if n == 0 else 0.3 + n / 100)))
    made.append(studies.Made(studies.draw_params(studies.SMALL_SPACE, rng), (0.7,), running=True))
    return studies.study_of(studies.SMALL_SPACE, made, name="planted", planned=100, closed=False)


def flat(text: str) -> str:
    return " ".join(text.split())


async def seen(room, snapshot: Snapshot) -> str:
    """Everything the screen says: the head, the table, the best trial's detail, the study's, each finding."""
    folder = room.study("planted", journal_of(snapshot), alive=True)
    said: list[str] = []
    app = room.app(folder)
    async with app.run_test(size=(200, 60)) as pilot:
        await settle(pilot)
        for keys in ((), ("b",), ("o",), *(("v",),) * 6):
            await pilot.press(*keys)
            await settle(pilot)
            lines = app.screen._compositor.render_strips(app.size)
            said += [strip.text for strip in lines]
        for static in app.screen.query("#detail-text"):
            said.append(str(static.content))
    return flat(" ".join(said))


def written(snapshot: Snapshot, files: StudyFolder, folder: Path) -> dict[str, str]:
    texts = {}
    for suffix in suffixes():
        path = folder / f"report{suffix}"
        writer_for(suffix)(snapshot, path, files)
        texts[suffix] = path.read_bytes().decode(errors="replace")
    return texts


async def test_every_face_says_the_same(room, tmp_path):
    snapshot = planted()
    screen = await seen(room, snapshot)
    folder = StudyFolder(room.root / "planted")
    reports = written(snapshot, folder, tmp_path)
    plain = {
        # Only HTML has its `<` as a character reference; Markdown has it in the plots' fence too.
        suffix: flat(
            reports[suffix] if suffix == ".txt" else unescape(re.sub("<[^>]*>", " ", reports[suffix]))
        )
        for suffix in TEXTS
    }
    listed = (
        CliRunner(env={"TUNER_MLRUNS": None}).invoke(commands, ["--mlruns", str(room.root), "list"]).output
    )
    plotted = flat(
        CliRunner(env={"TUNER_MLRUNS": None})
        .invoke(commands, ["--mlruns", str(room.root), "plot", "--width", "160", "--no-color"])
        .output
    )
    out = io.StringIO()
    printer = Printer(out, live=True, color=False, clock=lambda: NOW)
    printer.update(snapshot)
    progress = out.getvalue()

    # counts
    counts = snapshot.counts
    assert (counts.finished, counts.unfinished, counts.no_start, counts.running) == (39, 4, 17, 1)
    for outcome, amount in counts.tally.items():
        words = f"{amount} {OUTCOME_WORDS[outcome]}"
        assert words in screen and all(words in text for text in plain.values()), words
        if outcome is not None:
            assert words in listed and words in plotted
    assert f"· {counts.waiting} waiting" in screen
    rows = list(csv.DictReader(io.StringIO(reports[".csv"])))
    record = json.loads(reports[".json"])
    cases = ElementTree.fromstring(reports[".xml"]).findall(".//testcase")
    assert [row["outcome"] for row in rows] == [t["outcome"] or "" for t in record["trials"]]
    for outcome in Outcome:
        amount = counts.tally[outcome]
        assert sum(row["outcome"] == outcome for row in rows) == record["counts"][outcome] == amount
    failed = sum(case.find("failure") is not None or case.find("error") is not None for case in cases)
    assert failed == counts.unfinished + counts.no_start

    # the best, and how a number is written
    best = snapshot.best
    assert best is not None and number(best.value) == "0.01235" and number(best.params["lr"]) == "1.235e5"
    for text in (screen, listed, progress, *plain.values()):
        assert "0.01235" in text and "0.0123456" not in text
    for text in (screen, *plain.values()):
        assert "1.235e5" in text and "123457" not in text
    assert record["best"]["number"] == best.number and float(rows[0]["value"]) == best.value
    assert f"★{best.number}" in screen and f"(trial {best.number})" in listed

    # the time left
    left = duration(remaining(snapshot, NOW))
    assert left != "–" and f"ETA {left}" in progress and f"{left} left" in screen

    # names, reasons and failures
    for text in (screen, plotted, *plain.values()):
        assert "planted" in text and snapshot.objective in text
        assert all(name in text for name in snapshot.search.space.names)
    for group in failure_groups(snapshot):
        assert all(reason_word(group.name) in text for text in (screen, *plain.values())), group.name

    # what was found
    bias = find(snapshot)
    assert bias is not None and bias.never_started.biased[0].name == "width"
    for sentence in sentences(bias):
        assert all(sentence in text for text in (screen, plotted, *plain.values())), sentence
    curve = tuning_curve.sentences(tuning_curve.find(snapshot))
    assert "28 more trials: " in curve[1] and "56 trials; the 17 that did not finish" in curve[4]
    matters = importance.sentences(importance.find(snapshot))
    assert any("decides whether a trial finishes: width" in sentence for sentence in matters)
    for sentence in (*curve, *matters):
        assert all(sentence in text for text in (screen, plotted, *plain.values())), sentence
    judged = referee.find(snapshot)
    assert judged is not None
    long = [referee.said(judged, card) for card in judged[0].cards]
    long += ahead.sentences(ahead.find(snapshot))
    for sentence in long:  # on the screen they take several lines, beside other panes
        assert all(sentence in text for text in (plotted, *plain.values())), sentence
    assert "no trial is ahead of the pack" in screen
    assert all(title in screen for title in referee.TITLES.values())
    assert "width │▸" in screen and "width │▸" in plotted and "width │▸" in plain[".txt"]
