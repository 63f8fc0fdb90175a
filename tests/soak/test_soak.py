"""A short soak on each run of the tests; `make soak` is the long one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.patience import PATIENCE_S

TESTS = str(Path(__file__).parents[1])


@pytest.mark.slow
def test_whatever_is_done_to_it_a_study_tells_the_truth_and_leaves_nothing(tmp_path):
    soaked = subprocess.run(
        [sys.executable, "-m", "soak", "--seed", "7", "--minutes", "0.1", "--rounds", "1", "--trials", "24"],
        env={**os.environ, "PYTHONPATH": TESTS, "TMPDIR": str(tmp_path)}, capture_output=True, text=True,
        timeout=2 * PATIENCE_S,
    )  # fmt: skip
    assert soaked.returncode == 0, soaked.stdout + soaked.stderr
    assert "24 trials" in soaked.stdout and "0 faulty" in soaked.stdout
