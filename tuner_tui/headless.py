"""Run a sweep without a screen: print progress, write the reports, and return the documented exit code."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from .analysis.filter import FilterError, Names, parse
from .analysis.rate import RateCurve, rate_curve
from .launch import BadInput, run_here
from .report.exit_codes import NOT_RECORDED, exit_code
from .report.fail_if import Condition, parse_condition
from .report.formats import Writer, writer_for
from .report.output import wants_color
from .report.progress import Printer
from .report.rate import RatePrinter, rate_report, write_rate_json
from .report.text import summary
from .study.folder import StudyFolder
from .study.snapshot import Snapshot


def parse_conditions(texts: Sequence[str]) -> list[Condition]:
    """The conditions of `--fail-if`; raises BadInput for one that can't be read."""
    try:
        return [parse_condition(text) for text in texts]
    except ValueError as error:
        raise BadInput(str(error)) from error


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
) -> int:
    """Run or resume the study in this process, to its end; return the exit code.

    `reports` are written when it is over. Raises what `launch.REFUSALS` lists.
    """
    printer = Printer(sys.stdout, color=False if no_color else None, logs=folder.path / "trials")
    try:
        ran = run_here(folder, on_change=printer.update, note=printer.note)
    finally:
        printer.close()
    snapshot = ran.snapshot
    for write, path in reports:  # the files first: a script waits for these
        write(snapshot, path, folder)
    color = not no_color and wants_color(sys.stdout)
    print(summary(snapshot, width=terminal_width(), color=color, files=folder))
    verdicts = [condition.holds(snapshot) for condition in conditions]
    for verdict in verdicts:
        print(("FAIL: " if verdict.holds else "ok: ") + verdict.sentence)
    if ran.unwritten:
        print(f"not recorded: {ran.unwritten}", file=sys.stderr)
        return NOT_RECORDED
    if ran.interrupted and snapshot.counts.waiting:
        print(f"interrupted; `tuner resume {folder.name}` goes on")
    return exit_code(snapshot, verdicts, ran.interrupted)


def run_finder(folder: StudyFolder, *, json: Path | None, no_color: bool) -> int:
    """Run a learning-rate finder in this process, and draw its curve."""
    printer = RatePrinter(sys.stdout)
    ran = run_here(folder, on_change=printer.update, note=printer.note)
    curve = rate_curve(ran.snapshot) or RateCurve()
    if json:
        write_rate_json(ran.snapshot, curve, json)
    color = not no_color and wants_color(sys.stdout)
    print(rate_report(folder, ran.snapshot, curve, width=terminal_width(), color=color))
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
