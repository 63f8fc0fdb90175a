"""What may not be loaded, seen in clean interpreters: start-up is what a user waits for every time."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from support.patience import PATIENCE_S
from support.sabotage import workplace

HEAVY = {"textual", "mlflow", "optuna", "torch", "plotext", "matplotlib", "numpy", "pandas", "sqlalchemy"}
SEARCH = """
target = "ways_to_end:number"
trials = 2
[space]
x = { log = [0.1, 10.0] }
"""
RUN = """
import json, sys
sys.argv = ["tuner", *sys.argv[1:]]
from tuner_tui.cli import main
try:
    main()
except SystemExit:
    pass
finally:
    print()
    print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""


def loaded_by(folder, *words: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", RUN, *words], cwd=folder, capture_output=True, text=True, timeout=PATIENCE_S
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize("words", [["--help"], ["sweep", "--help"], ["list"]])
def test_help_and_list_load_nothing_heavy(tmp_path, words):
    assert loaded_by(tmp_path, *words) & HEAVY == set()


def test_a_headless_sweep_loads_no_textual_mlflow_or_torch(tmp_path):
    workplace(tmp_path, SEARCH)
    loaded = loaded_by(tmp_path, "sweep", "--headless")
    assert "optuna" in loaded  # the sweep did run in that interpreter
    assert loaded & {"textual", "mlflow", "torch"} == set()


def test_a_trial_loads_nothing_of_ours_but_its_own_side(tmp_path):
    workplace(tmp_path, SEARCH.replace("ways_to_end:number", "looks:train"))
    (tmp_path / "looks.py").write_text(
        "import sys\n"
        "def train(*, x=1.0):\n"
        "    print('loaded', *sorted(sys.modules))\n"
        "    return x\n"
    )  # fmt: skip
    subprocess.run(
        [sys.executable, "-m", "tuner_tui.cli", "sweep", "--headless"], cwd=tmp_path, timeout=PATIENCE_S
    )
    loaded = set((tmp_path / "mlruns" / "train-1").glob("*")) or set(
        (tmp_path / "mlruns").glob("*/trials/0/log.txt")
    )
    assert loaded
    log = next((tmp_path / "mlruns").glob("*/trials/0/log.txt")).read_text()
    modules = {name.partition(".")[0] for name in log.split()[1:]}
    assert modules & (HEAVY | {"typer", "rich"}) == set()
