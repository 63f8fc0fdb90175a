"""What a command line is expected to have: a version, `python -m`, completion, readable help, JSON for scripts."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import pytest
from support import studies
from support.room import Room
from support.sabotage import environment, tuner
from typer.main import get_command

from tuner_tui import __version__
from tuner_tui.cli import app
from tuner_tui.search.builtin import builtin_searches

VERBS = [name for name, command in get_command(app).commands.items() if not command.hidden]  # type: ignore[attr-defined]


def test_version_and_python_dash_m(tmp_path):
    assert tuner(tmp_path, "--version").stdout == f"tuner {__version__}\n"
    module = [sys.executable, "-m", "tuner_tui", "--version"]
    assert subprocess.run(module, capture_output=True, text=True).stdout == f"tuner {__version__}\n"


@pytest.mark.parametrize("verb", VERBS)
def test_help_names_no_type_of_python(verb, tmp_path):
    text = tuner(tmp_path, verb, "--help", env=environment(COLUMNS="200")).stdout
    options = text.partition("\nOptions:\n")[2]
    assert options and not re.search(r"<[a-z\[\] |]+>", options), options


def complete(folder, *words: str) -> list[str]:
    """What a shell is offered for the last word."""
    asked = environment(
        _TUNER_COMPLETE="complete_bash", COMP_WORDS=" ".join(("tuner", *words)), COMP_CWORD=str(len(words))
    )
    code = "from tuner_tui.cli import main; import sys; sys.argv = ['tuner']; main()"
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, env=asked, capture_output=True, text=True)
    return done.stdout.split()


def test_a_shell_completes_verbs_studies_and_searches(tmp_path):
    Room(tmp_path / "mlruns").study("caption-1", studies.small_events())
    (tmp_path / "mine.toml").write_text("")
    (tmp_path / "pyproject.toml").write_text("")
    assert complete(tmp_path, "pl") == ["plot"]
    assert complete(tmp_path, "report", "cap") == ["caption-1"]
    assert complete(tmp_path, "sweep", "") == [*builtin_searches(), "mine.toml"]
    assert complete(tmp_path, "sweep", "coo") == ["cooijmans2017"]


def test_list_as_json(tmp_path):
    assert json.loads(tuner(tmp_path, "list", "--json").stdout) == []
    room = Room(tmp_path / "mlruns")
    room.study("caption-1", studies.small_events(), age=100)
    room.study("digits-1", studies.small_events())
    newer, older = json.loads(tuner(tmp_path, "list", "--json").stdout)
    assert (newer["address"], older["address"]) == tuple(
        os.path.join("mlruns", name)  # noqa: PTH118
        for name in ("digits-1", "caption-1")
    )
    counts = {"finished": 15, "unfinished": 3, "no_start": 3, "before": 0, "running": 2, "waiting": 7}
    assert older["counts"] == counts and older["planned"] == 30 and older["state"] == "interrupted"
    assert older["best"]["value"] == studies.small_snapshot().best.value  # type: ignore[union-attr]
    assert "trials" not in older and older["objective"] == "loss/valid" and older["format"] == 1
