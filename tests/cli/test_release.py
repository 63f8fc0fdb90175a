"""`make release`, in a clone of this repository."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.patience import PATIENCE_S

REPOSITORY = Path(__file__).parents[2]
NEWS = "# Changelog\n\n## Unreleased\n\n- Something new.\n\n## 0.1.0 (2026-01-01)\n\n- The first.\n"


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """The files of the working tree, committed as the first commit of a repository of their own."""
    listed = git(REPOSITORY, "ls-files", "--cached", "--others", "--exclude-standard").splitlines()
    for name in listed:
        if name.startswith(("tests/ui/__snapshots__", "benchmarks", "docs/pictures")):
            continue  # large, and no part of a release
        if (REPOSITORY / name).is_file():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(REPOSITORY / name, tmp_path / name)
    (tmp_path / "CHANGELOG.md").write_text(NEWS)
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "config", "user.email", "me@example.com")
    git(tmp_path, "config", "user.name", "me")
    git(tmp_path, "add", "--all")
    git(tmp_path, "commit", "--quiet", "--message", "all")
    return tmp_path


def git(folder: Path, *words: str) -> str:
    return subprocess.run(
        ["git", *words], cwd=folder, check=True, capture_output=True, text=True, timeout=PATIENCE_S
    ).stdout


def release(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """One of the wheel's tests is enough here: the others are run as such."""
    return subprocess.run(
        [sys.executable, ".ci/release.py", *words, "--offline"], cwd=folder, capture_output=True, text=True,
        timeout=PATIENCE_S,
    )  # fmt: skip


def test_a_release_is_built_tried_committed_and_tagged(clone):
    for version, said in (
        ("next", "write it as 0.2.0"),
        ("", "write it as 0.2.0"),
    ):
        refused = release(clone, version)
        assert refused.returncode == 1 and said in refused.stderr
    (clone / "README.md").open("a").write("more\n")
    refused = release(clone, "9.9.9")
    assert refused.returncode == 1 and "README.md" in refused.stderr
    git(clone, "checkout", "--quiet", "README.md")

    failed = release(clone, "9.9.9", "--only", "no_test_has_this_name")
    assert failed.returncode == 1 and "no release: " in failed.stderr
    assert not git(clone, "status", "--porcelain") and not git(clone, "tag")

    done = release(clone, "9.9.9", "--only", "it_says_its_version")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("1 passed") == 2, "the wheel and the sdist"
    assert sorted(path.name for path in (clone / "dist").iterdir()) == [
        "tuner_tui-9.9.9-py3-none-any.whl", "tuner_tui-9.9.9.tar.gz",
    ]  # fmt: skip
    assert not git(clone, "status", "--porcelain")
    assert (
        git(clone, "tag").split() == ["v9.9.9"]
        and git(clone, "log", "-1", "--format=%s") == "Release 9.9.9\n"
    )
    changed = re.sub(
        r"\(\d{4}-\d\d-\d\d\)\n\n- Some", "(today)\n\n- Some", (clone / "CHANGELOG.md").read_text()
    )
    assert changed == NEWS.replace("## Unreleased\n", "## Unreleased\n\n## 9.9.9 (today)\n", 1)

    again = release(clone, "9.9.9")
    assert again.returncode == 1 and "there is a tag v9.9.9 already" in again.stderr
    nothing = release(clone, "9.9.10")
    assert nothing.returncode == 1 and "nothing stands under Unreleased" in nothing.stderr
