"""Verbs for studies that are there: mend, stop, change, copy, serve."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .app import app
from .options import (
    HERE,
    Parallel,
    Root,
    StudyName,
    TrackingUri,
)

if TYPE_CHECKING:
    pass


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
    from ..launch import find_study
    from ..study.checkup import checkup, repair
    from ..view.words import count_words

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
    from ..launch import BadInput, find_study
    from ..study.requests import Request, ask

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

    from ..launch import BadInput, Resources, find_study, settled
    from ..search.change import changed
    from ..study.requests import Request, ask

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
    from ..launch import Resources, find_study
    from ..record.publisher import publish as copy
    from ..record.uri import tracking_uri as resolve

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
    from ..record.ui import open_mlflow_ui
    from ..record.uri import tracking_uri as resolve

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
    from ..launch import BadInput

    try:
        from ..ui import browser
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
    from ..launch import run_here
    from ..study.folder import StudyFolder

    def note(text: str) -> None:
        """Straight to engine.log. It may be on the very disk that is full, which must not end the engine."""
        with suppress(OSError):
            os.write(1, f"{text}\n".encode(errors="replace"))

    run_here(StudyFolder(path), note=note, warn=note)
