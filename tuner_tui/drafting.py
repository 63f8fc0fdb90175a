"""`tuner init`: look at somebody's own code and write a first search file for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from .engine.launcher import BadTarget
from .engine.looking import a_short_run, options_of_script
from .launch import describe_target, interpreter_of
from .search.draft import Option, Printed, draft, read_output
from .search.file import parse_search
from .search.problems import SearchError
from .search.search import Search
from .search.space import Space
from .trial.child import FILLED_IN


def a_draft(
    what: str,
    to: Path,
    python: str | None,
    seconds: float,
    wants: Callable[[str], bool],
    note: Callable[[str], None],
) -> str:
    """The text of a search file for `what`, a script or "module:function", to be kept at `to`.

    `wants` is asked whether the script may be run for `seconds`; `note` hears what was found. Raises BadTarget for
    what can't be looked at.
    """
    folder = to.absolute().parent
    here = Search("draft", what, "loss", Space(), folder=str(folder))
    interpreter, version = interpreter_of(here, python)
    note(f"Python {version}: {interpreter.path} ({interpreter.why})")
    if ":" in what and not Path(what).exists():
        target = describe_target(here, interpreter)
        options = [
            _parameter(name, target.defaults.get(name)) for name in target.names if name not in FILLED_IN
        ]
        return _checked(draft(options, target=what, python=python or ""), to, note)
    script = Path(what)
    if not script.is_file():
        raise BadTarget(f'{what}: no such script; for a function write "module:function"')
    options = options_of_script(script, interpreter)
    note(f"{script}: {len(options)} options")
    printed = _look(
        script, seconds, wants, note, lambda: a_short_run(script.absolute(), interpreter, seconds)
    )
    name = (
        script.absolute().relative_to(folder)
        if script.absolute().is_relative_to(folder)
        else script.absolute()
    )
    return _checked(draft(options, script=str(name), python=python or "", printed=printed), to, note)


def _parameter(name: str, default: object) -> Option:
    return Option(name, "flag" if isinstance(default, bool) else type(default).__name__, default)


def _look(
    script: Path,
    seconds: float,
    wants: Callable[[str], bool],
    note: Callable[[str], None],
    run: Callable[[], tuple[str, int | None]],
) -> Printed | None:
    if not wants(f"Run {script} with its defaults for at most {seconds:g} s, to see how it prints its loss?"):
        return None
    text, code = run()
    if code not in (0, None):
        last = (text.strip().splitlines() or ["it printed nothing"])[-1]
        note(f"{script}: the run with its defaults left with exit code {code}: {last}")
    printed = read_output(text)
    if printed is None:
        note(f"{script}: nothing that looks like a loss was printed; see [read] in the file")
    else:
        way = "largest" if printed.maximize else "smallest"
        note(f"{script}: the objective is {printed.objective!r}, the {way} is best")
    return printed


def _checked(text: str, to: Path, note: Callable[[str], None]) -> str:
    """The text; what the checks of search files say of it is told, for it is meant to be edited."""
    try:
        parse_search(text, str(to))
    except SearchError as error:
        note(str(error))
    return text
