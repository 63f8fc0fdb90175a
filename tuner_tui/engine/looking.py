"""Look at somebody's own code before there is a search: which options a script takes, what it prints in a short run.

Both run the script in its own interpreter, the first only until it parses its command line.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
from pathlib import Path

from ..search.draft import Option, options_of_help
from .forkserver import START
from .interpreter import Interpreter, environment_of
from .launcher import BadTarget

_ASK_S = 120.0  # a script imports all its libraries before it looks at its options
_KEPT = 1 << 20  # bytes of output that are looked at
_GRACE_S = 2.0


def options_of_script(script: Path, interpreter: Interpreter) -> list[Option]:
    """The options of a script, from its argparse parser, else from its `--help`. Raises BadTarget without either."""
    with tempfile.TemporaryDirectory() as folder:
        told = Path(folder) / "options.json"
        said = _run([interpreter.path, START, "options", str(script), str(told)], script.parent, interpreter)
        if told.is_file():
            return [
                Option(o["name"], o["kind"], o["default"], tuple(o["choices"] or ()), o["flag"])
                for o in json.loads(told.read_text())["options"]
            ]
    found = options_of_help(_run([interpreter.path, str(script), "--help"], script.parent, interpreter))
    if not found:
        last = (said.strip().splitlines() or ["it printed nothing"])[-1]
        raise BadTarget(
            f"{script.name}: no options found, neither in an argparse parser nor in its --help (it said: {last}); "
            "write the search file by hand (docs/scripts.md)"
        )
    return found


def _run(command: list[str], cwd: Path, interpreter: Interpreter) -> str:
    try:
        return subprocess.run(
            command, cwd=cwd, env=environment_of(interpreter, os.environ), stdin=subprocess.DEVNULL, timeout=_ASK_S,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
        ).stdout  # fmt: skip
    except subprocess.TimeoutExpired as late:
        raise BadTarget(
            f"{command[1]} did not say its options within {_ASK_S:g} s; write the file by hand"
        ) from late
    except OSError as error:
        raise BadTarget(f"{command[0]} can't be run: {error}") from error


def a_short_run(script: Path, interpreter: Interpreter, seconds: float) -> tuple[str, int | None]:
    """What a script prints in so many seconds of a run with its defaults, and its exit code (None: not over)."""
    with tempfile.TemporaryDirectory() as folder, (Path(folder) / "output").open("w+b") as output:
        running = subprocess.Popen(
            [interpreter.path, script.name], cwd=script.parent, stdin=subprocess.DEVNULL, stdout=output,
            stderr=subprocess.STDOUT, start_new_session=True,
            env={**environment_of(interpreter, os.environ), "PYTHONUNBUFFERED": "1"},
        )  # fmt: skip
        try:
            code = running.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            _end(running)
        output.seek(0)
        return output.read(_KEPT).decode("utf-8", "replace"), code


def _end(running: subprocess.Popen[bytes]) -> None:
    """End it and all it has started: politely, then for good."""
    for number, seconds in ((signal.SIGTERM, _GRACE_S), (signal.SIGKILL, None)):
        try:
            os.killpg(running.pid, number)
        except ProcessLookupError:
            return
        try:
            running.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            pass
