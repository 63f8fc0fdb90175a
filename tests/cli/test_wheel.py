"""The wheel, built and put into an environment of its own: it hides nothing of the user's, finds its own.

A release tries what it has built with these tests (.ci/release.py): TUNER_DISTRIBUTION is a wheel or an sdist to use
instead of building one, TUNER_INSTALLED the Python of an environment that has tuner already.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
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
    if python := os.environ.get("TUNER_INSTALLED"):
        return Path(python)
    folder = tmp_path_factory.mktemp("wheel")
    given = os.environ.get("TUNER_DISTRIBUTION", "")
    source = REPOSITORY
    if given.endswith(".tar.gz"):
        with tarfile.open(given) as archive:
            archive.extractall(folder, filter="data")
        source = folder / Path(given).name.removesuffix(".tar.gz")
    if given.endswith(".whl"):
        shutil.copy(given, folder)
    else:
        subprocess.run(
            [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
            cwd=source, check=True, capture_output=True, timeout=PATIENCE_S,
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


def test_it_says_its_version_and_has_what_it_needs(installed, tmp_path):
    said = run(installed, tmp_path, "-m", "tuner_tui", "--version")
    version = re.search(r'__version__ = "(.*)"', (REPOSITORY / "tuner_tui" / "__init__.py").read_text())
    assert version and said.stdout == f"tuner {version[1]}\n", said.stderr
    code = "from importlib.metadata import version; print(version('tuner-tui'))"
    assert run(installed, tmp_path, "-c", code).stdout == f"{version[1]}\n"
    typed = run(installed, tmp_path, "-c", "import tuner_tui, os; print(os.listdir(tuner_tui.__path__[0]))")
    assert "py.typed" in typed.stdout


def test_the_built_in_searches_are_in_the_wheel(installed, tmp_path):
    checked = run(installed, tmp_path, "-m", "tuner_tui.cli", "check", "hypergradient", "--draw", "1")
    assert checked.returncode == 0 and "trials of meta.train:train" in checked.stdout, checked.stderr


def test_without_torch_a_built_in_search_says_what_to_install(installed, tmp_path):
    """A sitecustomize hides torch: an environment really without it would take minutes to make."""
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['torch'] = None\n")
    checked = run(installed, tmp_path, "-m", "tuner_tui.cli", "check", "caption", PYTHONPATH=str(tmp_path))
    assert checked.returncode == 2
    assert "the built-in searches need: pip install 'tuner-tui[models]'" in checked.stderr
