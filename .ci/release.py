"""A release in one command: `make release VERSION=0.2.0`. Nothing is uploaded and nothing is pushed.

It gives the version to the code and its section to the changelog, builds a wheel and an sdist into dist/, installs
each into an environment of its own, tries both with tests/cli/test_wheel.py, and only then commits and tags. Whatever
goes wrong before that, the working tree is as it was.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CODE = ROOT / "tuner_tui" / "__init__.py"  # the one place of the version; hatchling reads it there
CHANGELOG = ROOT / "CHANGELOG.md"
DIST = ROOT / "dist"
VERSION = re.compile(r'(?m)^__version__ = "(.*)"$')
HEADING = "## Unreleased\n"


def main() -> None:
    """Make the release, or say what is in its way and exit with 1."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("version", help="such as 0.2.0, or 0.2.0rc1")
    parser.add_argument("--uv", default="uv", help="what installs into the environments")
    parser.add_argument(
        "--offline", action="store_true", help="the environments take their dependencies from this one"
    )
    parser.add_argument("--only", default="", help="of the tests of the wheel, as pytest's -k")
    options = parser.parse_args()
    _check(options.version)
    before = {path: path.read_text() for path in (CODE, CHANGELOG)}
    try:
        CODE.write_text(VERSION.sub(f'__version__ = "{options.version}"', before[CODE]))
        CHANGELOG.write_text(
            released(before[CHANGELOG], options.version, datetime.now(UTC).date().isoformat())
        )
        for distribution in _build():
            _try(distribution, options)
        _git("commit", "--quiet", "--all", "--message", f"Release {options.version}")
        _git("tag", f"v{options.version}")
    except BaseException:
        for path, text in before.items():
            path.write_text(text)
        raise
    print(f"v{options.version} is committed and tagged, and dist/ has what to upload")


def released(changelog: str, version: str, date: str) -> str:
    """The changelog with a section for the version: what was unreleased."""
    return changelog.replace(HEADING, f"{HEADING}\n## {version} ({date})\n", 1)


def _check(version: str) -> None:
    if not re.fullmatch(r"\d+\.\d+\.\d+((a|b|rc)\d+)?", version):
        sys.exit(f"VERSION={version}: write it as 0.2.0 or 0.2.0rc1")
    if _git("tag", "--list", f"v{version}"):
        sys.exit(f"VERSION={version}: there is a tag v{version} already; choose a higher one")
    if changes := _git("status", "--porcelain"):
        sys.exit(f"the working tree has changes; commit them first:\n{changes}")
    _, _, unreleased = CHANGELOG.read_text().partition(HEADING)
    if not unreleased.partition("\n## ")[0].strip():
        sys.exit("CHANGELOG.md: nothing stands under Unreleased; write what is new")


def _build() -> list[Path]:
    shutil.rmtree(DIST, ignore_errors=True)
    targets = ["-t", "sdist", "-t", "wheel"]
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", *targets, "-d", str(DIST)], cwd=ROOT, check=True
    )
    return sorted(DIST.iterdir())


def _try(distribution: Path, options: argparse.Namespace) -> None:
    """Install it into an environment of its own, and run the tests of the wheel there."""
    print(f"trying {distribution.name}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        variables = {"TUNER_DISTRIBUTION": str(distribution)}
        if not options.offline:
            python = Path(folder, "env", "bin", "python")
            subprocess.run(
                [options.uv, "venv", "--quiet", "--python", sys.executable, f"{folder}/env"], check=True
            )
            subprocess.run(
                [
                    options.uv, "pip", "install", "--quiet", "--python", str(python), "--constraint",
                    str(ROOT / "constraints.txt"), f"{distribution}[models]",
                ],
                check=True,
            )  # fmt: skip
            variables = {"TUNER_INSTALLED": str(python)}
        chosen = ["-k", options.only] if options.only else []
        subprocess.run(
            [sys.executable, "-m", "pytest", "-p", "no:xdist", "tests/cli/test_wheel.py", *chosen], cwd=ROOT,
            env=os.environ | variables, check=True,
        )  # fmt: skip


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], cwd=ROOT, check=True, capture_output=True, text=True)
    return done.stdout.strip()


if __name__ == "__main__":
    try:
        main()
    except subprocess.CalledProcessError as error:
        sys.exit(
            f"no release: {' '.join(map(str, error.cmd))} ended with {error.returncode}\n{error.stderr or ''}"
        )
