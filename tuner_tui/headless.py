"""Run a sweep without a screen: print progress, write the reports, and return the documented exit code."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .analysis.filter import FilterError, Names, parse
from .analysis.rate import RateCurve, rate_curve
from .launch import BadInput, run_here
from .report import github
from .report.exit_codes import NOT_RECORDED, exit_code
from .report.fail_if import Condition, parse_condition
from .report.formats import Writer, writer_for
from .report.machine import from_json
from .report.output import is_terminal, wants_color
from .report.progress import Printer
from .report.rate import RatePrinter, rate_report, write_rate_json
from .report.text import summary
from .search.search import Search
from .sources import find_past, is_address
from .sources.source import SourceError
from .study.folder import StudyFolder
from .study.snapshot import Snapshot

if TYPE_CHECKING:
    from .engine.run import Ran

MLFLOW_WAIT_S = 30.0  # for an MLflow that does not answer: a server's restart takes about that long


def parse_conditions(texts: Sequence[str]) -> list[Condition]:
    """The conditions of `--fail-if`; raises BadInput for one that can't be read."""
    try:
        return [parse_condition(text) for text in texts]
    except ValueError as error:
        raise BadInput(str(error)) from error


def check_baseline(
    where: str | None, conditions: Sequence[Condition], search: Search, root: Path, tracking_uri: str | None
) -> Snapshot | None:
    """The study that `--baseline` names: a JSON report, a study under `root`, or an address.

    Raises BadInput when it is missing, is not needed, can't be read, or has another objective.
    """
    wanting = [condition for condition in conditions if condition.needs_baseline]
    if where is None:
        if wanting:
            raise BadInput(f"--fail-if {str(wanting[0])!r} compares with a baseline: name it with --baseline")
        return None
    if not wanting:
        raise BadInput(
            "--baseline: no --fail-if compares with it; write --fail-if 'best > baseline * 1.02', say"
        )
    path = Path(where)
    if path.suffix == ".json" and not is_address(where):
        try:
            snapshot = from_json(json.loads(path.read_text()))
        except OSError as error:
            raise BadInput(f"--baseline {where}: it can't be read ({error.strerror or error})") from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            words = str(error) if isinstance(error, ValueError) else "it is no report of `tuner ... --json`"
            raise BadInput(f"--baseline {where}: {words}") from error
    else:
        try:
            snapshot = find_past(root, where, search, tracking_uri).snapshot()
        except SourceError as error:
            raise BadInput(f"--baseline {where}: {error}") from error
    ours, theirs = (search.objective, search.direction), (snapshot.objective, snapshot.direction)
    if ours != theirs:
        raise BadInput(
            f"--baseline {where}: its objective is {theirs[0]} ({theirs[1]}), and that of this search is "
            f"{ours[0]} ({ours[1]})"
        )
    return snapshot


def report_writers(
    reports: Sequence[Path], json: Path | None, junit: Path | None, markdown: Path | None
) -> list[tuple[Writer, Path]]:
    """The writers of `--report` by suffix, and those of the options that name a format, whatever the suffix.

    Raises BadInput for a suffix without a writer.
    """
    named = ((json, ".json"), (junit, ".xml"), (markdown, ".md"))
    wanted = [(path, path.suffix) for path in reports] + [(path, suffix) for path, suffix in named if path]
    writers: list[tuple[Writer, Path]] = []
    for path, suffix in wanted:
        try:
            writers.append((writer_for(suffix), path))
        except ValueError as error:
            raise BadInput(f"{path}: {error}") from error
    return writers


def run_headless(
    folder: StudyFolder,
    conditions: Sequence[Condition],
    *,
    reports: Sequence[tuple[Writer, Path]],
    no_color: bool,
    baseline: Snapshot | None = None,
    mlflow_wait: float | None = None,
) -> int:
    """Run or resume the study in this process, to its end; return the exit code.

    `reports` are written when it is over; then MLflow's copy is waited for. Raises what `launch.REFUSALS` lists.
    """
    printer = Printer(sys.stdout, color=False if no_color else None, logs=folder.path / "trials")

    def warn(text: str) -> None:
        """On standard error, unless a progress bar is drawn on the same terminal."""
        if not printer.closed and is_terminal(sys.stdout) and is_terminal(sys.stderr):
            printer.note(text)
        else:
            _say_aside(text)

    try:
        ran = run_here(folder, on_change=printer.update, note=printer.note, warn=warn)
    finally:
        printer.close()
    snapshot = ran.snapshot
    if ran.unwritten:  # said before a report can fail for the same reason
        warn(f"not recorded: {ran.unwritten}")
    for write, path in reports:  # the files first: a script waits for these
        write(snapshot, path, folder)
    color = not no_color and wants_color(sys.stdout)
    print(summary(snapshot, width=terminal_width(), color=color, files=folder))
    verdicts = [condition.holds(snapshot, baseline) for condition in conditions]
    for verdict in verdicts:
        print(("FAIL: " if verdict.holds else "ok: ") + verdict.sentence)
    if ran.interrupted and (snapshot.counts.waiting or snapshot.retriable):
        print(f"interrupted; `tuner resume {folder.name}` goes on")
    if github.in_actions():
        print("\n".join(github.annotations_of(snapshot, verdicts)))
        if problem := github.add_summary(snapshot):
            warn(problem)
    sys.stdout.flush()  # all a script waits for is out before anything is waited for
    _wait_for_copy(ran, mlflow_wait)
    return NOT_RECORDED if ran.unwritten else exit_code(snapshot, verdicts, ran.interrupted)


def _wait_for_copy(ran: Ran, seconds: float | None) -> None:
    """Wait until MLflow has everything; `seconds` (None: MLFLOW_WAIT_S) is how long where it does not answer."""
    ran.copy.wait(MLFLOW_WAIT_S if seconds is None else seconds, _say_aside)


def _say_aside(text: str) -> None:
    line = github.annotation("warning", "tuner", text) if github.in_actions() else f"tuner: {text}"
    print(line, file=sys.stderr, flush=True)


def run_finder(
    folder: StudyFolder, *, result: Path | None, no_color: bool, mlflow_wait: float | None = None
) -> int:
    """Run a learning-rate finder in this process, and draw its curve; `result`: a JSON file for it."""
    printer = RatePrinter(sys.stdout)
    ran = run_here(folder, on_change=printer.update, note=printer.note, warn=_say_aside)
    curve = rate_curve(ran.snapshot) or RateCurve()
    if result:
        write_rate_json(ran.snapshot, curve, result)
    color = not no_color and wants_color(sys.stdout)
    print(rate_report(folder, ran.snapshot, curve, width=terminal_width(), color=color), flush=True)
    _wait_for_copy(ran, mlflow_wait)
    return exit_code(ran.snapshot, (), ran.interrupted)


def filtered(snapshot: Snapshot, where: str | None) -> Snapshot:
    """The trials of a study that `--where` lets through; raises BadInput for a filter that can't be read."""
    if where is None:
        return snapshot
    try:
        found = parse(where, Names.of(snapshot))
    except FilterError as error:
        raise BadInput(f"--where: {error}\n  {where}\n  {' ' * error.at}^") from error
    return found.narrow(snapshot) if found else snapshot


def terminal_width() -> int:
    """Columns of the terminal; 120 where there is none."""
    return shutil.get_terminal_size((120, 40)).columns
