"""The commands. Each imports what it needs when it runs, so that `tuner --help` answers at once.

Exit codes, for scripts: 0 done, 1 a --fail-if held, 2 bad input, 3 no trial finished, 4 not recorded,
130 interrupted.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .options import (
    HERE,
    Baseline,
    Direction,
    FailIf,
    Gpus,
    Headless,
    Json,
    Junit,
    Markdown,
    MlflowWait,
    NoColor,
    Objective,
    Parallel,
    Python,
    Reports,
    Root,
    Sampler,
    SearchName,
    Seed,
    Settings,
    SpaceFile,
    StudyHere,
    StudyInside,
    StudyName,
    TrackingUri,
    Trials,
    searches_here,
)

if TYPE_CHECKING:
    from .sources.source import Source

app = typer.Typer(
    name="tuner",
    no_args_is_help=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="""Hyperparameter searches in the terminal.

    Without a command, the list of studies opens; from there you can open a study or start one. A sweep does not
    depend on a terminal: it keeps running when you close this one or lose the connection.

    \b
      tuner sweep                      the built-in caption search, live
      tuner sweep my.toml              your own search file
      tuner find-lr my.toml            first: which learning rates are worth a sweep?
      tuner sweep --headless --fail-if 'best > 0.5'       the same in CI
    """,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from . import __version__

        print(f"tuner {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def studies(  # its help is the app's, above
    context: typer.Context,
    slow: Annotated[
        bool, typer.Option("--slow", help="For a slow line: one picture a second. TUNER_SLOW=1 works too.")
    ] = False,
    version: Annotated[  # its callback prints it
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
    root: Root = HERE,
) -> None:
    if slow:
        os.environ["TUNER_SLOW"] = "1"
    if context.invoked_subcommand is None:
        _open_screen(root, None)
    os.environ["TUNER_MLRUNS"] = str(root)  # `tuner --mlruns DIR sweep` means what it says


@app.command()
def sweep(
    search: SearchName = None,
    settings: Settings = None,
    trials: Trials = None,
    parallel: Parallel = None,
    seed: Seed = None,
    sampler: Sampler = None,
    gpus: Gpus = None,
    python: Python = None,
    tracking_uri: TrackingUri = None,
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="Name of the study; a number is added.")
    ] = None,
    past: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="STUDY",
            help="Begin with the trials of another study: optuna:sqlite:///trials.db/NAME, mlflow:EXPERIMENT, or one "
            "of tuner's own. They are shown and counted apart, never run again; a sampler that learns is told them.",
        ),
    ] = None,
    headless: Headless = False,
    report: Reports = None,
    json: Json = None,
    junit: Junit = None,
    markdown: Markdown = None,
    fail_if: FailIf = None,
    baseline: Baseline = None,
    mlflow_wait: MlflowWait = None,
    no_color: NoColor = False,
    root: Root = HERE,
) -> None:
    """Start a study: draw trials from a search file and run them.

    On a terminal its screen opens. With --headless, with any report option, or without a terminal it runs
    here, to its end: Ctrl-C lets the running trials end, a second Ctrl-C stops them.
    """
    from .headless import check_baseline, parse_conditions, report_writers, run_headless
    from .launch import Resources, new_study, run_detached, settled, spread
    from .search.builtin import find_search
    from .search.file import load_search
    from .sources import find_past
    from .sources.journal import JournalSource

    overrides = list(settings or [])
    options = {"trials": trials, "parallel": parallel, "seed": seed, "sampler": sampler}
    overrides += [f"{key}={value}" for key, value in options.items() if value is not None]
    conditions = parse_conditions(fail_if or [])
    reports = report_writers(report or [], json, junit, markdown)
    source = find_search(search, Path.cwd())
    loaded = spread(load_search(source, overrides), gpus or "auto")
    before = check_baseline(baseline, conditions, loaded, root, tracking_uri)
    resources = settled(loaded, Resources(gpus or "auto", tracking_uri, python))
    history = find_past(root, past, loaded, tracking_uri) if past else None
    folder = new_study(root, loaded, resources, source, name, history)
    if headless or reports or conditions or not _terminal():
        code = run_headless(
            folder, conditions, reports=reports, no_color=no_color, baseline=before, mlflow_wait=mlflow_wait
        )
        raise typer.Exit(code)
    run_detached(folder)
    _open_screen(root, JournalSource(folder))


@app.command("find-lr")
def find_lr(
    search: SearchName = None,
    settings: Settings = None,
    seed: Seed = None,
    gpus: Gpus = None,
    python: Python = None,
    tracking_uri: TrackingUri = None,
    json: Json = None,
    mlflow_wait: MlflowWait = None,
    no_color: NoColor = False,
    root: Root = HERE,
) -> None:
    """Before a sweep: raise the learning rate once, draw the loss against it, suggest a rate and a range.

    Runs the search's `finder` as the one trial of a study <name>-lr. Hyperparameters that the search varies
    are left at their defaults unless --set fixes them.
    """
    from .headless import run_finder
    from .launch import Resources, finder_of, new_study, settled
    from .search.builtin import find_search
    from .search.file import load_search

    overrides = [*(settings or []), *([f"seed={seed}"] if seed is not None else [])]
    source = find_search(search, Path.cwd())
    finder = finder_of(load_search(source, overrides), source)
    resources = settled(finder, Resources(gpus or "auto", tracking_uri, python))
    folder = new_study(root, finder, resources, source)
    raise typer.Exit(run_finder(folder, result=json, no_color=no_color, mlflow_wait=mlflow_wait))


@app.command()
def refine(
    study: StudyName = None,
    trial: Annotated[
        int | None,
        typer.Option("--trial", min=0, metavar="N", help="Refine this trial; default: the best one."),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Fix meta_lr=0.03 instead of trying several, or fixed.meta_iterations=60. Repeatable.",
        ),
    ] = None,
    trials: Trials = None,
    parallel: Parallel = None,
    seed: Seed = None,
    gpus: Gpus = None,
    python: Python = None,
    tracking_uri: TrackingUri = None,
    headless: Headless = False,
    report: Reports = None,
    no_color: NoColor = False,
    root: Root = HERE,
) -> None:
    """After a sweep: improve its best trial's continuous hyperparameters by hypergradients.

    Runs the search's `refiner` as a study <name>-refined. Each of its trials is one descent from the best trial, with
    another step (meta_lr); its loss, loss/held, is that of trainings on seeds that were not learned on.

    \b
      tuner sweep plain                a random search that comes with the tuner
      tuner refine plain               ... and what hypergradients add to its best trial
    """
    from .headless import report_writers, run_headless
    from .launch import Resources, find_study, new_study, refinement_of, run_detached, settled
    from .sources.journal import JournalSource

    overrides = list(settings or [])
    options = {"trials": trials, "parallel": parallel, "seed": seed}
    overrides += [f"{key}={value}" for key, value in options.items() if value is not None]
    reports = report_writers(report or [], None, None, None)
    made = refinement_of(find_study(root, study), trial, overrides)
    folder = new_study(root, made, settled(made, Resources(gpus or "auto", tracking_uri, python)), None)
    if headless or reports or not _terminal():
        raise typer.Exit(run_headless(folder, [], reports=reports, no_color=no_color))
    run_detached(folder)
    _open_screen(root, JournalSource(folder))


@app.command()
def resume(
    study: StudyName = None,
    trials: Trials = None,
    parallel: Parallel = None,
    gpus: Gpus = None,
    python: Python = None,
    tracking_uri: TrackingUri = None,
    headless: Headless = False,
    report: Reports = None,
    json: Json = None,
    junit: Junit = None,
    markdown: Markdown = None,
    fail_if: FailIf = None,
    baseline: Baseline = None,
    mlflow_wait: MlflowWait = None,
    no_color: NoColor = False,
    root: Root = HERE,
) -> None:
    """Go on with a study that was stopped, whose engine was killed, or that should get more trials.

    Trials that were running are counted as interrupted; the rest of the plan runs with the parameters it
    would have had.
    """
    from .headless import check_baseline, parse_conditions, report_writers, run_headless
    from .launch import find_study, prepare_resume, run_detached
    from .sources.journal import JournalSource

    folder = find_study(root, study)
    conditions = parse_conditions(fail_if or [])
    reports = report_writers(report or [], json, junit, markdown)
    before = check_baseline(baseline, conditions, folder.snapshot().search, root, tracking_uri)
    prepare_resume(
        folder, trials=trials, parallel=parallel, gpus=gpus, tracking_uri=tracking_uri, python=python
    )
    if headless or reports or conditions or not _terminal():
        code = run_headless(
            folder, conditions, reports=reports, no_color=no_color, baseline=before, mlflow_wait=mlflow_wait
        )
        raise typer.Exit(code)
    run_detached(folder)
    _open_screen(root, JournalSource(folder))


@app.command("open")
def open_(
    study: StudyHere = None,
    name: StudyInside = None,
    objective: Objective = None,
    direction: Direction = None,
    space: SpaceFile = None,
    tracking_uri: TrackingUri = None,
    root: Root = HERE,
) -> None:
    """Show a study on the screen, live: one of tuner's own, or, read-only, one in MLflow or an Optuna storage.

    \b
      tuner open                                       the last study
      tuner open optuna:sqlite:///trials.db digits     the study `digits` of a database
      tuner open optuna:postgresql://box/db            ... the newest one of a server
      tuner open optuna:journal.log                    ... of a JournalFileBackend
      tuner open mlflow:digits --objective val_loss    the experiment `digits` of MLflow
      tuner open mlflow:http://box:5000 digits --objective val_acc --direction maximize
    """
    from .sources import find_source
    from .sources.background import Background
    from .sources.journal import JournalSource
    from .sources.source import Wanted

    source = find_source(root, study, name, Wanted(objective, direction, space, tracking_uri))
    if not isinstance(source, JournalSource):
        source.events()  # what can't be shown is refused before the screen opens
        source = Background(source)
    _open_screen(root, source)


@app.command()
def plot(
    study: StudyHere = None,
    name: StudyInside = None,
    save: Annotated[
        list[Path] | None,
        typer.Option(
            "--save", metavar="FILE", help="Write the picture to this .png or .svg file. Repeatable."
        ),
    ] = None,
    where: Annotated[
        str | None,
        typer.Option(
            "--where",
            metavar="FILTER",
            help="Only the trials that meet this: 'lr < 1e-3 and outcome = no_start'.",
        ),
    ] = None,
    width: Annotated[
        int | None, typer.Option("--width", min=20, metavar="N", help="Columns; default: the terminal's.")
    ] = None,
    pixels: Annotated[
        bool,
        typer.Option("--pixels", help="Draw the plots as pixels, in terminals that can (sixel, kitty)."),
    ] = False,
    objective: Objective = None,
    direction: Direction = None,
    space: SpaceFile = None,
    tracking_uri: TrackingUri = None,
    no_color: NoColor = False,
    root: Root = HERE,
) -> None:
    """Print a study's scatterplots, and whatever else was found in it; save the plots as PNG or SVG."""
    from .headless import filtered, terminal_width
    from .launch import BadInput
    from .report.output import wants_color
    from .sources import find_source
    from .sources.source import Wanted
    from .view.findings import all_findings

    bad = [path for path in save or () if path.suffix not in (".png", ".svg")]
    if bad:
        raise BadInput(f"--save {bad[0]}: the name must end in .png or .svg")
    wanted = Wanted(objective, direction, space, tracking_uri)
    snapshot = filtered(find_source(root, study, name, wanted).snapshot(), where)
    if pixels:
        from .view.pixels import NoPixels, show_pixels

        try:
            show_pixels(snapshot)
        except NoPixels as problem:
            raise BadInput(f"--pixels: {problem}") from None
    else:
        color = not no_color and wants_color(sys.stdout)
        print(all_findings(snapshot, width or terminal_width(), color=color))
    if save:
        from .report.picture import write_picture

        for path in save:
            write_picture(snapshot, path)
            print(path, file=sys.stderr)


@app.command()
def report(
    study: StudyHere = None,
    name: StudyInside = None,
    to: Annotated[
        list[Path] | None,
        typer.Option(
            "--to",
            metavar="FILE",
            help="A file: .json .xml (JUnit) .md .html .csv .txt .png .svg. Repeatable.",
        ),
    ] = None,
    objective: Objective = None,
    direction: Direction = None,
    space: SpaceFile = None,
    tracking_uri: TrackingUri = None,
    no_color: NoColor = False,
    root: Root = HERE,
) -> None:
    """Write reports of a study, whether it runs, is over or was interrupted. Without --to: print one.

    The suffix says which report: the scatterplots, the best trials, what failed and where in the space.
    """
    from .headless import report_writers, terminal_width
    from .report.output import wants_color
    from .report.text import summary
    from .sources import find_source
    from .sources.source import Wanted

    writers = report_writers(to or [], None, None, None)
    source = find_source(root, study, name, Wanted(objective, direction, space, tracking_uri))
    snapshot = source.snapshot()
    for write, path in writers:
        write(snapshot, path, source.files)
        print(path, file=sys.stderr)
    if not writers:
        color = not no_color and wants_color(sys.stdout)
        print(summary(snapshot, width=terminal_width(), color=color, files=source.files))


@app.command("list")
def list_(
    address: Annotated[
        str | None,
        typer.Argument(
            metavar="ADDRESS",
            help="Where to look, such as optuna:sqlite:///trials.db, mlflow: or mlflow:http://box:5000; "
            "default: the studies of tuner.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list, for scripts.")] = False,
    objective: Objective = None,
    direction: Direction = None,
    space: SpaceFile = None,
    tracking_uri: TrackingUri = None,
    root: Root = HERE,
) -> None:
    """List the studies: state, counts, best, newest first."""
    from .launch import BadInput
    from .report.listing import json_line, text_line
    from .sources import is_address, schemes, studies_at
    from .sources.source import SourceError, Wanted

    if address is not None and not is_address(address):
        raise BadInput(f"{address}: an address begins with one of {', '.join(f'{s}:' for s in schemes())}")
    lines: list[str] = []
    for source in studies_at(address or "", root, Wanted(objective, direction, space, tracking_uri)):
        try:
            snapshot = source.snapshot()
        except SourceError as error:
            print(f"{source.name:<28} {error}", file=sys.stderr)
            continue
        if as_json:
            lines.append(json_line(source, snapshot))
        else:
            print(text_line(source, snapshot))
    if as_json:
        print("[\n  " + ",\n  ".join(lines) + "\n]" if lines else "[]")


@app.command()
def check(
    search: Annotated[
        str | None,
        typer.Argument(
            metavar="SEARCH", autocompletion=searches_here, help="A search file or a built-in search."
        ),
    ] = None,
    settings: Settings = None,
    draw: Annotated[int, typer.Option("--draw", min=0, metavar="N", help="How many trials to show.")] = 3,
    python: Python = None,
) -> None:
    """Check a search file and its target, and show the first trials it would run. Starts nothing."""
    from .launch import check_search_target, command_line, first_trials, interpreter_of
    from .search.builtin import find_search
    from .search.file import load_search
    from .study.text import one_line
    from .view.words import parameter

    source = find_search(search, Path.cwd())
    loaded = load_search(source, settings or [])
    interpreter, version = interpreter_of(loaded, python)
    check_search_target(loaded, interpreter)
    print(
        f"{source}: {loaded.trials} trials of {one_line(loaded.runs)} over {len(loaded.space)} hyperparameters"
    )
    print(f"  Python {version}: {interpreter.path} ({interpreter.why})")
    for number, drawn in enumerate(first_trials(loaded, min(draw, loaded.trials))):
        params = "  ".join(f"{one_line(name)}={parameter(value)}" for name, value in drawn.items())
        print(f"  trial {number}: {params}")
        if loaded.command:
            print(f"    {one_line(command_line(loaded, number, drawn), 1000)}")


@app.command()
def init(
    what: Annotated[str, typer.Argument(metavar="SCRIPT", help="train.py, or a function: module:function.")],
    to: Annotated[Path, typer.Option("--to", metavar="FILE", help="The file to write.")] = Path("tuner.toml"),
    run: Annotated[
        bool | None,
        typer.Option("--run/--no-run", help="Run the script for a short time to see how it prints its loss."),
    ] = None,
    seconds: Annotated[
        float, typer.Option("--seconds", min=0.1, metavar="S", help="How long that run may take.")
    ] = 20.0,
    force: Annotated[bool, typer.Option("--force", help="Write over an existing file.")] = False,
    python: Python = None,
) -> None:
    """Write a search file for your own code, to edit: its options or parameters, with ranges around the defaults.

    \b
      tuner init train.py              reads the script's options; asks before it runs it
      tuner init train:train           reads the function's parameters

    A script is asked for its options by argparse or `--help`, in its own environment. A short run with its defaults
    shows how it prints its loss; the pattern for that goes into the file.
    """
    from .drafting import a_draft
    from .launch import BadInput
    from .search.schema import FILE, save_search_file

    if to.exists() and not force:
        raise BadInput(f"{to} is there already; give another name with --to, or --force")
    ask = (
        (lambda question: typer.confirm(question, default=True, err=True))
        if _terminal()
        else (lambda _: False)
    )
    wants = ask if run is None else (lambda _: bool(run))
    text = a_draft(what, to, python, seconds, wants, lambda note: print(note, file=sys.stderr))
    save_search_file(to, text)
    print(f"{to}: written; edit its ranges, then `tuner check {to}`")
    print(f"{to.with_name(FILE)}: lets editors check and complete it")


@app.command("schema")
def print_schema() -> None:
    """Print the JSON Schema of search files, by which editors check and complete them.

    \b
      tuner schema > tuner.schema.json     beside tuner.toml, whose first line is then
                                           #:schema tuner.schema.json
    """
    from .search.schema import schema_text

    print(schema_text(), end="")


@app.command()
def doctor(
    study: StudyName = None,
    fix: Annotated[
        bool,
        typer.Option("--repair", help="Take the damaged lines out of the journal; a copy of it is kept."),
    ] = False,
    root: Root = HERE,
) -> None:
    """Check a study's journal line by line: what is damaged, and what that costs. Exits with 1 where something is.

    Damaged lines are always passed over; --repair takes them out, so that they are not counted any more.
    """
    from .launch import find_study
    from .study.checkup import checkup, repair
    from .view.words import count_words

    folder = find_study(root, study)
    found, copy = repair(folder) if fix else (checkup(folder), None)
    for damage in found.damages:
        print(damage)
    if found.torn:
        print(
            f"the last line is not whole ({found.torn} bytes): a write was cut off; the next engine removes it"
        )
    counts = ", ".join(words for outcome, words in count_words(found.snapshot.counts) if outcome is not None)
    state = "no damage" if found.healthy else f"{len(found.damages)} damaged"
    print(f"{folder.name}: {found.lines} lines, {state}; {counts}")
    if copy:
        print(f"repaired; the journal as it was is in {copy}")
    raise typer.Exit(0 if found.healthy or copy else 1)


@app.command()
def stop(
    study: StudyName = None,
    now: Annotated[bool, typer.Option("--now", help="Stop the running trials too.")] = False,
    root: Root = HERE,
) -> None:
    """Ask a running study to start no more trials. `tuner resume` continues it later."""
    from .launch import BadInput, find_study
    from .study.requests import Request, ask

    folder = find_study(root, study)
    if not folder.engine_alive():
        raise BadInput(f"{folder.name} is not running")
    ask(folder.requests, Request("stop_now" if now else "stop"))
    print(f"{folder.name}: asked to stop" + ("" if now else "; running trials may end first"))


@app.command()
def change(
    study: StudyName = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Draw a hyperparameter from something else from now on, or fix it: "
            "'lr={ log = [1e-5, 1e-2] }', 'kind=[\"conv\"]', width=64. Repeatable.",
        ),
    ] = None,
    parallel: Parallel = None,
    add: Annotated[int | None, typer.Option("--add", min=1, metavar="N", help="So many trials more.")] = None,
    rerun: Annotated[
        list[int] | None,
        typer.Option(
            "--rerun", min=0, metavar="TRIAL", help="Run this trial again, as a new one. Repeatable."
        ),
    ] = None,
    root: Root = HERE,
) -> None:
    """Change a running study: its space, how many trials run at once, how many there will be.

    Trials that have started keep what they were given; the journal records each change.
    """
    from dataclasses import replace

    from .launch import BadInput, Resources, find_study, settled
    from .search.change import changed
    from .study.requests import Request, ask

    folder = find_study(root, study)
    if not folder.engine_alive():
        raise BadInput(f"{folder.name} is not running; `tuner resume` goes on with it")
    snapshot = folder.snapshot()
    changed(snapshot.search, settings or ())  # raises for what can't be
    missing = [number for number in rerun or () if number not in snapshot.trials]
    if missing:
        raise BadInput(f"--rerun {missing[0]}: {folder.name} has had no such trial")
    if parallel:
        settled(
            replace(snapshot.search, parallel=parallel), Resources.load(folder)
        )  # raises where it can't be
    wanted = [Request("change", settings=tuple(settings))] if settings else []
    wanted += [Request("parallel", parallel)] if parallel else []
    wanted += [Request("add_trials", add)] if add else []
    wanted += [Request("rerun", number) for number in rerun or ()]
    if not wanted:
        raise BadInput("nothing to change: give --set, --parallel, --add or --rerun")
    for request in wanted:
        ask(folder.requests, request)
    print(f"{folder.name}: asked; trials that have started keep what they were given")


@app.command()
def publish(study: StudyName = None, tracking_uri: TrackingUri = None, root: Root = HERE) -> None:
    """Copy to MLflow what it does not have yet (after a server was away, or to another server)."""
    from .launch import Resources, find_study
    from .record.publisher import publish as copy
    from .record.uri import tracking_uri as resolve

    folder = find_study(root, study)
    uri = tracking_uri or Resources.load(folder).tracking_uri
    raise typer.Exit(copy(folder, resolve(root, uri)))


@app.command()
def mlflow(
    port: Annotated[
        int, typer.Option("--port", metavar="N", help="If it is in use, the next free port is used.")
    ] = 5000,
    host: Annotated[
        str, typer.Option("--host", metavar="ADDRESS", help="Address to listen on.")
    ] = "127.0.0.1",
    tracking_uri: TrackingUri = None,
    root: Root = HERE,
) -> None:
    """Open the MLflow UI on the recorded runs. Ctrl-C ends it."""
    from .record.ui import open_mlflow_ui
    from .record.uri import tracking_uri as resolve

    raise typer.Exit(open_mlflow_ui(root, resolve(root, tracking_uri), host, port))


@app.command()
def serve(
    port: Annotated[int, typer.Option("--port", metavar="N", help="Where to listen.")] = 8000,
    host: Annotated[
        str,
        typer.Option(
            "--host", metavar="ADDRESS", help="Address to listen on; anybody who reaches it can start sweeps."
        ),
    ] = "127.0.0.1",
    root: Root = HERE,
) -> None:
    """Show the same screen in a browser. Each page is a screen of its own. Ctrl-C ends it.

    From a GPU box: ssh -L 8000:localhost:8000 box, then open localhost:8000.
    """
    from .launch import BadInput

    try:
        from .ui import browser
    except ImportError:
        raise BadInput(
            "the screen in a browser needs textual-serve: pip install 'tuner-tui[serve]'"
        ) from None
    try:
        browser.serve([sys.executable, "-m", "tuner_tui.cli", "--mlruns", str(root)], host, port)
    except OSError as problem:
        raise BadInput(f"can't listen on {host}:{port}: {problem.strerror}; choose another --port") from None


@app.command("engine", hidden=True)
def engine(path: Path) -> None:
    """Internal: the process that runs a detached study."""
    from .launch import run_here
    from .study.folder import StudyFolder

    def note(text: str) -> None:
        """Straight to engine.log. It may be on the very disk that is full, which must not end the engine."""
        with suppress(OSError):
            os.write(1, f"{text}\n".encode(errors="replace"))

    run_here(StudyFolder(path), note=note, warn=note)


def _open_screen(root: Path, attach: Source | None) -> None:
    from .launch import BadInput, first_trials, launch, launch_finder, resume

    if not _terminal():
        raise BadInput("the screen needs a terminal; `tuner sweep --headless` runs without one")
    from .ui.app import run_tui
    from .ui.doors import Doors

    doors = Doors(
        start=lambda search, file, gpus: launch(root, search, file, gpus),
        find_lr=lambda text: launch_finder(root, text),
        resume=resume,
        draw=first_trials,
    )
    run_tui(root, doors, attach=attach)


def _terminal() -> bool:
    """Whether there is something that a screen can be drawn on: a terminal, or the browser of `tuner serve`."""
    if os.environ.get("TEXTUAL_DRIVER"):
        return True
    return sys.stdin.isatty() and sys.stdout.isatty() and os.environ.get("TERM", "") not in ("", "dumb")


def main() -> None:
    """Run a verb. What a person got wrong ends here, as a sentence, wherever it was noticed."""
    try:
        app()
    except Exception as error:
        from .launch import REFUSALS
        from .report.exit_codes import BAD_INPUT

        # An OSError with a file's name is about a place that the person chose: no room, no permission, no folder.
        named = isinstance(error, OSError) and error.filename is not None
        if named and not isinstance(error, REFUSALS):
            error = ValueError(f"{error.filename}: {error.strerror}; see to its room and permissions")  # type: ignore[union-attr]
        elif not isinstance(error, REFUSALS):
            raise
        from .study.text import printable

        for line in str(error).splitlines():  # it may quote other people's code
            print(f"tuner: {printable(line)}", file=sys.stderr)
        sys.exit(BAD_INPUT)


if __name__ == "__main__":
    main()
