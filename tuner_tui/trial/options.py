"""Print what options a script takes, as one line of JSON: run the script until it parses its command line.

    python start.py options SCRIPT FILE

The line is written to FILE: {"options": [{"name", "flag", "kind", "default", "choices", "help"}, …]}. Only argparse
(and what is built on it) can be asked like this; for other parsers FILE stays empty and `--help` has to do.
"""

from __future__ import annotations

import argparse
import json
import runpy
import sys
from pathlib import Path
from typing import Any, NoReturn


def main(arguments: list[str]) -> None:
    """Run the script up to its first `parse_args`, and leave there."""
    script, told = Path(arguments[0]).absolute(), Path(arguments[1])

    def stop(parser: argparse.ArgumentParser, *words: Any, **named: Any) -> NoReturn:
        options = [_option(action) for action in parser._actions if action.option_strings]
        told.write_text(
            json.dumps({"options": [o for o in options if o["name"] != "help"]}), encoding="utf-8"
        )
        raise SystemExit(0)

    argparse.ArgumentParser.parse_known_args = stop  # type: ignore[method-assign]  # parse_args calls it too
    sys.argv[:] = [str(script)]
    sys.path.insert(0, str(script.parent))
    runpy.run_path(str(script), run_name="__main__")


def _option(action: argparse.Action) -> dict[str, Any]:
    longest = max(action.option_strings, key=len)
    choices = None if action.choices is None else [c for c in action.choices if _plain(c)]
    switch = action.nargs == 0 or isinstance(action.default, bool)
    kind = "flag" if switch else getattr(action.type, "__name__", "str")
    return {
        "name": longest.lstrip("-"), "flag": longest, "kind": kind, "choices": choices,
        "default": action.default if _plain(action.default) else None, "help": action.help or "",
    }  # fmt: skip


def _plain(value: object) -> bool:
    return isinstance(value, (bool, int, float, str))
