"""A secret is given to the trials and is found nowhere else: not on disk, in MLflow or in any output."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from support.sabotage import study, tuner, workplace

from tuner_tui.search.file import parse_search
from tuner_tui.search.problems import SearchError
from tuner_tui.search.write import to_toml
from tuner_tui.study.outcomes import Outcome, Reason

SECRET = 'hunter2-zwölf-"quoted"'  # with what JSON, SQL and tracebacks spell in other ways
SEARCH = """
name = "secretive"
{runs}
trials = 10
[space]
x = { log = [0.2, 5.0] }
[secret]
token = "MY_TOKEN"
"""
SCRIPT = """
import json, os, sys
x, token = float(sys.argv[1]), os.environ["MY_TOKEN"]
print(json.dumps({"loss": x * len(token)}), flush=True)
if x > 1: raise ConnectionError(f"the server refused {token}")
"""


@pytest.mark.parametrize(
    "runs", ['target = "ways_to_end:uses_a_secret"', 'command = ["python", "script.py", "{x}"]']
)
def test_a_secret_is_known_to_the_trials_alone(tmp_path, runs):
    workplace(tmp_path, SEARCH.replace("{runs}", runs))
    (tmp_path / "script.py").write_text(SCRIPT)
    environment = {**os.environ, "MY_TOKEN": SECRET}
    swept = tuner(
        tmp_path, "sweep", "--headless", "--mlflow-wait", "120", "--json", "report.json", env=environment
    )
    assert swept.returncode == 0, swept.stderr
    snapshot = study(tmp_path, "secretive-1").snapshot()
    assert snapshot.counts.finished and snapshot.counts.unfinished
    for trial in snapshot.trials.values():
        assert (
            trial.curve[0][1] == pytest.approx(trial.params["x"] * len(SECRET))
            and "token" not in trial.params
        )
        if trial.outcome is Outcome.UNFINISHED:
            assert trial.reason is Reason.EXCEPTION and "the server refused ***" in trial.message
    assert "hunter2" not in swept.stdout + swept.stderr
    for path in tmp_path.rglob("*"):
        if path.is_file() and not (
            path.name == "log.txt" and "command" in runs
        ):  # what a script prints is its own
            assert b"hunter2" not in path.read_bytes(), path
    with closing(sqlite3.connect(tmp_path / "mlruns" / "mlflow.db")) as database:
        assert "hunter2" not in "\n".join(database.iterdump())


def test_without_the_variable_nothing_starts(tmp_path):
    workplace(tmp_path, SEARCH.replace("{runs}", 'target = "ways_to_end:uses_a_secret"'))
    environment = {name: value for name, value in os.environ.items() if name != "MY_TOKEN"}
    refused = tuner(tmp_path, "sweep", "--headless", env=environment)
    assert refused.returncode == 2
    assert "[secret] token: the environment has no MY_TOKEN; export it" in refused.stderr


def test_a_secret_written_into_the_file_is_not_repeated():
    with pytest.raises(SearchError) as refused:
        parse_search('target = "a:b"\n[space]\nx = [1, 2]\n[secret]\ntoken = "sk-12345 67"\n', "x.toml")
    assert "sk-12345" not in str(refused.value)
    assert 'secret.token: write the name of a variable of the environment, such as token = "MY_TOKEN"' in str(
        refused.value
    )


def test_what_names_a_secret_is_written_and_read_back(tmp_path: Path):
    search = parse_search('target = "a:b"\n[space]\nx = [1, 2]\n[secret]\ntoken = "MY_TOKEN"\n', "x.toml")
    assert search.secret == {"token": "MY_TOKEN"}
    assert parse_search(to_toml(search), "x.toml") == search == type(search).from_json(search.to_json())
