"""A sweep in a CI job: what is written before anyone waits, baselines, GitHub's pages, the workflow to copy."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from support.patience import PATIENCE_S, wait_until
from support.sabotage import TUNER, environment, study, tuner, workplace
from support.studies import small_snapshot

from tuner_tui.report.github import MOST_ANNOTATIONS, add_summary, annotation, annotations_of
from tuner_tui.report.machine import to_json, write_json

WORKFLOW = Path(__file__).parents[2] / "examples" / "github-actions.yml"
SEARCH = """
name = "small"
target = "ways_to_end:train"
trials = 4
[space]
x = { float = [1.0, 2.0] }
"""


def nobody() -> str:
    """The address of a server that is not there."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


def test_reports_and_verdict_come_before_the_wait_for_mlflow_which_is_short_and_said(tmp_path):
    workplace(tmp_path, SEARCH)
    uri = nobody()
    words = ["sweep", "--headless", "--json", "r.json", "--fail-if", "best > 9", "--mlflow-wait", "5"]
    began = time.monotonic()
    with (tmp_path / "out").open("w") as out, (tmp_path / "err").open("w") as err:
        sweep = subprocess.Popen(
            [*TUNER, *words], cwd=tmp_path, stdout=out, stderr=err, env=environment(MLFLOW_TRACKING_URI=uri)
        )
        wait_until(
            lambda: "ok: best > 9 does not hold" in (tmp_path / "out").read_text(), "the verdict is out"
        )
        assert (tmp_path / "r.json").exists() and sweep.poll() is None  # it waits, and all is written
        assert sweep.wait(PATIENCE_S) == 0
    said = (tmp_path / "err").read_text()
    assert f"MLflow: server away: no server answers at {uri}" in said
    assert "`tuner publish small-1` copies what is missing" in said and "Traceback" not in said
    assert "waiting up to 5 s (--mlflow-wait)" in said
    assert said.count("server away") <= 3  # when it was noticed, when the wait began, and when it ended
    assert time.monotonic() - began < 60  # 5 s from the first refused call; the rest is this machine's


def test_no_wait_at_all(tmp_path):
    workplace(tmp_path, SEARCH)
    done = tuner(tmp_path, "sweep", "--headless", "--mlflow-wait", "0", "--set", "trials=1")
    assert done.returncode == 0, done.stderr
    assert "`tuner publish small-1` copies what is missing" in done.stderr


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--fail-if", "best > baseline"], "name it with --baseline"),
        (["--baseline", "b.json"], "no --fail-if compares with it"),
        (["--baseline", "b.json", "--fail-if", "best > baseline"], "b.json: it can't be read (No such file"),
        (["--baseline", "list.json", "--fail-if", "best > baseline"], "it is no report of"),
        (["--baseline", "old.json", "--fail-if", "best > baseline"], "not a report of this version"),
        (["--baseline", "other.json", "--fail-if", "best > baseline"],
         "its objective is loss/valid (minimize), and that of this search is loss (minimize)"),
        (["--baseline", "nowhere", "--fail-if", "best > baseline"], "--baseline nowhere: no studies in mlruns"),
    ],
)  # fmt: skip
def test_a_baseline_that_is_no_use_is_refused_before_anything_runs(words, sentence, tmp_path):
    workplace(tmp_path, SEARCH)
    (tmp_path / "list.json").write_text("[1]")
    (tmp_path / "old.json").write_text('{"study": "x", "best": null, "trials": []}')
    write_json(small_snapshot(), tmp_path / "other.json")
    done = tuner(tmp_path, "sweep", "--headless", *words)
    assert done.returncode == 2 and sentence in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "mlruns").exists()


def test_the_workflow_to_copy_compares_with_a_baseline_and_fills_githubs_pages(tmp_path):
    """Its own shell lines, run as the runner does, in a folder where main has left a better result."""
    workplace(tmp_path, SEARCH)
    steps = {
        step.get("name"): step for step in yaml.safe_load(WORKFLOW.read_text())["jobs"]["sweep"]["steps"]
    }
    report = to_json(small_snapshot()) | {"objective": "loss"}
    report["trials"] = [t | {"value": 0.01} for t in report["trials"][:1]]  # better than any here
    (tmp_path / "mlruns").mkdir()
    (tmp_path / "mlruns" / "baseline.json").write_text(json.dumps(report))
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-e", "-o", "pipefail", "-c", steps["Sweep"]["run"]],
        cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE_S,
        env=environment(PATH=path, GITHUB_ACTIONS="true", GITHUB_STEP_SUMMARY=str(tmp_path / "summary.md")),
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    best = study(tmp_path, "small-1").snapshot().best
    assert best is not None
    assert f"the best is {best.value:.10g} (trial {best.number}); the baseline is 0.01" in done.stdout
    assert "\n::error title=tuner --fail-if::best > baseline * 1.02 holds: " in done.stdout
    assert "### Study <code>small-1</code>" in (tmp_path / "summary.md").read_text()
    written = json.loads((tmp_path / "result.json").read_text())
    about = {"objective": "loss", "direction": "minimize", "seed": 0, "format": 1}
    assert about.items() <= written.items()
    assert written["versions"].keys() >= {"python", "optuna"} and written["seconds"] > 0
    assert [t["metrics"]["loss"] for t in written["trials"]] == [t["value"] for t in written["trials"]]
    (tmp_path / "mlruns" / "baseline.json").unlink()
    subprocess.run(
        ["bash", "-e", "-c", steps["Keep the result as the baseline of later jobs"]["run"]],
        cwd=tmp_path,
        check=True,
    )
    assert json.loads((tmp_path / "mlruns" / "baseline.json").read_text()) == written


def test_annotations_stay_one_line_and_few():
    assert (
        annotation("error", "a: b, c", "50%\r\n::set-env::x")
        == "::error title=a%3A b%2C c::50%25%0D%0A::set-env::x"
    )
    said = annotations_of(small_snapshot(), [])
    assert len(said) == 5 and all(line.startswith("::warning title=tuner%3A ") for line in said)
    assert len(said) <= MOST_ANNOTATIONS and not any("\n" in line for line in said)


def test_a_summary_that_cannot_be_written_is_a_sentence(tmp_path, monkeypatch):
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path))
    assert "can't be written (Is a directory)" in add_summary(small_snapshot())
    (tmp_path / "full.md").write_bytes(b"x" * 999_999)
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "full.md"))
    assert "does not fit" in add_summary(small_snapshot())
    monkeypatch.delenv("GITHUB_STEP_SUMMARY")
    assert add_summary(small_snapshot()) == ""


def test_publish_and_resume_go_to_the_store_that_the_environment_named_at_the_start(tmp_path):
    workplace(tmp_path, SEARCH)
    first = environment(MLFLOW_TRACKING_URI="sqlite:///elsewhere.db")
    words = ["sweep", "--headless", "--mlflow-wait", "0", "--set", "trials=1"]
    assert tuner(tmp_path, *words, env=first).returncode == 0
    later = {key: value for key, value in environment().items() if key != "MLFLOW_TRACKING_URI"}
    assert tuner(tmp_path, "resume", "--headless", "--trials", "2", env=later).returncode == 0
    done = tuner(tmp_path, "publish", env=later)
    assert f"everything is in MLflow (sqlite:///{tmp_path}/elsewhere.db)" in done.stdout
    assert (tmp_path / "elsewhere.db").exists() and not (tmp_path / "mlruns" / "mlflow.db").exists()


def test_a_password_is_kept_nowhere(tmp_path):
    workplace(tmp_path, SEARCH)
    uri = nobody().replace("//", "//me:hunter2@")
    words = ["sweep", "--headless", "--mlflow-wait", "0", "--set", "trials=1", "--tracking-uri", uri]
    assert tuner(tmp_path, *words).returncode == 0
    files = [path for path in (tmp_path / "mlruns").rglob("*") if path.is_file()]
    assert files and not any(b"hunter2" in path.read_bytes() for path in files)
    assert json.loads((tmp_path / "mlruns" / "small-1" / "launch.json").read_text())[
        "tracking_uri"
    ] == uri.replace(":hunter2", "")
