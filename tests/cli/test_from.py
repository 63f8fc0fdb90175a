"""`tuner sweep --from`: a study begins with the trials of another one, which are told, shown, and never run."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from support import optuna_studies
from support.sabotage import journal_is_whole, study, tuner, workplace

from tuner_tui.search.file import parse_search
from tuner_tui.sources import find_past
from tuner_tui.sources.source import SourceError
from tuner_tui.study.outcomes import Outcome, Reason

SEARCH = """
target = "mine:train"
direction = "maximize"
sampler = "tpe"
trials = 2
[space]
lr = { log = [1e-4, 1e-1] }
kind = ["conv", "mlp"]
"""
MINE = "def train(*, lr, kind):\n    return lr\n"


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    """Nine trials of Optuna's, seven of which have ended; a folder with a search beside them."""
    workplace(tmp_path, SEARCH)
    (tmp_path / "mine.py").write_text(MINE)
    optuna_studies.every_end(f"sqlite:///{tmp_path}/trials.db", "digits")
    return tmp_path / "trials.db"


def test_a_sweep_goes_on_from_an_optuna_study(storage, tmp_path):
    before = hashlib.sha256(storage.read_bytes()).digest()
    address = "optuna:sqlite:///trials.db"
    done = tuner(
        tmp_path, "sweep", "--headless", "--from", f"{address}/digits", "--json", "r.json", "--junit", "j.xml",
        "--mlflow-wait", "0", "--no-color",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert hashlib.sha256(storage.read_bytes()).digest() == before
    folder = study(tmp_path, "tuner-1")
    snapshot = folder.snapshot()
    journal_is_whole(folder)
    theirs = {n: t for n, t in snapshot.trials.items() if t.source}
    assert set(theirs) == set(range(7)) and {t.source for t in theirs.values()} == {f"{address} digits"}
    assert theirs[0].value == 0.5 and theirs[1].curve == ((1, 0.1), (2, 0.4), (2, 0.45))
    assert (theirs[2].outcome, theirs[2].reason) == (Outcome.UNFINISHED, Reason.PRUNED)
    assert set(snapshot.own.trials) == {7, 8}
    assert not (folder.path / "trials" / "3").exists() and (folder.path / "trials" / "7").exists()

    assert f"7 trials from before: {address} digits; best 0.5 (trial 0)" in done.stdout
    assert "[2/2] trial" in done.stdout and "[3/" not in done.stdout
    assert "2 of 2 trials ended, 7 from before" in done.stdout
    assert (
        "◇ 7 from before" in done.stdout
        and "Best of 2 finished trials and 7 trials from before" in done.stdout
    )
    assert json.loads((tmp_path / "r.json").read_text())["counts"] == {
        "finished": 2, "unfinished": 0, "no_start": 0, "before": 7,
    }  # fmt: skip
    assert ElementTree.parse(tmp_path / "j.xml").getroot().get("tests") == "2"

    more = tuner(tmp_path, "resume", "--headless", "--trials", "3", "--mlflow-wait", "0")
    assert more.returncode == 0 and set(folder.snapshot().own.trials) == {7, 8, 9}, more.stdout + more.stderr
    listed = json.loads(tuner(tmp_path, "list", "--json").stdout)
    assert (listed[0]["planned"], listed[0]["counts"]["before"]) == (3, 7)

    again = tuner(
        tmp_path, "sweep", "--headless", "--trials", "1", "--from", "tuner-1", "--mlflow-wait", "0",
        "--fail-if", "best < 0.5", "--no-color",
    )  # fmt: skip
    assert study(tmp_path, "tuner-2").snapshot().before == 10
    assert again.returncode == 1, "a verdict is on the trials of this sweep"


@pytest.mark.parametrize(
    ("past", "options", "said"),
    [
        ("optuna:sqlite:///trials.db", ["--set", "direction=minimize"], 'set direction = "maximize"'),
        ("optuna:sqlite:///trials.db/digit-9", [], "there is digits"),
        ("optuna:sqlite:///trails.db", [], "no such file"),
        ("digits", [], "no studies in mlruns"),
    ],
)
def test_what_it_can_not_begin_with_is_refused_before_there_is_a_study(
    storage, tmp_path, past, options, said
):
    done = tuner(tmp_path, "sweep", "--headless", "--from", past, *options)
    assert done.returncode == 2 and said in done.stderr, done.stderr
    assert not list((tmp_path / "mlruns").glob("tuner-*"))


def test_a_study_is_named_behind_a_space_or_a_slash_or_is_the_newest(tmp_path):
    search = parse_search(SEARCH, "tuner.toml")
    place = f"optuna:sqlite:///{tmp_path}/trials.db"
    optuna_studies.every_end(place.removeprefix("optuna:"), "one")
    optuna_studies.every_end(place.removeprefix("optuna:"), "the other")
    assert find_past(tmp_path, f"{place} the other", search).name == "the other"
    assert find_past(tmp_path, f"{place}/one", search).name == "one"
    assert find_past(tmp_path, place, search).name == "the other"
    with pytest.raises(SourceError, match="no study in"):
        find_past(tmp_path, f"{place}/third", search)
