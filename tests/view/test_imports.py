"""Nobody pays for a drawing library who draws nothing."""

import subprocess
import sys

PROBE = """
import sys
import tuner_tui.view.charts, tuner_tui.view.draw, tuner_tui.view.page, tuner_tui.view.picture
print([name for name in ("plotext", "matplotlib", "numpy", "rich", "wcwidth") if name in sys.modules])
from tuner_tui.study.snapshot import Snapshot
tuner_tui.view.page.page(Snapshot(study="s"), 80, color=False)
print([name for name in ("matplotlib", "mlflow", "torch", "optuna", "textual") if name in sys.modules])
"""


def test_drawing_libraries_load_when_something_is_drawn():
    done = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["[]", "[]"]
