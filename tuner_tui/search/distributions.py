"""One entry of [space] in a search file becomes a distribution.

lr    = { log = [1e-5, 1e-1] }              float on a log scale
drop  = { float = [0, 0.5], step = 0.1 }    or log = true
width = { int = [16, 512], log = true }     or step = 16
kind  = ["attention", "conv"]               or { choices = [...] }, to which a `when` can be added
"""

from __future__ import annotations

import difflib
import math
from typing import Any

from .problems import Findings, Keys, nearest, show
from .space import Choice, Distribution, Float, Int, frozen

# kind -> the keys that may stand in its table
ALLOWED = {
    "log": ("log", "when", "role", "value"),
    "float": ("float", "log", "step", "when", "role", "value"),
    "int": ("int", "log", "step", "when", "role", "value"),
    "choices": ("choices", "when", "role", "value"),
}
KINDS = tuple(ALLOWED)
_EXTRAS = ("step", "when", "role", "value")
# How other tools spell what we call log, float, int and choices.
_FOREIGN = {
    "loguniform": "log", "log_uniform": "log", "logfloat": "log", "uniform": "float", "range": "float",
    "integer": "int", "randint": "int", "choice": "choices", "categorical": "choices", "values": "choices",
    "options": "choices",
}  # fmt: skip
_EXACT_INT = 2**53  # a sampler computes in float64, which holds every whole number up to here
FORMS = "write { log = [low, high] }, { float = [low, high] }, { int = [low, high] } or a list of choices"


def is_distribution(table: dict[str, Any]) -> bool:
    """Whether a table in [space] is a hyperparameter and not a group of them."""
    return any(key in KINDS for key in table) or isinstance(table.get("step"), int | float)


def misspelt_kind(table: dict[str, Any]) -> tuple[str, str] | None:
    """(key, what it should be) where a table looks like a misspelt hyperparameter: { flot = [0, 1] }.

    Every key must look like one of a distribution: a group may well hold a hyperparameter called `range`.
    """
    found = None
    for key, value in table.items():
        close = difflib.get_close_matches(key, KINDS, n=1, cutoff=0.8)
        kind = _FOREIGN.get(key) or next(iter(close), None)
        is_range = isinstance(value, list) and len(value) == 2 and all(is_number(bound) for bound in value)
        if kind is not None and (is_range or (kind == "choices" and isinstance(value, list))):
            found = found or (key, kind)
        elif key not in _EXTRAS and not isinstance(value, bool):
            return None
    return found


def read_distribution(value: Any, keys: Keys, findings: Findings) -> Distribution | None:
    """The distribution, or None after adding what is wrong with it."""
    if isinstance(value, list):
        return _choice(value, keys, findings)
    if not isinstance(value, dict):
        findings.add(keys, f"{show(value)} is not a distribution; {FORMS}, or move it to [fixed]")
        return None
    kinds = [kind for kind in KINDS if kind in value]
    log = value.get("log")
    if isinstance(log, bool) or (len(kinds) > 1 and log is not None and not isinstance(log, list)):
        kinds.remove("log")  # it says how the range is scaled, and is none itself
    if not kinds:
        _say_no_kind(value, keys, findings)
        return None
    if len(kinds) > 1:
        findings.add(keys, f"has both {' and '.join(kinds)}; keep one of them")
        return None
    kind = kinds[0]
    allowed = ALLOWED[kind]
    before = len(findings.problems)
    for key in value:
        if key in allowed:
            continue
        if key in ("log", "step"):
            why = "a log range has no steps" if kind == "log" else "choices have neither a scale nor steps"
            findings.add(keys, f"{key} = {show(value[key])} does not go with {kind}: {why}; remove {key}")
        else:
            findings.add(keys, f"unknown key {show(key)}{nearest(key, sorted(allowed))}")
    match kind:
        case "choices":
            found = _choice(value[kind], keys, findings)
        case "int":
            found = _int(value, keys, findings)
        case _:
            found = _float(value, kind, keys, findings)
    return found if len(findings.problems) == before else None


def _say_no_kind(value: dict[str, Any], keys: Keys, findings: Findings) -> None:
    wrong = misspelt_kind(value)
    if value.get("log") in (True, False) and "log" in value:
        findings.add(keys, f"log = {show(value['log'])} needs a range: add float = [low, high] or int")
    elif wrong is not None:
        findings.add(keys, f"unknown key {show(wrong[0])}; did you mean {wrong[1]}?")
    elif value and all(isinstance(inner, dict | list) for inner in value.values()):
        # An unquoted dot: convnet.depth = {...} is a table `convnet` with a key `depth`.
        name = f"{keys[-1]}.{next(iter(value))}"
        findings.add(
            keys, f'is a table, not a hyperparameter; for a name with a dot quote the name: "{name}"'
        )
    else:
        findings.add(keys, f"{show(value)} has none of {', '.join(KINDS)}; {FORMS}")


def _choice(value: Any, keys: Keys, findings: Findings) -> Choice | None:
    if not isinstance(value, list):
        findings.add(keys, f"choices = {show(value)} is not a list; write choices = [a, b]")
        return None
    if not value:
        findings.add(keys, "the list of choices is empty; give at least one")
        return None
    options: dict[Any, None] = {}  # a set that keeps their order
    for option in value:
        items = option if isinstance(option, list) else [option]
        if bad := [item for item in items if not is_scalar(item)]:
            findings.add(
                keys,
                f"the choice {show(bad[0])} is not a finite number, a string, a boolean or a list of these",
            )
            return None
        if frozen(option) in options:
            findings.add(
                keys, f"the choice {show(option)} stands there twice (1, 1.0 and true are one value)"
            )
            return None
        options[frozen(option)] = None
    return Choice(tuple(options))


def is_scalar(value: Any) -> bool:
    """Whether JSON, and so the journal, can hold it: no nan, no inf, no date."""
    return isinstance(value, bool | int | str) or (isinstance(value, float) and math.isfinite(value))


def _float(table: dict[str, Any], kind: str, keys: Keys, findings: Findings) -> Float | None:
    log = kind == "log" or _log(table, keys, findings)
    bounds = _bounds(table[kind], kind, log, keys, findings)
    step = _step(table, log, bounds, keys, findings)
    if bounds is None:
        return None
    low, high = bounds
    try:
        low, high, step = float(low), float(high), None if step is None else float(step)
    except OverflowError:
        findings.add(keys, f"the range {show(table[kind])} is too large for a float; narrow it")
        return None
    if not math.isfinite(high - low):
        findings.add(keys, f"the range {show(table[kind])} is wider than a float can hold; narrow it")
        return None
    if low == high:  # two whole numbers beyond 2**53 that are one float
        findings.add(keys, f"the two ends of {show(table[kind])} are one number as floats; widen the range")
        return None
    return Float(low, high, log, step)


def _int(table: dict[str, Any], keys: Keys, findings: Findings) -> Int | None:
    log = _log(table, keys, findings)
    bounds = _bounds(table["int"], "int", log, keys, findings)
    step = _step(table, log, bounds, keys, findings)
    if bounds is None:
        return None
    low, high = bounds
    if not (isinstance(low, int) and isinstance(high, int)):
        findings.add(
            keys, f"int = {show(table['int'])} has a fraction or exponent; write whole numbers, or use float"
        )
        return None
    if max(abs(low), abs(high)) > _EXACT_INT:
        findings.add(
            keys, f"int = {show(table['int'])} goes beyond 2**53, where draws are not exact; narrow it"
        )
        return None
    if step is not None and not isinstance(step, int):
        findings.add(keys, f"step = {show(step)} must be a whole number in an int range")
        return None
    return Int(low, high, log, 1 if step is None else step)


def _log(table: dict[str, Any], keys: Keys, findings: Findings) -> bool:
    log = table.get("log", False)
    if not isinstance(log, bool):
        findings.add(keys, f"log = {show(log)} must be true or false")
        return False
    return log


def _bounds(
    value: Any, kind: str, log: bool, keys: Keys, findings: Findings
) -> tuple[int | float, int | float] | None:
    scale = "a log range" if log else f"{'an' if kind == 'int' else 'a'} {kind} range"
    if not (isinstance(value, list) and len(value) == 2 and all(is_number(bound) for bound in value)):
        findings.add(
            keys, f"{kind} = {show(value)} is not a range; write {kind} = [low, high] with two numbers"
        )
        return None
    low, high = value
    if not all(isinstance(bound, int) or math.isfinite(bound) for bound in value):
        findings.add(keys, f"{scale} goes from {low} to {high}; both must be finite")
    elif low == high:
        findings.add(keys, f"{scale} starts and ends at {low}; widen it, or put the value in [fixed]")
    elif low > high:
        findings.add(keys, f"{scale} goes from {low} down to {high}; swap the two")
    elif log and low <= 0:
        findings.add(keys, f"a log range starts at {low}; it must be above 0")
    else:
        return low, high
    return None


def _step(
    table: dict[str, Any],
    log: bool,
    bounds: tuple[int | float, int | float] | None,
    keys: Keys,
    findings: Findings,
) -> int | float | None:
    if "step" not in table or not isinstance(table.get("log", False), bool):
        return None
    step = table["step"]
    if log:
        findings.add(keys, f"step = {show(step)} does not go with log = true; remove one of them")
    elif not is_number(step) or not (isinstance(step, int) or math.isfinite(step)) or step <= 0:
        findings.add(keys, f"step = {show(step)} must be a number above 0")
    elif bounds is not None and step > bounds[1] - bounds[0]:
        findings.add(
            keys, f"step = {show(step)} is larger than the range {bounds[0]} to {bounds[1]}; make it smaller"
        )
    elif bounds is not None and (bounds[1] - bounds[0]) / step > _EXACT_INT:
        findings.add(keys, f"step = {show(step)} is too fine for its range to be counted; leave it out")
    else:
        return step
    return None


def is_number(value: Any) -> bool:
    """An int or a float; a boolean is neither, whatever Python thinks."""
    return isinstance(value, int | float) and not isinstance(value, bool)
