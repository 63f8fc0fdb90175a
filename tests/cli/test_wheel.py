"""The wheel, built and put into an environment of its own: it hides nothing of the user's, finds its own."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest
from support.patience import PATIENCE_S

REPOSITORY = Path(__file__).parents[2]
MYNET = "def train(*, lr):\n    yield {'loss': lr}\n"
SEARCH = 'target = "models.mynet:train"\ntrials = 2\n[space]\nlr = { log = [0.1, 1.0] }\n'


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """The Python of an environment that holds the wheel; its dependencies are those of this environment."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=REPOSITORY, check=True, capture_output=True, timeout=PATIENCE_S,
    )  # fmt: skip
    subprocess.run(
        [sys.executable, "-m", "venv", "--without-pip", str(folder / "env")], check=True, timeout=PATIENCE_S
    )
    (site,) = (folder / "env").glob("lib/python*/site-packages")
    (wheel,) = folder.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(site)
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder / "env" / "bin" / "python"


def run(python: Path, cwd: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {
        key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")
    }
    return subprocess.run(
        [str(python), *words], cwd=cwd, capture_output=True, text=True, timeout=PATIENCE_S,
        env=environment | variables,
    )  # fmt: skip


@pytest.mark.parametrize("initial", [False, True], ids=["a folder", "a package"])
def test_a_models_folder_of_the_user_is_found_in_and_out_of_trials(installed, tmp_path, initial):
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "mynet.py").write_text(MYNET)
    if initial:
        (tmp_path / "models" / "__init__.py").touch()
    (tmp_path / "main.py").write_text("from models.mynet import train\nprint(next(train(lr=4)))\n")
    (tmp_path / "tuner.toml").write_text(SEARCH)
    alone = run(installed, tmp_path, "main.py")
    assert alone.stdout == "{'loss': 4}\n", alone.stderr
    swept = run(installed, tmp_path, "-m", "tuner_tui.cli", "sweep", "--headless", "--no-color")
    assert swept.returncode == 0 and swept.stdout.count("● finished") == 2, swept.stdout + swept.stderr


def test_the_built_in_searches_are_in_the_wheel(installed, tmp_path):
    checked = run(installed, tmp_path, "-m", "tuner_tui.cli", "check", "hypergradient", "--draw", "1")
    assert checked.returncode == 0 and "trials of meta.train:train" in checked.stdout, checked.stderr


def test_without_torch_a_built_in_search_says_what_to_install(installed, tmp_path):
    """A sitecustomize hides torch: an environment really without it would take minutes to make."""
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['torch'] = None\n")
    checked = run(installed, tmp_path, "-m", "tuner_tui.cli", "check", "caption", PYTHONPATH=str(tmp_path))
    assert checked.returncode == 2
    assert "the built-in searches need: pip install 'tuner-tui[models]'" in checked.stderr
