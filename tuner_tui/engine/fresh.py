"""A trial in an interpreter of its own: slower to start (it imports everything again), for libraries that
can't be forked, and where there is no fork server.

Started by `local.py` as `python -P -m tuner_tui.engine.fresh PIPE LIFELINE` with the job on standard input.
"""

from __future__ import annotations

import json
import sys

from tuner_tui.engine import child, lifeline


def main() -> None:
    """Run the one job given on standard input. Does not return."""
    pipe, life = int(sys.argv[1]), int(sys.argv[2])
    lifeline.tie(life)
    job = json.loads(sys.stdin.readline())
    sys.path[:0] = job["path"]
    child.prepare_process(job)
    child.leave(child.run(job, pipe))


if __name__ == "__main__":
    main()
