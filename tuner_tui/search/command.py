"""The command of a trial: a list of arguments with places for hyperparameters. No shell is involved.

    {name}         the value of a hyperparameter, anywhere in an argument
    {rest}         all that is named nowhere else, as --name=value; a boolean as the flag --name, or nothing
    {overrides}    the same as name=value, as Hydra takes it
    {seed} {out} {device} {trial} {slot} {folder} {params_file}      what the tuner fills in
    {{ and }}      a brace

An argument whose hyperparameter is not part of a trial (its `when` does not hold) is left out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from .problems import nearest

REST = "rest"
OVERRIDES = "overrides"
FILLED_IN = ("seed", "out", "device", "trial", "slot", "folder", "params_file")
# What Hydra's grammar takes without quotes (hydra/grammar/OverrideLexer.g4, version 1.3), spaces inside included.
_UNQUOTED = re.compile(
    r"(?:[A-Za-z0-9_./:@%*+$?|\-](?:[A-Za-z0-9_./:@%*+$?|\- ]*[A-Za-z0-9_./:@%*+$?|\-])?)?"
)
_PLACE = re.compile(r"\{\{|\}\}|\{([A-Za-z0-9_.\-:/]+)\}")


def expand(command: Sequence[str], params: Mapping[str, Any], filled: Mapping[str, Any]) -> list[str]:
    """The arguments of one trial. A hyperparameter that is called like something filled in goes before it."""
    named = {name for argument in command for name in places(argument)}
    rest = {name: value for name, value in params.items() if name not in named}
    known = {**filled, **params}
    arguments: list[str] = []
    for argument in command:
        if argument == f"{{{REST}}}":
            arguments += [option for name, value in rest.items() for option in _option(name, value)]
        elif argument == f"{{{OVERRIDES}}}":
            arguments += [f"{name}={_override(value)}" for name, value in rest.items()]
        elif all(name in known for name in places(argument)):
            arguments.append(_PLACE.sub(lambda match: _fill(match, known), argument))
    return arguments


def places(argument: str) -> Iterator[str]:
    """The names in braces in an argument."""
    return (match[1] for match in _PLACE.finditer(argument) if match[1])


def problems_of(
    command: Sequence[str], names: Collection[str], conditional: Collection[str]
) -> Iterator[tuple[int | None, str]]:
    """(which argument, what is wrong with it and what to do); None for what is wrong with the whole.

    `names`: of all hyperparameters, fixed ones included; `conditional`: of those that not every trial has.
    """
    used: set[str] = set()
    for index, argument in enumerate(command):
        for name in places(argument):
            used.add(name)
            if name in (REST, OVERRIDES):
                if argument != f"{{{name}}}":
                    yield index, f"{{{name}}} stands for several arguments; let it stand alone"
            elif name not in names and name not in FILLED_IN:
                known = (*names, *FILLED_IN, REST)
                hint = nearest(name, known) or f"; there are {', '.join(known)}"
                yield index, f"{{{name}}} is no hyperparameter of this search{hint} ({{{{ is a brace)"
            elif name in conditional and argument == f"{{{name}}}":
                yield index, f"not every trial has {name}; write the option in one piece: --{name}={{{name}}}"
    if not used & {REST, OVERRIDES, "params_file"}:
        for name in names:
            if name not in used:
                yield None, f"it does not use {name}; add --{name}={{{name}}}, or {{rest}} for all the others"


def spell(value: Any) -> str:
    """A value as an argument: text as it is, numbers so that they read back the same, lists as JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, (list, tuple)):
        return json.dumps(list(value))
    return ("true" if value else "false") if isinstance(value, bool) else str(value)


def _override(value: Any) -> str:
    """A value as Hydra takes it: a text with a character that its grammar uses stands in quotes."""
    if not isinstance(value, str) or _UNQUOTED.fullmatch(value):
        return spell(value)
    quoted = re.sub(r"(\\*)'", r"\1\1\\'", value)  # a backslash counts only before a quote
    ends_with = len(value) - len(value.rstrip("\\"))
    return "'" + quoted + "\\" * ends_with + "'"


def _option(name: str, value: Any) -> list[str]:
    if isinstance(value, bool):
        return [f"--{name}"] if value else []
    return [f"--{name}={spell(value)}"]


def _fill(match: re.Match[str], known: Mapping[str, Any]) -> str:
    return spell(known[match[1]]) if match[1] else match[0][0]
