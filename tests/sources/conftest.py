"""A PostgreSQL server for the tests of sources, where PostgreSQL is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """The URL of a PostgreSQL server of our own, on a socket in a folder of its own."""
    if shutil.which("initdb") is None:
        pytest.skip("needs PostgreSQL")
    folder = Path(subprocess.check_output(["mktemp", "-d"], text=True).strip())
    as_nobody = []
    if os.getuid() == 0:  # PostgreSQL refuses to run as root
        shutil.chown(folder, "nobody")
        as_nobody = ["setpriv", "--reuid=nobody", "--clear-groups"]
    data = str(folder / "data")
    subprocess.run(
        [*as_nobody, "initdb", "-D", data, "-A", "trust", "-U", "me"], check=True, stdout=-3, cwd="/"
    )
    options = f"-k {folder} -c listen_addresses="
    control = [*as_nobody, "pg_ctl", "-D", data, "-w", "-l", str(folder / "log")]
    subprocess.run([*control, "-o", options, "start"], check=True, stdout=-3, cwd="/")
    yield f"postgresql+psycopg://me:secret@/postgres?host={folder}"
    subprocess.run([*control, "-m", "immediate", "stop"], check=True, stdout=-3, cwd="/")
    shutil.rmtree(folder)
