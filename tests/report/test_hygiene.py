"""A headless sweep must not pay for, or depend on, what only the screen and the engine need."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from support.patience import PATIENCE_S

SCRIPT = """
import io, pkgutil, importlib, sys
import tuner_tui.report
names = [m.name for m in pkgutil.iter_modules(tuner_tui.report.__path__, "tuner_tui.report.")]
assert len(names) > 8, names
for name in names:
    importlib.import_module(name)
loaded = {name.partition(".")[0] for name in sys.modules}
early = {"rich", "plotext", "matplotlib", "numpy", "PIL"} & loaded
assert not early, f"loaded before anything is drawn: {early}"

from support.studies import small_events, small_snapshot
from tuner_tui.report.progress import Printer
from tuner_tui.report.text import summary
from tuner_tui.report.machine import to_json
from tuner_tui.study.snapshot import Snapshot, fold
printer, snapshot = Printer(io.StringIO(), live=True, color=True), Snapshot()
for event in small_events():
    snapshot = fold(snapshot, event)
    printer.update(snapshot)
printer.close()
summary(snapshot, width=100, color=True)
to_json(snapshot)
loaded = {name.partition(".")[0] for name in sys.modules}
heavy = {"textual", "torch", "mlflow", "optuna", "matplotlib"} & loaded
heavy |= {"tuner_tui." + room for room in ("ui", "engine", "record") if "tuner_tui." + room in sys.modules}
assert not heavy, f"loaded by a headless sweep: {heavy}"
"""


def test_reports_load_no_screen_no_engine_and_nothing_early():
    tests = str(Path(__file__).resolve().parents[1])
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env=os.environ | {"PYTHONPATH": tests}, capture_output=True, text=True, timeout=PATIENCE_S,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
