"""How a study is named: by its name, its beginning, or an address; and how little a new source needs."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import studies
from support.room import Room
from typer.testing import CliRunner

from tuner_tui import sources
from tuner_tui.cli import app
from tuner_tui.launch import BadInput, find_study
from tuner_tui.sources import find_source
from tuner_tui.sources.source import SourceError

TOY = """
from tuner_tui.sources.source import Batch, Source
from support import studies as made


def studies(place, wanted):
    return [Toy(place), Toy("other")]


class Toy(Source):
    def __init__(self, name):
        self._name = name

    @property
    def name(self):
        return self._name

    def events(self, since=None):
        return Batch(() if since else made.small_events(), True)
"""


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """One file, and nothing else, makes a source."""
    (tmp_path / "rooms").mkdir()
    (tmp_path / "rooms" / "toy.py").write_text(TOY)
    monkeypatch.setattr(sources, "__path__", [*sources.__path__, str(tmp_path / "rooms")])


def test_a_new_source_is_one_file(toy, tmp_path):
    source = find_source(tmp_path, "toy:mine")
    assert source.name == "mine" and len(source.snapshot().trials) == len(studies.small_snapshot().trials)
    for verb in (
        ["plot", "toy:mine"],
        ["report", "toy:mine"],
        ["list", "toy:mine"],
        ["plot", "toy:mine", "oth"],
    ):
        done = CliRunner(env={"TUNER_MLRUNS": None}).invoke(app, verb, catch_exceptions=False)
        assert (done.exit_code == 0 and "finished" in done.output + done.stderr) or verb[0] == "plot"
    done = CliRunner(env={"TUNER_MLRUNS": None}).invoke(
        app, ["report", "toy:mine", "--to", str(tmp_path / "x.csv")]
    )
    assert done.exit_code == 0 and (tmp_path / "x.csv").read_text().startswith("number,outcome")


def test_our_own_studies_by_name_beginning_and_address(tmp_path):
    room = Room(tmp_path)
    room.study("caption-1", studies.small_events(), age=100)
    room.study("digits-1", studies.small_events(), age=50)
    assert find_source(tmp_path, None).name == "digits-1"
    assert find_source(tmp_path, "cap").name == "caption-1"
    assert find_source(Path("elsewhere"), f"journal:{tmp_path}", "cap").name == "caption-1"
    with pytest.raises(SourceError, match=r"no study in .*; there is digits-1, caption-1"):
        find_source(tmp_path, "x")
    with pytest.raises(SourceError, match="no studies in none; `tuner sweep` starts one"):
        find_source(Path("none"), None)
    with pytest.raises(SourceError, match=r"only an address has studies inside.*journal:, mlflow:, optuna:"):
        find_source(tmp_path, "cap", "digits")


def test_what_another_program_runs_is_not_stopped_or_resumed_here(toy, tmp_path):
    with pytest.raises(BadInput, match="can only be looked at: another program runs it"):
        find_study(tmp_path, "toy:mine")
