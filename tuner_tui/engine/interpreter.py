"""Which Python runs the trials: the user's own environment, in which tuner need not be installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..search.search import Search
from .launcher import BadTarget

OLDEST = (3, 9)  # what the trial's side is written for
_ASK_S = 60.0  # a first start from a cold network disk takes seconds
_ASK = "import sys; print('python', *sys.version_info[:3])"
_PYTHONS = ("python", "python3")  # in a command these mean the chosen interpreter


@dataclass(frozen=True)
class Interpreter:
    """A Python to run trials with, and why this one."""

    path: str  # absolute; a link is kept as it is: through it Python finds its environment
    why: str

    @property
    def ours(self) -> bool:
        """Whether it is the one that runs tuner."""
        return self.path == sys.executable


OURS = Interpreter(sys.executable, "tuner's own")


def find_interpreter(search: Search, option: str | None = None, *, builtin: bool = False) -> Interpreter:
    """What `--python` says, else the search file's `python`, else the `.venv` beside the file or above it, else the
    active environment, else tuner's own. A built-in search runs in tuner's own unless told otherwise.

    Raises BadTarget for one that was named and is not there.
    """
    if option:
        return Interpreter(_named(option, Path.cwd(), "--python"), "--python")
    folder = Path(search.folder or ".").absolute()
    if search.python:
        return Interpreter(_named(search.python, folder, "python"), "`python` in the search file")
    if builtin:
        return Interpreter(sys.executable, "tuner's own: the search is built in")
    for place in (folder, *folder.parents):
        if found := python_of(place / ".venv"):
            return Interpreter(
                found, "the .venv " + ("beside the search file" if place == folder else "above it")
            )
    for variable in ("VIRTUAL_ENV", "CONDA_PREFIX"):
        if (active := os.environ.get(variable)) and (found := python_of(Path(active))):
            return Interpreter(found, f"the active environment ({variable})")
    return Interpreter(
        sys.executable, "tuner's own: no .venv beside the search file or above, none is active"
    )


def python_of(environment: Path) -> str | None:
    """The interpreter of an environment's folder, if it has one."""
    for name in ("bin/python", "bin/python3", "Scripts/python.exe"):
        if os.access(path := environment / name, os.X_OK):
            return str(path.absolute())
    return None


def _named(text: str, folder: Path, place: str) -> str:
    path = folder / Path(text).expanduser()
    if path.is_dir() and (inside := python_of(path)):
        return inside  # the folder of an environment
    if os.access(path, os.X_OK) and not path.is_dir():
        return str(path.absolute())
    if "/" not in text and (found := shutil.which(text)):
        return found
    remedy = "give the path of a Python, such as .venv/bin/python"
    raise BadTarget(f"{place} = {text}: no such interpreter ({path}); {remedy}")


def check_interpreter(interpreter: Interpreter) -> str:
    """Its version, such as "3.12.1". Raises BadTarget for what is no Python, or one too old for the trial's side."""
    if interpreter.ours:
        return ".".join(map(str, sys.version_info[:3]))
    told = f"{interpreter.path} ({interpreter.why})"
    try:
        asked = subprocess.run(
            [interpreter.path, "-c", _ASK],
            capture_output=True,
            text=True,
            timeout=_ASK_S,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise BadTarget(f"{told} can't be run: {error}; name another with --python") from None
    word, *version = asked.stdout.split()[-4:] or [""]
    if asked.returncode or word != "python":
        said = (asked.stderr or asked.stdout).strip().splitlines()[-1:] or ["it printed nothing"]
        raise BadTarget(f"{told} is no working Python: {said[0]}; name another with --python")
    if tuple(map(int, version[:2])) < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        raise BadTarget(f"{told} is Python {'.'.join(version)}; trials need {oldest} or later")
    return ".".join(version)


def environment_of(interpreter: Interpreter, before: Mapping[str, str]) -> dict[str, str]:
    """The variables of a process in its environment, as if it had been activated: a script that starts `python` or
    `torchrun` gets the right one."""
    folder = Path(interpreter.path).parent
    environment = dict(before)
    environment["PATH"] = os.pathsep.join([str(folder), *filter(None, [before.get("PATH")])])
    if (folder.parent / "pyvenv.cfg").is_file():
        environment["VIRTUAL_ENV"] = str(folder.parent)
    elif not interpreter.ours:
        environment.pop("VIRTUAL_ENV", None)
    return environment


def program_of(word: str, interpreter: Interpreter) -> str:
    """What the first word of a command stands for: `python` is the chosen interpreter."""
    return interpreter.path if word in _PYTHONS else word


def check_command(search: Search, interpreter: Interpreter) -> None:
    """Raises BadTarget when the program of a search's command, or the script it names, is not there."""
    folder = Path(search.folder or ".").absolute()
    program, *rest = (word.replace("{folder}", str(folder)) for word in search.command)
    program = program_of(program, interpreter)
    path = environment_of(interpreter, os.environ)["PATH"]
    found = os.access(folder / program, os.X_OK) if "/" in program else shutil.which(program, path=path)
    if not found:
        where = f"in {folder}" if "/" in program else "on the PATH"
        raise BadTarget(f"command: there is no program {program} {where}; correct the first word")
    if program == interpreter.path:
        script = next((word for word in rest[:1] if not word.startswith("-")), None)
        if script and search.cwd and not Path(script).is_absolute() and "{" not in script:
            raise BadTarget(
                f'command: it runs in cwd = "{search.cwd}", where there is no {script}; write {{folder}}/{script}'
            )
        if script and "{" not in script and not (folder / script).exists():
            raise BadTarget(f"command: there is no {script} in {folder}; the command runs in that folder")
