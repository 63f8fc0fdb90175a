"""A process that prints an invented study as a headless sweep would, for tests with a real terminal or pipe.

Time is that of the events: nobody waits. Usage: print_a_study.py small|many [pause]
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from support.studies import SMALL_SPACE, START, Made, events_of, small_events
from tuner_tui.report.progress import Printer
from tuner_tui.study.snapshot import Snapshot, fold


def main() -> None:
    if sys.argv[1] == "small":
        events = small_events()
    else:
        events = events_of(SMALL_SPACE, [Made({"lr": 0.1}, message="x" * 100) for _ in range(2000)])
    now = START - 1.0
    printer = Printer(sys.stdout, clock=lambda: now, logs="mlruns/small-1/trials")
    snapshot = Snapshot()
    for event in events:
        now = event.at
        snapshot = fold(snapshot, event)
        printer.update(snapshot)
        if len(sys.argv) > 2:
            time.sleep(float(sys.argv[2]))
    printer.note("no new trials; 2 still running (Ctrl-C again stops them)")
    printer.close()
    print("survived", file=sys.stderr)


if __name__ == "__main__":
    main()
