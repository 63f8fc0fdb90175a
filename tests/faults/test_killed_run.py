"""A test run that is killed leaves nothing behind, not even what leads a session of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from support import reaper
from support.patience import PATIENCE_S, wait_until
from support.sabotage import alive

RUN = """
import os, signal, subprocess
from support import reaper
reaper.start()
nested = "import subprocess; subprocess.Popen(['sleep', '600'], start_new_session=True); input()"
for command in (["sleep", "600"], ["nohup", "sleep", "600"], ["python3", "-c", nested]):
    subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True)
print(os.environ[reaper.MARK], flush=True)
input()
"""


def test_what_a_killed_run_started_is_gone_soon_after():
    environment = {name: value for name, value in os.environ.items() if name != reaper.MARK}
    environment["PYTHONPATH"] = str(Path(__file__).parents[1])
    run = subprocess.Popen(
        [sys.executable, "-c", RUN], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    )
    assert run.stdout is not None
    mark = run.stdout.readline().strip()
    wait_until(lambda: len(reaper.marked(mark)) == 4, "all four run")
    left = reaper.marked(mark)
    run.kill()
    run.wait(PATIENCE_S)
    wait_until(lambda: not reaper.marked(mark) and not any(map(alive, left)), "they are gone")
