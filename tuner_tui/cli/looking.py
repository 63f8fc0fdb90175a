"""Verbs that show studies, and what was found in them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..view.axes import Overlay
from .app import app, open_screen
from .options import (
    HERE,
    Direction,
    Gpus,
    Json,
    NoColor,
    Objective,
    Parallel,
    Python,
    Root,
    Seed,
    SpaceFile,
    StudyHere,
    StudyInside,
    TrackingUri,
    overrides_of,
    searches_here,
)

if TYPE_CHECKING:
    pass


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
    from ..sources import find_source
    from ..sources.background import Background
    from ..sources.journal import JournalSource
    from ..sources.source import Wanted

    source = find_source(root, study, name, Wanted(objective, direction, space, tracking_uri))
    if not isinstance(source, JournalSource):
        source.events()  # what can't be shown is refused before the screen opens
        source = Background(source)
    open_screen(root, source)


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
    show: Annotated[
        Overlay,
        typer.Option(
            "--show",
            metavar="points|medians|best",
            help="All trials; with medians and quartiles; or only the best near each value (isolation plot).",
        ),
    ] = Overlay.POINTS,
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
    from ..headless import filtered, terminal_width
    from ..launch import BadInput
    from ..report.output import wants_color
    from ..sources import find_source
    from ..sources.source import Wanted
    from ..view.findings import all_findings

    bad = [path for path in save or () if path.suffix not in (".png", ".svg")]
    if bad:
        raise BadInput(f"--save {bad[0]}: the name must end in .png or .svg")
    wanted = Wanted(objective, direction, space, tracking_uri)
    snapshot = filtered(find_source(root, study, name, wanted).snapshot(), where)
    if pixels:
        from ..view.pixels import NoPixels, show_pixels

        try:
            show_pixels(snapshot)
        except NoPixels as problem:
            raise BadInput(f"--pixels: {problem}") from None
    else:
        color = not no_color and wants_color(sys.stdout)
        print(all_findings(snapshot, width or terminal_width(), color=color, overlay=show))
    if save:
        from ..report.picture import write_picture

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
    from ..headless import report_writers, terminal_width
    from ..report.output import wants_color
    from ..report.text import summary
    from ..sources import find_source
    from ..sources.source import Wanted

    writers = report_writers(to or [], None, None, None)
    source = find_source(root, study, name, Wanted(objective, direction, space, tracking_uri))
    snapshot = source.snapshot()
    for write, path in writers:
        write(snapshot, path, source.files)
        print(path, file=sys.stderr)
    if not writers:
        color = not no_color and wants_color(sys.stdout)
        print(summary(snapshot, width=terminal_width(), color=color, files=source.files))


@app.command()
def compare(
    search: Annotated[
        str | None,
        typer.Argument(
            metavar="SEARCH",
            autocompletion=searches_here,
            help="A search file or a built-in search; default: the bundled problems, which take seconds.",
        ),
    ] = None,
    samplers: Annotated[
        str,
        typer.Option("--samplers", metavar="NAMES", help="random2x is random search with twice the trials."),
    ] = "random,random2x,qmc,tpe,gp,cmaes,controller",
    repeats: Annotated[
        int,
        typer.Option("--repeats", min=1, metavar="N", help="Sweeps of each sampler, each with its own seed."),
    ] = 10,
    trials: Annotated[
        int | None,
        typer.Option("--trials", min=1, metavar="N", help="Of each sweep; default: the search's, or 50."),
    ] = None,
    problem: Annotated[
        list[str] | None,
        typer.Option("--problem", metavar="NAME", help="Only this one of the bundled problems. Repeatable."),
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="As for sweep. Repeatable.")
    ] = None,
    parallel: Parallel = None,
    seed: Seed = None,
    gpus: Gpus = None,
    python: Python = None,
    json: Json = None,
    root: Root = HERE,
) -> None:
    """Is a sampler that learns worth it? Run a search with several samplers, several times, and compare them.

    \b
      tuner compare                                      on the bundled problems
      tuner compare my.toml --samplers random,random2x,tpe --repeats 5

    Sweeps of a search of your own are studies in mlruns/NAME-compare; the same command goes on after an
    interruption. It prints the best so far, ranks, and a verdict with its uncertainty.
    """
    from ..comparing import chosen_samplers, compare_on_problems, compare_on_search, write_comparison
    from ..launch import BadInput, Resources
    from ..report.exit_codes import INTERRUPTED
    from ..search.builtin import find_search
    from ..view.comparison import lines

    names = chosen_samplers(samplers)

    def note(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    if search is None:
        if settings or parallel or gpus or python:
            raise BadInput("--set, --parallel, --gpus and --python are for a search of your own: name it")
        found = compare_on_problems(names, repeats, trials or 50, problem or (), seed or 0, note)
    else:
        if problem:
            raise BadInput("--problem is for the bundled problems: leave the search out")
        overrides = overrides_of(settings, trials=trials, parallel=parallel, seed=seed)
        source = find_search(search, Path.cwd())
        found = compare_on_search(
            root, source, overrides, names, repeats, Resources(gpus or "auto", None, python), note
        )
        if found is None:
            note("interrupted; the same command goes on")
            raise typer.Exit(INTERRUPTED)
    if json:
        write_comparison(found, json)
    print("\n".join(lines(found)))


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
    from ..launch import BadInput
    from ..report.listing import json_line, text_line
    from ..sources import is_address, schemes, studies_at
    from ..sources.source import SourceError, Wanted

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
