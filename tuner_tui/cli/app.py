"""What all verbs share: the application, the screen, and how refusals are told."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .options import (
    HERE,
    Root,
)

if TYPE_CHECKING:
    from ..sources.source import Source


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
        from .. import __version__

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
        open_screen(root, None)
    os.environ["TUNER_MLRUNS"] = str(root)  # `tuner --mlruns DIR sweep` means what it says


def open_screen(root: Path, attach: Source | None) -> None:
    from ..launch import BadInput, first_trials, launch, launch_finder, resume

    if not has_terminal():
        raise BadInput("the screen needs a terminal; `tuner sweep --headless` runs without one")
    from ..ui.pauses import no_collections

    no_collections()
    from ..ui.app import run_tui
    from ..ui.doors import Doors

    doors = Doors(
        start=lambda search, file, gpus: launch(root, search, file, gpus),
        find_lr=lambda text: launch_finder(root, text),
        resume=resume,
        draw=first_trials,
    )
    run_tui(root, doors, attach=attach)


def has_terminal() -> bool:
    """Whether there is something that a screen can be drawn on: a terminal, or the browser of `tuner serve`."""
    if os.environ.get("TEXTUAL_DRIVER"):
        return True
    return sys.stdin.isatty() and sys.stdout.isatty() and os.environ.get("TERM", "") not in ("", "dumb")


def main() -> None:
    """Run a verb. What a person got wrong ends here, as a sentence, wherever it was noticed."""
    try:
        app()
    except Exception as error:
        from ..launch import REFUSALS
        from ..report.exit_codes import BAD_INPUT

        # An OSError with a file's name is about a place that the person chose: no room, no permission, no folder.
        named = isinstance(error, OSError) and error.filename is not None
        if named and not isinstance(error, REFUSALS):
            error = ValueError(f"{error.filename}: {error.strerror}; see to its room and permissions")  # type: ignore[union-attr]
        elif not isinstance(error, REFUSALS):
            raise
        from ..study.text import printable

        for line in str(error).splitlines():  # it may quote other people's code
            print(f"tuner: {printable(line)}", file=sys.stderr)
        sys.exit(BAD_INPUT)
