"""Run a trial in a fresh interpreter. It starts more slowly because it imports everything again; it is for libraries
that can't be forked and for systems without a fork server.

Started by `local.py` as `python -P -m tuner_tui.engine.fresh PIPE LIFELINE` with the job on standard input.
"""

from __future__ import annotations

import json
import sys

from tuner_tui.engine import child, lifeline


def main() -> None:
    """Run one trial in this fresh interpreter."""
    pipe, life = int(sys.argv[1]), int(sys.argv[2])
    lifeline.tie(life)
    job = json.loads(sys.stdin.readline())
    sys.path[:0] = job["path"]
    child.prepare_process(job)
    child.leave(child.run(job, pipe))


if __name__ == "__main__":
    main()
