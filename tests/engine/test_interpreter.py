"""Trials run in the user's own environment: other Pythons and environments without any package of ours, for real."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tuner_tui.engine.interpreter import check_interpreter, find_interpreter
from tuner_tui.engine.launcher import BadTarget
from tuner_tui.engine.run import run_study
from tuner_tui.search.file import parse_search
from tuner_tui.study.folder import create_study
from tuner_tui.study.outcomes import Outcome

TRAIN = """
import sys
def train(*, lr, seed=0, out="", device="", report=None, trial=-1, slot=-1):
    import onlyhere
    for step in range(3):
        report({"step": step, "loss": lr + onlyhere.ADDS, "minor": sys.version_info[1]})
    report(loss=lr, done=trial * 10 + slot)
"""


def pythons() -> list[str]:
    """Other Pythons on this machine that the trial's side is written for."""
    found = []
    for minor in (9, 10, 12, 13, 14):
        places = [
            shutil.which(f"python3.{minor}"),
            *map(str, Path.home().glob(f".pyenv/versions/3.{minor}.*/bin/python")),
        ]
        for path in filter(None, places):
            asked = subprocess.run([path, "-c", "print('yes')"], capture_output=True, text=True)
            if asked.stdout.strip() == "yes":
                found.append(path)
                break
    return found


def an_environment(folder: Path, python: str = sys.executable) -> Path:
    """A virtual environment with nothing of ours in it, but a package of the user's."""
    subprocess.run([python, "-m", "venv", "--without-pip", str(folder)], check=True, timeout=120)
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "onlyhere.py").write_text("ADDS = 1.0\n")
    return folder


def sweep(project: Path, lines: str = "", python: str | None = None, isolation: str = "fork"):
    (project / "train.py").write_text(TRAIN)
    text = f'target = "train:train"\ntrials = 2\n{lines}\n[space]\nlr = {{ log = [0.1, 1.0] }}\n'
    search = parse_search(text, str(project / "x.toml"), [f"isolation={isolation}"])
    folder = create_study(project / "mlruns", "x")
    return run_study(folder, search, gpus="none", python=python).snapshot


@pytest.mark.parametrize("isolation", ["fork", "spawn"])
def test_the_environment_beside_the_search_file_runs_its_trials(tmp_path, isolation):
    an_environment(tmp_path / ".venv")
    snapshot = sweep(tmp_path, isolation=isolation)
    for trial in snapshot.trials.values():
        assert trial.outcome is Outcome.FINISHED, trial.message
        assert trial.curve[0] == (0, trial.params["lr"] + 1) and trial.latest["done"] == trial.number * 10


@pytest.mark.parametrize("python", pythons())
@pytest.mark.parametrize("isolation", ["fork", "spawn"])
def test_any_python_from_3_9_on_runs_trials(tmp_path, python, isolation):
    environment = an_environment(tmp_path / "env", python)
    snapshot = sweep(tmp_path, 'python = "env"', isolation=isolation)
    minor = int(subprocess.check_output([python, "-c", "import sys; print(sys.version_info[1])"]))
    for trial in snapshot.trials.values():
        assert trial.outcome is Outcome.FINISHED, trial.message
        assert trial.latest["minor"] == minor != sys.version_info[1]
    assert environment.exists()


def test_which_one_is_looked_for_in_this_order(tmp_path, monkeypatch):
    monkeypatch.delenv("CONDA_PREFIX", raising=False)
    monkeypatch.delenv("VIRTUAL_ENV", raising=False)
    (tmp_path / "a" / "b").mkdir(parents=True)
    search = parse_search('target = "t:t"', str(tmp_path / "a" / "b" / "x.toml"))
    assert find_interpreter(search).ours
    for variable in ("CONDA_PREFIX", "VIRTUAL_ENV"):
        environment = a_python(tmp_path / variable)
        monkeypatch.setenv(variable, str(environment.parents[1]))
        found = find_interpreter(search)
        assert found.path == str(environment) and variable in found.why
    above = a_python(tmp_path / ".venv")
    assert (find_interpreter(search).path, find_interpreter(search).why) == (str(above), "the .venv above it")
    beside = a_python(tmp_path / "a" / "b" / ".venv")
    assert find_interpreter(search).path == str(beside)
    named = parse_search('target = "t:t"\npython = "../../.venv/bin/python"', search.folder + "/x.toml")
    assert Path(find_interpreter(named).path).samefile(above)
    monkeypatch.chdir(tmp_path)
    assert find_interpreter(named, "a/b/.venv").path == str(beside)
    assert find_interpreter(search, builtin=True).ours


def a_python(environment: Path) -> Path:
    (environment / "bin").mkdir(parents=True)
    (environment / "bin" / "python").symlink_to(sys.executable)
    return environment / "bin" / "python"


def a_program(path: Path, text: str) -> str:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("echo python 3 8 18", "is Python 3.8.18; trials need 3.9 or later"),
        ("echo python 2 7 18", "is Python 2.7.18"),
        ("echo hello", "is no working Python: hello"),
        ("echo broken >&2; exit 3", "is no working Python: broken"),
    ],
)
def test_what_is_no_python_for_trials_is_told_before_any(tmp_path, text, expected):
    search = parse_search('target = "t:t"', str(tmp_path / "x.toml"))
    interpreter = find_interpreter(search, a_program(tmp_path / "python", text))
    with pytest.raises(BadTarget, match=expected):
        check_interpreter(interpreter)


def test_a_real_python_that_is_too_old_is_told(tmp_path):
    old = next(iter(Path.home().glob(".pyenv/versions/3.[678].*/bin/python")), None)
    if old is None:
        pytest.skip("there is no Python before 3.9 here")
    search = parse_search('target = "t:t"', str(tmp_path / "x.toml"))
    with pytest.raises(BadTarget, match="trials need"):
        check_interpreter(find_interpreter(search, str(old)))


def test_no_such_interpreter(tmp_path):
    search = parse_search('target = "t:t"\npython = "nowhere/python"', str(tmp_path / "x.toml"))
    with pytest.raises(
        BadTarget, match=r"python = nowhere/python: no such interpreter .*give the path of a Python"
    ):
        find_interpreter(search)
