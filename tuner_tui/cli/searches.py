"""Verbs for search files."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .app import app, has_terminal
from .options import (
    Python,
    Settings,
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


@app.command("schema")
def print_schema() -> None:
    """Print the JSON Schema of search files, by which editors check and complete them.

    \b
      tuner schema > tuner.schema.json     beside tuner.toml, whose first line is then
                                           #:schema tuner.schema.json
    """
    from ..search.schema import schema_text

    print(schema_text(), end="")
