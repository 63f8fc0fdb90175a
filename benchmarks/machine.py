"""The name of the machine that a benchmark ran on, for its results; and the packages beside this folder,
which importing this file makes importable where they are not installed."""

import os
import platform
import sys
from pathlib import Path

ROOT = str(Path(__file__).parents[1])
if ROOT not in sys.path:
    sys.path.append(ROOT)  # last: what is installed goes first
    # Processes that a benchmark starts find them, too.
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (os.environ.get("PYTHONPATH"), ROOT)))


def processor() -> str:
    named = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return named[0].split(":")[1].strip() if named else platform.machine()
