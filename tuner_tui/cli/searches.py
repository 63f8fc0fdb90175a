"""Verbs for search files."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..analysis.narrowing import Crashes
from .app import app, has_terminal
from .options import (
    HERE,
    Python,
    Root,
    Settings,
    StudyName,
    searches_here,
)

if TYPE_CHECKING:
    pass


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
    from ..launch import check_search_target, command_line, first_trials, interpreter_of
    from ..search.builtin import find_search
    from ..search.file import load_search
    from ..study.text import one_line
    from ..view.words import parameter

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
    from ..drafting import a_draft
    from ..launch import BadInput
    from ..search.schema import FILE, save_search_file

    if to.exists() and not force:
        raise BadInput(f"{to} is there already; give another name with --to, or --force")
    ask = (
        (lambda question: typer.confirm(question, default=True, err=True))
        if has_terminal()
        else (lambda _: False)
    )
    wants = ask if run is None else (lambda _: bool(run))
    text = a_draft(what, to, python, seconds, wants, lambda note: print(note, file=sys.stderr))
    save_search_file(to, text)
    print(f"{to}: written; edit its ranges, then `tuner check {to}`")
    print(f"{to.with_name(FILE)}: lets editors check and complete it")


@app.command()
def narrow(
    study: StudyName = None,
    to: Annotated[
        Path | None,
        typer.Option("--to", metavar="FILE", help="Write the search file; default: only show it."),
    ] = None,
    best: Annotated[
        float,
        typer.Option("--best", min=1, max=100, metavar="PERCENT", help="Which finished trials are good."),
    ] = 25,
    crashes: Annotated[
        Crashes,
        typer.Option(
            "--crashes", metavar="keep|cut", help="What becomes of regions where failed trials crowd."
        ),
    ] = Crashes.KEEP,
    negligible: Annotated[
        float,
        typer.Option(
            "--negligible",
            min=0,
            max=100,
            metavar="PERCENT",
            help="Fix what explains at most so much of the loss, with 95 % confidence.",
        ),
    ] = 10,
    force: Annotated[bool, typer.Option("--force", help="Write over an existing file.")] = False,
    root: Root = HERE,
) -> None:
    """Write the next search: ranges of the best trials, what matters little fixed. Starts nothing.

    \b
      tuner narrow                             how each hyperparameter would change, and why
      tuner narrow --to next.toml              ... as a search file with the reasons as comments
      tuner narrow --crashes cut --best 10     without crash regions; from the best tenth
    """
    from ..analysis.next_search import proposal
    from ..headless import terminal_width
    from ..launch import BadInput
    from ..search.schema import save_search_file
    from ..sources import find_source
    from ..view.next_search import difference, heading, written

    if to is not None and to.exists() and not force:
        raise BadInput(f"{to} is there already; give another name with --to, or --force")
    snapshot = find_source(root, study).snapshot()
    try:
        found = proposal(snapshot, best / 100, crashes, negligible / 100)
    except ValueError as error:
        raise BadInput(f"{snapshot.study}: {error}") from error
    print(
        "\n".join((*heading(found, snapshot.study, snapshot.objective), *difference(found, terminal_width())))
    )
    if to is None:
        print("--to FILE writes it as a search file")
        return
    save_search_file(to, written(found, snapshot))
    print(f"{to}: written; `tuner check {to}`, then `tuner sweep {to}`")
    folder = Path(found.search.folder or ".").absolute()
    if found.search.folder and folder != to.absolute().parent:
        print(
            f"{to}: targets are looked up beside the file; those of the study were in {folder}",
            file=sys.stderr,
        )


@app.command("schema")
def print_schema() -> None:
    """Print the JSON Schema of search files, by which editors check and complete them.

    \b
      tuner schema > tuner.schema.json     beside tuner.toml, whose first line is then
                                           #:schema tuner.schema.json
    """
    from ..search.schema import schema_text

    print(schema_text(), end="")
