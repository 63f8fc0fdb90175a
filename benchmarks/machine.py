"""The name of the machine that a benchmark ran on, for its results."""

import platform
from pathlib import Path


def processor() -> str:
    named = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return named[0].split(":")[1].strip() if named else platform.machine()
