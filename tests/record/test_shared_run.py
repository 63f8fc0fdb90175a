"""Code that logs to MLflow itself lands in the study's store, in the trial's own run where it is shared."""

from __future__ import annotations

import os
import sqlite3

import pytest
from support.sabotage import tuner, workplace

SCRIPT = """
import json, sys
import mlflow
with mlflow.start_run():
    mlflow.log_metric("own", float(sys.argv[1].partition("=")[2]))
    mlflow.log_param("by", "script")
print(json.dumps({"loss": 1.5}))
"""
SEARCH = """
name = "shares"
command = ["python", "logs.py", "{rest}"]
experiment = "my project"
share_run = %s
trials = 2
[space]
x = { float = [0.0, 1.0] }
"""


@pytest.mark.slow
@pytest.mark.parametrize("shared", [True, False])
def test_what_a_script_logs_lands_in_the_experiment_and_its_run(tmp_path, shared):
    workplace(tmp_path, SEARCH % str(shared).lower())
    (tmp_path / "logs.py").write_text(SCRIPT)
    swept = tuner(tmp_path, "sweep", "--headless", "--mlflow-wait", "100")
    assert swept.returncode == 0, swept.stdout + swept.stderr
    assert not list(tmp_path.glob("mlflow.db")) and not list(tmp_path.glob("mlruns/[0-9]*"))
    with sqlite3.connect(tmp_path / "mlruns" / "mlflow.db") as database:
        names = dict(database.execute("select name, experiment_id from experiments").fetchall())
        assert "my project" in names and "shares-1" not in names
        rows = database.execute(
            "select r.run_uuid, m.key, m.value from runs r join metrics m on m.run_uuid = r.run_uuid "
            "where r.experiment_id = ? and m.key in ('own', 'loss')", (names["my project"],),
        ).fetchall()  # fmt: skip
        own = {run for run, key, _ in rows if key == "own"}
        ours = {run for run, key, _ in rows if key == "loss"}
        assert len(own) == len(ours) == 2 and (own == ours if shared else not own & ours)
        statuses = database.execute("select distinct status from runs").fetchall()
        assert statuses == [("FINISHED",)]


@pytest.mark.slow
def test_a_project_experiment_holds_several_studies(tmp_path):
    search = (
        'target = "ways_to_end:number"\nname = "shares"\ntrials = 1\n[space]\nx = { float = [0.5, 1.0] }\n'
    )
    workplace(tmp_path, search)
    for _ in range(2):
        environment = dict(os.environ, MLFLOW_EXPERIMENT_NAME="a/project: 1")
        swept = tuner(tmp_path, "sweep", "--headless", "--mlflow-wait", "100", env=environment)
        assert swept.returncode == 0, swept.stderr
    with sqlite3.connect(tmp_path / "mlruns" / "mlflow.db") as database:
        found = database.execute(
            "select t.value, e.name from tags t join runs r on r.run_uuid = t.run_uuid "
            "join experiments e on e.experiment_id = r.experiment_id where t.key = 'tuner.identity'"
        ).fetchall()
    assert [name for _, name in found] == ["a/project: 1"] * 2
