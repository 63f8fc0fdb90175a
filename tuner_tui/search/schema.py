"""The JSON Schema of search files: what editors check and complete them by (Even Better TOML, taplo, tombi).

It is made from the lists that the reader itself uses: the keys (keys.py, reading.py) and the kinds of distributions
(distributions.py). It takes every file that the reader takes. Some of what the reader refuses it can't see, such as a
range that goes down, or a condition that never holds; `tuner check` says those.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .distributions import ALLOWED, KINDS
from .file import NAME, VARIABLE
from .keys import DEFAULTS, KEYS, LIMITS
from .reading import JSON_LINES, READS
from .search import Limits
from .space import ROLES
from .values import Key

FILE = "tuner.schema.json"  # beside the search file that names it
LINE = f"#:schema {FILE}"  # its first line: a path that holds wherever the folder goes, and without a network

_SCALAR: dict[str, Any] = {"type": ["number", "string", "boolean"]}
_VALUE: dict[str, Any] = {"anyOf": [_SCALAR, {"type": "array", "items": _SCALAR}]}
_NUMBER: dict[str, Any] = {"type": "number"}
# What the keys of a distribution take.
_PARTS: dict[str, dict[str, Any]] = {
    "log": {
        "type": "array",
        "items": {"type": "number", "exclusiveMinimum": 0},
        "minItems": 2,
        "maxItems": 2,
    },
    "float": {"type": "array", "items": _NUMBER, "minItems": 2, "maxItems": 2},
    "int": {"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 2},
    "choices": {"type": "array", "items": _VALUE, "minItems": 1},
    "step": {"type": "number", "exclusiveMinimum": 0},
    "when": {"$ref": "#/definitions/when"},
    "role": {"enum": list(ROLES), "description": "What is asked of it; fixed: it has the value below."},
    "value": {**_VALUE, "description": "With role = fixed: what every trial is given."},
}
_ABOUT = {
    "log": "Numbers from low to high, uniform in the logarithm.",
    "float": "Numbers from low to high; with step, or log = true.",
    "int": "Whole numbers from low to high; with step, or log = true.",
    "choices": "One of several values, each as likely.",
}


def schema() -> dict[str, Any]:
    """The schema, as JSON Schema of draft 7, which all of these editors read."""
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "tuner: a search file",
        "description": "What `tuner sweep` runs. `tuner check` also says what a schema can't.",
        "type": "object",
        "properties": _properties(KEYS, DEFAULTS)
        | {
            "space": {"$ref": "#/definitions/space"},
            "fixed": {
                "description": "Passed to every trial.", "type": "object", "propertyNames": _names(),
                "additionalProperties": _VALUE,
            },
            "secret": {
                "description": "Passed to every trial from the variable of the environment that is named; masked.",
                "type": "object", "propertyNames": _names(),
                "additionalProperties": {"type": "string", "pattern": f"^{VARIABLE.pattern}$"},
            },
            "limits": _table(LIMITS, Limits(), "When a trial is ended, and the study."),
            "read": _table(READS, JSON_LINES, "How the output of a command is read; not needed for JSON lines."),
        },
        "additionalProperties": False,
        "oneOf": [{"required": ["target"]}, {"required": ["command"]}],
        "dependencies": {"read": ["command"]},
        "definitions": {
            "space": {
                "description": "What is varied; tables in it are groups of panels.",
                "type": "object",
                "additionalProperties": {
                    "if": _is_hyperparameter(),
                    "then": {"$ref": "#/definitions/hyperparameter"},
                    "else": {"$ref": "#/definitions/group"},
                },
            },
            "group": {
                "type": "object", "minProperties": 1, "propertyNames": _names(),
                "additionalProperties": {"$ref": "#/definitions/hyperparameter"},
            },
            "hyperparameter": {
                "anyOf": [_PARTS["choices"], *({"$ref": f"#/definitions/{kind}"} for kind in KINDS)]
            },
            **{kind: _distribution(kind) for kind in KINDS},
            "when": {
                "description": "It is part of a trial only if all these hyperparameters have one of these values.",
                "type": "object", "minProperties": 1,
                "additionalProperties": {"anyOf": [_VALUE, {"type": "array", "items": _VALUE}]},
            },
        },
    }  # fmt: skip


def schema_text() -> str:
    """The schema as a file."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


def save_search_file(path: Path, text: str) -> None:
    """Write a search file for a person to edit, with the schema that its first line names beside it.

    Raises OSError.
    """
    path.write_text(f"{LINE}\n{text}", encoding="utf-8")
    (path.absolute().parent / FILE).write_text(schema_text(), encoding="utf-8")


def _properties(keys: Sequence[Key], defaults: object) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key in keys:
        default = getattr(defaults, key.name, None)
        usual = {} if default in (None, "", ()) else {"default": default}
        found[key.name] = {"description": key.about, **key.takes.schema(), **usual}
    return found


def _table(keys: Sequence[Key], defaults: object, about: str) -> dict[str, Any]:
    properties = _properties(keys, defaults)
    return {"description": about, "type": "object", "properties": properties, "additionalProperties": False}


def _names() -> dict[str, Any]:
    return {"pattern": f"^{NAME.pattern}$"}


def _is_hyperparameter() -> dict[str, Any]:
    """What `is_distribution` asks of a table; a list is one of choices."""
    has_one = [{"required": [kind]} for kind in KINDS]
    steps = {"required": ["step"], "properties": {"step": {"type": ["number", "boolean"]}}}
    return {"anyOf": [{"not": {"type": "object"}}, *has_one, steps]}


def _distribution(kind: str) -> dict[str, Any]:
    parts = {part: _PARTS[part] for part in ALLOWED[kind] if part != "log" or part == kind}
    if "log" in ALLOWED[kind] and kind != "log":
        parts["log"] = {"type": "boolean", "default": False}
    return {
        "description": _ABOUT[kind], "type": "object", "required": [kind], "properties": parts,
        "additionalProperties": False,
    }  # fmt: skip
