"""Run a trial in a fresh interpreter. It starts more slowly because it imports everything again; it is for libraries
that can't be forked and for systems without a fork server.

Started by `engine/local.py` through start.py, with the job on standard input.
"""

from __future__ import annotations

import json
import sys

from . import child, lifeline


def main(arguments: list[str]) -> None:
    """Run one trial in this fresh interpreter."""
    pipe, life = int(arguments[0]), int(arguments[1])
    lifeline.tie(life)
    job = json.loads(sys.stdin.readline())
    sys.path[:0] = job["path"]
    child.prepare_process(job)
    child.leave(child.run(job, pipe))
