"""A search file becomes a `Search`, or a `SearchError` that lists everything wrong with it.

The file is TOML, so people can comment it and keep it in git. An unknown key is an error,
because ignoring a misspelt limit would run the search without that limit.
"""

from __future__ import annotations

import copy
import posixpath
import re
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from .command import FILLED_IN, places, problems_of
from .conditions import Entry, resolve
from .distributions import is_distribution, is_scalar, misspelt_kind, read_distribution
from .grid import grid
from .keys import DEFAULTS, KEYS, LIMIT_KEYS, LIMITS, SCALAR_KEYS
from .options import Named, read_named
from .overrides import apply_overrides
from .problems import Findings, Keys, Problem, SearchError, dotted, nearest, show
from .reading import READ_KEYS, Read, read_read
from .roles import read_role
from .sampling import option
from .search import Limits, Search
from .space import FIXED, Choice, Hyperparameter, Space
from .values import Amount, Key

TABLES = ("space", "fixed", "secret", "limits", "read")
_DEEPEST = 20  # a condition on lists of lists has seven levels
# Characters: real searches have a few thousand, and the parser takes a second for each million.
_LONGEST = 1_000_000
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# MLflow takes parameters of these names only; refusing others here costs less than losing them there.
NAME = re.compile(r"[A-Za-z0-9_.\-:/ ]{1,250}")
_NO_TARGET = (
    'missing; name the training function: target = "module:function", or a script: '
    'command = ["python", "train.py", "{rest}"]'
)


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
    values: dict[str, Any] = {}
    for key in KEYS:
        if isinstance(key.takes, Named):
            named = read_named(raw, key.name, key.takes.known, findings)
            values[key.name], values[f"{key.name}_options"] = named
        else:
            values[key.name] = _value(raw, (), key, getattr(DEFAULTS, key.name), findings)
    values["name"] = values["name"] or path.stem or "study"
    if "command" not in raw and "target" not in raw:
        findings.add(("target",), _NO_TARGET)
    if "command" in raw:
        _check_command(raw, values["command"], space, fixed, findings)
        values |= {"target": "", "command": tuple(values["command"])}
    for name in places(values["cwd"]):
        if name not in FILLED_IN:
            findings.add(("cwd",), f"{{{name}}} is not filled in; there are {', '.join(FILLED_IN)}")
    if values["cwd"] and "command" not in raw:
        findings.add(("cwd",), "is for a command; a target is run in the folder that `tuner` was started in")
    if values["gpus_per_trial"] > 1 and values["trials_per_gpu"]:
        findings.add(
            ("trials_per_gpu",),
            f"gpus_per_trial = {values['gpus_per_trial']} is given too; a trial has several GPUs or a GPU "
            "several trials: keep one of the two",
        )
    usable = {name: value for name, value in fixed.items() if value is not None}
    if not findings.problems:
        trials = _check_sampler(raw, values["sampler"], values["sampler_options"], space, usable, findings)
        values["trials"] = raw.get("trials", trials)
    return Search(
        **values,
        space=space,
        fixed=usable,
        secret=_read_secret(tables["secret"], {*space.names, *fixed}, findings),
        limits=_read_limits(tables["limits"], findings),
        read=_read_reading(raw, tables["read"], values["objective"], findings),
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


def _value(table: dict[str, Any], above: Keys, key: Key, default: Any, findings: Findings) -> Any:
    """The value of a key; its default where it is not given or is wrong."""
    if key.name not in table:
        return default
    value = table[key.name]
    wrong = key.takes.wrong(key.name, value, default)
    if wrong:
        findings.add((*above, key.name), wrong)
    return default if wrong else value


def _check_command(
    raw: dict[str, Any], command: Sequence[str], space: Space, fixed: dict[str, Any], findings: Findings
) -> None:
    if "target" in raw:
        findings.add(("command",), "target is given too; keep one of the two")
    if not command:
        return
    conditional = [h.name for h in space if h.when]
    for index, message in problems_of(command, (*space.names, *fixed), conditional):
        findings.add(("command",) if index is None else ("command", str(index + 1)), message)


def _read_reading(raw: dict[str, Any], table: dict[str, Any], objective: str, findings: Findings) -> Read:
    _refuse_unknown(table, ("read",), READ_KEYS, findings)
    if table and "command" not in raw:
        findings.add(("read",), "is for a command; a target yields or reports its measurements")
    return read_read(table, objective, findings)


def _check_sampler(
    raw: dict[str, Any],
    sampler: str,
    given: dict[str, Any],
    space: Space,
    fixed: dict[str, Any],
    findings: Findings,
) -> int:
    """Whether the sampler can draw from this space; how many trials there are where the file does not say."""
    keys = ("sampler", "name") if isinstance(raw.get("sampler"), dict) else ("sampler",)
    if sampler == "cmaes" and not any(not h.when and not isinstance(h.distribution, Choice) for h in space):
        findings.add(keys, "cmaes needs a range that always applies, without a `when`; choose tpe or random")
    if sampler == "grid" and "trials" not in raw:
        try:
            return len(grid(space, fixed, option(sampler, given, "points")))
        except ValueError as error:
            findings.add(keys, str(error))
    return Search.trials


def _read_limits(table: dict[str, Any], findings: Findings) -> Limits:
    _refuse_unknown(table, ("limits",), LIMIT_KEYS, findings)
    good: dict[str, Any] = {}
    for key in LIMITS:
        value = _value(table, ("limits",), key, getattr(Limits(), key.name), findings)
        good[key.name] = float(value) if isinstance(key.takes, Amount) and value is not None else value
    return Limits(**good)


def _read_secret(table: dict[str, Any], others: set[str], findings: Findings) -> dict[str, str]:
    good: dict[str, str] = {}
    for name, variable in table.items():
        keys = ("secret", name)
        if name in others:
            findings.add(keys, "is in [space] or [fixed] too; leave it in one of them")
        elif not NAME.fullmatch(name):
            findings.add(keys, "this name can't be a parameter; use letters, digits and _")
        elif not isinstance(variable, str) or not VARIABLE.fullmatch(variable):
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
            table = value if isinstance(value, dict) else {}
            role = read_role(table, distribution, keys, findings)
            if role == FIXED:
                del first[name]
                fixed[name] = table.get("value")
            else:
                entries.append(
                    Entry(Hyperparameter(name, distribution, group, role=role), table.get("when"), keys)
                )
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
    if NAME.fullmatch(name) and posixpath.normpath(name) == name and name[0] not in "/ " and name[:2] != "..":
        return True
    findings.add(keys, f"{show(name)} is no name; use letters, digits and _ . - : / (up to 250)")
    return False
