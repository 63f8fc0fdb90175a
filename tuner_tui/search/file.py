"""A search file becomes a `Search`, or a `SearchError` that lists everything wrong with it.

The file is TOML, so people can comment it and keep it in git. An unknown key is an error,
because ignoring a misspelt limit would run the search without that limit.
"""

from __future__ import annotations

import copy
import keyword
import posixpath
import re
import shlex
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from .command import problems_of
from .conditions import Entry, resolve
from .distributions import is_distribution, is_number, is_scalar, misspelt_kind, read_distribution
from .overrides import apply_overrides
from .problems import Findings, Keys, Problem, SearchError, dotted, nearest, show
from .reading import READ_KEYS, Read, read_read
from .search import LIMIT_KEYS, SAMPLERS, SCALAR_KEYS, Limits, Search
from .space import Hyperparameter, Space

TABLES = ("space", "fixed", "secret", "limits", "read")
DIRECTIONS = ("minimize", "maximize")
ISOLATIONS = ("fork", "spawn")
_DEEPEST = 20  # a condition on lists of lists has seven levels
_LONGEST = (
    1_000_000  # characters; real searches have a few thousand, and the parser takes a second for each million
)
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LARGEST_SEED = 2**63 - 1  # what every reader of JSON and every database column takes
# MLflow takes parameters of these names only; refusing others here costs less than losing them there.
_NAME = re.compile(r"[A-Za-z0-9_.\-:/ ]{1,250}")


def load_search(path: Path | str, overrides: Sequence[str] = ()) -> Search:
    """The search in a file, with `key=value` overrides. Raises SearchError, also when it can't be read."""
    try:
        text = Path(path).read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        message = f"not UTF-8 at byte {error.start}; save the file as UTF-8"
        raise SearchError([Problem(str(path), "", message)]) from None
    except (OSError, ValueError) as error:  # ValueError: a path with a NUL in it
        reason = getattr(error, "strerror", None) or str(error)
        message = f"can't be read: {reason}; check the path"
        raise SearchError([Problem(str(path), "", message)]) from None
    return parse_search(text, str(path), overrides)


def parse_search(text: str, source: str, overrides: Sequence[str] = ()) -> Search:
    """The search in `text`. `source` is its path: named in messages, and the folder targets are looked up in.

    Raises SearchError with all problems at once.
    """
    if len(text) > _LONGEST:
        message = (
            f"holds {len(text):,} characters, and a search file may have {_LONGEST:,}; "
            f"keep data in a file of its own"
        )
        raise SearchError([Problem(source, "", message)])
    try:
        raw = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise SearchError([_syntax_problem(source, error)]) from None
    if _too_deep(raw):
        raise SearchError(
            [Problem(source, "", "not a search: nested too deeply; a search file has three levels")]
        )
    findings = Findings(source)
    raw = copy.deepcopy(raw)
    apply_overrides(raw, overrides, findings)
    search = _read(raw, Path(source), findings)
    if findings.problems:
        raise SearchError(findings.problems)
    return search


def _too_deep(raw: dict[str, Any]) -> bool:
    """Whether values are nested deeper than anything that could be meant. Dotted keys nest without brackets, which
    the parser takes however deep they are, and what walks over them later would not."""
    level: list[Any] = [raw]
    for _ in range(_DEEPEST):
        level = [
            inner
            for value in level
            for inner in (value.values() if isinstance(value, dict) else value)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return False
    return True


def _syntax_problem(source: str, error: Exception) -> Problem:
    message = "nested too deeply" if isinstance(error, RecursionError) else str(error)
    message, _, where = message.partition(" (at ")
    place = where.rstrip(")")
    return Problem(source, place, f"not valid TOML: {message[:1].lower()}{message[1:]}; correct it there")


def _read(raw: dict[str, Any], path: Path, findings: Findings) -> Search:
    _refuse_unknown(raw, (), (*SCALAR_KEYS, *TABLES), findings)
    tables = {key: _table(raw, key, findings) for key in TABLES}
    fixed = _read_fixed(tables["fixed"], findings)
    space = Space(tuple(_read_space(tables["space"], fixed, findings)))
    objective = _text(raw, "objective", "loss", findings)
    command = _read_command(raw, space, fixed, findings)
    return Search(
        name=_text(raw, "name", path.stem or "study", findings),
        target="" if "command" in raw else _function(raw, "target", findings),
        objective=objective,
        space=space,
        direction=_one_of(raw, "direction", DIRECTIONS, findings),
        sampler=_one_of(raw, "sampler", SAMPLERS, findings),
        trials=_whole(raw, "trials", Search.trials, 1, findings),
        parallel=_whole(raw, "parallel", Search.parallel, 1, findings),
        seed=_whole(raw, "seed", Search.seed, 0, findings),
        fixed={name: value for name, value in fixed.items() if value is not None},
        secret=_read_secret(tables["secret"], {*space.names, *fixed}, findings),
        limits=_read_limits(tables["limits"], findings),
        isolation=_one_of(raw, "isolation", ISOLATIONS, findings),
        finder=_function(raw, "finder", findings) if raw.get("finder", "") != "" else "",
        command=command,
        read=_read_reading(raw, tables["read"], objective, findings),
        python=_text(raw, "python", "python", findings) if raw.get("python", "") != "" else "",
        gpus_per_trial=_whole(raw, "gpus_per_trial", Search.gpus_per_trial, 1, findings),
        retries=_whole(raw, "retries", Search.retries, 0, findings),
        experiment=_text(raw, "experiment", "project", findings) if raw.get("experiment", "") != "" else "",
        share_run=_boolean(raw, "share_run", findings),
        folder=str(path.absolute().parent),
    )


def _refuse_unknown(table: dict[str, Any], keys: Keys, known: Sequence[str], findings: Findings) -> None:
    for key in table:
        if key in known:
            continue
        if keys and key in SCALAR_KEYS:
            remedy = "; it belongs above the first [table] of the file"
        elif not keys and key in LIMIT_KEYS:
            remedy = "; it belongs under [limits]"
        elif not keys and key in READ_KEYS:
            remedy = "; it belongs under [read]"
        else:
            remedy = nearest(key, known) or f"; the keys are {', '.join(known)}"
        findings.add((*keys, key), f"unknown key{remedy}")


def _table(raw: dict[str, Any], key: str, findings: Findings) -> dict[str, Any]:
    value = raw.get(key, {})
    if isinstance(value, dict):
        return value
    findings.add((key,), f"{show(value)} is not a table; write [{key}] and its keys below")
    return {}


def _text(raw: dict[str, Any], key: str, default: str, findings: Findings) -> str:
    value = raw.get(key, default)
    if isinstance(value, str) and value.strip() and value.isprintable():
        return value
    findings.add((key,), f"{show(value)} is not a name; write text in quotes, on one line")
    return default


def _one_of(raw: dict[str, Any], key: str, options: tuple[str, ...], findings: Findings) -> str:
    """One of `options`, the first of them by default."""
    value = raw.get(key, options[0])
    if value in options and isinstance(value, str):
        return value
    hint = nearest(value, options) if isinstance(value, str) else ""
    findings.add((key,), f"unknown {key} {show(value)}; choose {' or '.join(options)}{hint}")
    return options[0]


def _whole(raw: dict[str, Any], key: str, default: int, least: int, findings: Findings) -> int:
    value = raw.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int):
        findings.add((key,), f"{show(value)} is not a whole number; write {key} = {default}, say")
    elif not least <= value <= _LARGEST_SEED:
        bound = f"at least {least}" if value < least else "below 2**63"
        findings.add((key,), f"{show(value)} is out of range; it must be {bound}")
    else:
        return value
    return default


def _boolean(raw: dict[str, Any], key: str, findings: Findings) -> bool:
    value = raw.get(key, False)
    if not isinstance(value, bool):
        findings.add((key,), f"{show(value)} is not true or false; write {key} = true, or leave it out")
    return value is True


def _function(raw: dict[str, Any], key: str, findings: Findings) -> str:
    if key not in raw:
        findings.add(
            (key,), 'missing; name the training function: target = "module:function", or a script: '
            'command = ["python", "train.py", "{rest}"]',
        )  # fmt: skip
        return ""
    value = raw[key]
    remedy = 'write "module:function"'
    if isinstance(value, str):
        bare = value.removeprefix("optuna:") if value.count(":") == 2 else value
        module, colon, function = bare.partition(":")
        parts = [*module.split("."), function]
        is_name = all(part.isidentifier() and not keyword.iskeyword(part) for part in parts)
        if colon and is_name and not module.endswith(".py"):
            return value
        if " " in value or (module.endswith(".py") and not colon):
            words = value.split() if " " in value else ["python", value, "{rest}"]
            guess = module.removesuffix(".py").strip("./").replace("/", ".")
            named = "" if " " in value else f'; for a function in it name the module: "{guess}:train"'
            remedy = f"for a script write command = {show(words)}{named}"
        elif "/" in module or module.endswith(".py"):
            guess = module.removesuffix(".py").strip("./").replace("/", ".")
            remedy = f'name the module, not its file: "{guess}:{function or "train"}"'
        elif not colon and value.isidentifier():
            remedy = f'write "{value}:function", the function in that module'
    findings.add((key,), f"{show(value)} names no function; {remedy}")
    return ""


def _read_command(
    raw: dict[str, Any], space: Space, fixed: dict[str, Any], findings: Findings
) -> tuple[str, ...]:
    if "command" not in raw:
        return ()
    keys = ("command",)
    if "target" in raw:
        findings.add(keys, "target is given too; keep one of the two")
    command = raw["command"]
    if isinstance(command, str) and command.strip():
        try:
            words = shlex.split(command)
        except ValueError:
            words = command.split()
        findings.add(keys, f"is one text; write a list, no shell reads it: {show(words)}")
        return ()
    if not isinstance(command, list) or not command or not all(isinstance(word, str) for word in command):
        findings.add(keys, f'{show(command)} is no command; write ["python", "train.py", "{{rest}}"]')
        return ()
    if not command[0] or any("\0" in word for word in command):
        findings.add(keys, f"{show(command)} names no program, or holds a NUL; correct it")
        return ()
    conditional = [h.name for h in space if h.when]
    for index, message in problems_of(command, (*space.names, *fixed), conditional):
        findings.add((*keys, str(index + 1)) if index is not None else keys, message)
    return tuple(command)


def _read_reading(raw: dict[str, Any], table: dict[str, Any], objective: str, findings: Findings) -> Read:
    _refuse_unknown(table, ("read",), READ_KEYS, findings)
    if table and "command" not in raw:
        findings.add(("read",), "is for a command; a target yields or reports its measurements")
    return read_read(table, objective, findings)


def _read_limits(table: dict[str, Any], findings: Findings) -> Limits:
    _refuse_unknown(table, ("limits",), LIMIT_KEYS, findings)
    good: dict[str, Any] = {}
    for key in LIMIT_KEYS:
        if key not in table:
            continue
        if key == "same_failures":
            value = table[key]
            if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= _LARGEST_SEED:
                good[key] = value
            else:
                findings.add(("limits", key), f"{show(value)} is no count; write a whole number above 0")
            continue
        value, unit = table[key], "gigabytes" if key == "memory_gb" else "seconds"
        if not is_number(value) or not 0 < value < 1e15:  # 1e15 s: beyond any clock; also refuses nan and inf
            wrong = "is not a number" if not is_number(value) else "is out of range"
            findings.add(("limits", key), f"{show(value)} {wrong}; write {unit} above 0, or leave it out")
        else:
            good[key] = float(value)
    return Limits(**good)


def _read_secret(table: dict[str, Any], others: set[str], findings: Findings) -> dict[str, str]:
    good: dict[str, str] = {}
    for name, variable in table.items():
        keys = ("secret", name)
        if name in others:
            findings.add(keys, "is in [space] or [fixed] too; leave it in one of them")
        elif not _NAME.fullmatch(name):
            findings.add(keys, "this name can't be a parameter; use letters, digits and _")
        elif not isinstance(variable, str) or not _VARIABLE.fullmatch(variable):
            # What was written there may be the secret itself: it is not repeated.
            findings.add(
                keys, f'write the name of a variable of the environment, such as {name} = "MY_TOKEN"'
            )
        else:
            good[name] = variable
    return good


def _read_fixed(table: dict[str, Any], findings: Findings) -> dict[str, Any]:
    """Name -> value; None for a value that is wrong, so that its name is known all the same."""
    good: dict[str, Any] = {}
    for name, value in table.items():
        keys = ("fixed", name)
        good[name] = None
        if isinstance(value, dict):
            quoted = f"{name}.{next(iter(value), '...')}"
            findings.add(keys, f'is a table; for a name with a dot quote the name: "{quoted}"')
        elif not all(is_scalar(item) for item in (value if isinstance(value, list) else [value])):
            findings.add(keys, f"{show(value)} is not a finite number, text, a boolean or a list of these")
        elif _is_name(name, keys, findings):
            good[name] = value
    return good


def _read_space(table: dict[str, Any], fixed: dict[str, Any], findings: Findings) -> list[Hyperparameter]:
    entries: list[Entry] = []
    first: dict[str, Keys] = {}
    for group, name, value, keys in _walk(table, findings):
        if name in first:
            findings.add(keys, f"the name stands in {dotted(first[name])} too; names are unique over groups")
        elif name in fixed:
            findings.add(keys, f"{name} is in [fixed] too; keep it in one of the two")
        if group and name in SCALAR_KEYS and is_scalar(value):
            findings.add(keys, f"{name} = {show(value)} belongs above the first [table] of the file")
            continue
        first.setdefault(name, keys)
        distribution = read_distribution(value, keys, findings)
        if _is_name(name, keys, findings) and distribution is not None and first[name] == keys:
            when = value.get("when") if isinstance(value, dict) else None
            entries.append(Entry(Hyperparameter(name, distribution, group), when, keys))
    in_order = {entry.hyperparameter.name for entry in entries}
    broken = frozenset(first) - in_order | frozenset(name for name, value in fixed.items() if value is None)
    usable = {name: value for name, value in fixed.items() if value is not None and name not in first}
    return resolve(entries, usable, broken, findings)


def _walk(table: dict[str, Any], findings: Findings) -> Iterator[tuple[str, str, Any, Keys]]:
    """Every entry of [space] as (group, name, value, where it stands)."""
    for key, value in table.items():
        if not isinstance(value, dict) or is_distribution(value):
            yield "", key, value, ("space", key)
        elif not value:
            findings.add(("space", key), "is empty; give it a hyperparameter, or remove it")
        elif wrong := misspelt_kind(value):
            findings.add(("space", key), f"unknown key {show(wrong[0])}; did you mean {wrong[1]}?")
        else:
            for name, inner in value.items():
                yield key, name, inner, ("space", key, name)


def _is_name(name: str, keys: Keys, findings: Findings) -> bool:
    """Whether MLflow can keep a parameter of that name; adds a problem if not."""
    if (
        _NAME.fullmatch(name)
        and posixpath.normpath(name) == name
        and name[0] not in "/ "
        and name[:2] != ".."
    ):
        return True
    findings.add(keys, f"{show(name)} is no name; use letters, digits and _ . - : / (up to 250)")
    return False
