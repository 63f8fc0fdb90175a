"""The HTML report says how to run a study again, with a search file that is read back as it was."""

from __future__ import annotations

import re
from dataclasses import replace
from html import unescape

from support import studies

from tuner_tui.report.formats.html import page
from tuner_tui.report.reproduce import search_text, sentences
from tuner_tui.search.file import parse_search
from tuner_tui.study.snapshot import Snapshot, fold_all


def test_the_search_file_in_the_page_is_that_of_the_study():
    whole = replace(studies.small_snapshot(), versions={"python": "3.11.9", "torch": "2.13"})
    text = page(whole)
    files = [
        unescape(found) for found in re.findall(r"<pre>(.*?)</pre>", text, re.DOTALL) if "target" in found
    ]
    (file,) = files
    again = parse_search(file, "small.toml")
    assert again.space == whole.search.space and again.trials == whole.planned == 30
    assert again.seed == whole.search.seed and again.target == whole.search.target
    for fact in ("0" * 40, "3.11.9", "2.13", "tuner sweep small.toml", "trial n of seed 0"):
        assert fact in text


def test_the_curves_are_drawn_and_nothing_is_fetched():
    text = page(studies.seed_snapshot())
    assert "median and 95 % band" in text and "best loss/valid by trials ended" in text
    assert "Referee" in text and "Crash bias" in text and "<svg" in text
    assert not re.search(r"""(src|href)\s*=\s*["']https?:|<script|<link""", text)


def test_what_would_differ_is_said():
    whole = studies.small_snapshot()
    learnt = replace(
        whole, search=replace(whole.search, sampler="tpe"), earlier=(whole.space,), reruns={7: 3}
    )
    said = sentences(learnt)
    assert "the sampler tpe learns from earlier trials: other trials will come" in said
    assert "the space was changed while the study ran; this is the last one" in said
    assert "trials run again, as repeats of others: 7" in said


def test_a_study_from_elsewhere_has_no_search_file():
    whole = studies.small_snapshot()
    elsewhere = replace(whole, search=replace(whole.search, target="", sampler=""))
    finder = fold_all(Snapshot(), studies.finder_events())
    assert search_text(finder) == "" and "tuner find-lr" in sentences(finder)[0]
    assert search_text(elsewhere) == "" and "another program ran these trials" in page(elsewhere)
