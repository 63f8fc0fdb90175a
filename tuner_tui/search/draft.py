"""A first search file for somebody's own code: from the options of a script, or the parameters of a function, and
from what a short run printed. It is meant to be edited; everything that was guessed is said to be."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .problems import dotted
from .write import spell

# What people search over, by parts of a name; and what is never a hyperparameter.
_HYPERPARAMETERS = re.compile(
    r"(^|[_.\-])(lr|learning|rate|momentum|decay|dropout|batch|hidden|width|depth|layers?|dim|units|heads|kernel"
    r"|optim(izer)?|activation|alpha|beta\d?|gamma|lambda|eps(ilon)?|temperature|clip|warmup|scheduler|norm|leaves|l1|l2"
    r"|c|reg|margin|channels|filters|embed\w*)($|[_.\-])|size$"
)
_NEVER = re.compile(
    r"(^|[_.\-])(data|dataset|dir|path|file|log|save|out|output|seed|device|gpu|cuda|cpu|workers|epochs?|steps|iters?"
    r"|iterations|resume|checkpoint|print|verbose|debug|dry|test|eval|port|host|rank|world|name|project|config|version)"
    r"($|[_.\-])"
)
_FILLED_IN = {
    "seed": re.compile(r"(^|[_.\-])seed$"),
    "out": re.compile(r"^(out|output|save|log|checkpoint|result|run|exp)s?([_.\-]?(dir|path|folder))?$"),
    "device": re.compile(r"^device$"),
}
_SHARES = re.compile(r"drop|momentum|beta|gamma")  # between 0 and 1
_LOSS = re.compile(r"loss|error|nll|perplexity|ppl|mse|mae|rmse|objective|cost|wer|bpc|bpb", re.I)
_SCORE = re.compile(r"acc|score|f1|auc|r2|reward|map|bleu|iou|dice", re.I)
_OF_A_SET = re.compile(r"\b(val(?:id(?:ation)?)?|eval(?:uation)?|test|dev)\b", re.I)
_HELD_OUT = re.compile(r"val|eval|test|dev", re.I)
_NUMBER = r"[+-]?(?:\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?|nan|inf)"
_STEP = re.compile(r"\b(epoch|step|iter(?:ation)?|batch|round)s?\b\W{0,3}(\d+)", re.I)
_VALUE = re.compile(rf"([A-Za-z][\w/.-]*(?: [A-Za-z][\w/.-]*)?)\s?[:=]?\s{{0,3}}({_NUMBER})(?![\w.])")
_HELP = re.compile(
    r"^\W*(?:-\w\b[ ,|]*(?:\w+, )?)?(--[\w.\-]+)(?: ?/ ?--no-\S+)?"
    r"(?:[ =](\{[^}]*\}|<?[\w\[\]|.]+>?))?(?:\s{2,}|\s*$)(.*)$"
)
_DEFAULT = re.compile(r"[(\[]default:?\s*=?\s*([^)\]]*)[)\]]", re.I)


@dataclass(frozen=True)
class Option:
    """A parameter of a function, or an option of a script."""

    name: str
    kind: str = "str"  # int, float, str, flag
    default: Any = None
    choices: tuple[Any, ...] = ()
    flag: str = ""  # as it is written on the command line


@dataclass(frozen=True)
class Printed:
    """How the output of a script is read: nothing to say where it prints JSON."""

    objective: str
    patterns: tuple[str, ...] = ()
    json: bool = False
    maximize: bool = False


def options_of_help(text: str) -> list[Option]:
    """The options in the text of `--help`, as argparse, click or typer print it."""
    options: list[Option] = []
    for line in text.splitlines():
        match = _HELP.match(line.rstrip(" │|"))
        if match is None or match[1] in ("--help", "--version"):
            continue
        flag, meta, rest = match[1], match[2] or "", match[3]
        found = _DEFAULT.search(rest)
        default = _value(found[1].strip()) if found else None
        choices = tuple(_value(c.strip()) for c in meta[1:-1].split(",")) if meta.startswith("{") else ()
        word = re.match(r"(int(eger)?|float|text|str)\b", (meta + " " + rest).strip(" <"), re.I)
        kind = (
            "flag" if not meta and not (word and found) else _kind(default, word[1].lower() if word else "")
        )
        options.append(Option(flag.lstrip("-"), kind, default, choices, flag))
    return options


def _kind(default: Any, word: str) -> str:
    if word.startswith("int") or (isinstance(default, int) and not isinstance(default, bool)):
        return "int"
    if word.startswith("float") or isinstance(default, float):
        return "float"
    return "str"


def _value(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return {"True": True, "False": False, "None": None}.get(text, text.strip("'\""))


def guess(option: Option) -> str | None:
    """What to draw an option from, as TOML; None where its name and default say nothing."""
    name, default = option.name.lower(), option.default
    if option.choices:
        return spell(list(option.choices)) if len(option.choices) > 1 else None
    if option.kind == "flag":
        return "[true, false]"
    if isinstance(default, bool) or not isinstance(default, (int, float)):
        return None
    if option.kind == "float" or isinstance(default, float):
        if _SHARES.search(name) and 0 <= default <= 1:
            return "{ float = [0.0, 0.9] }" if default < 0.9 else "{ float = [0.5, 0.999] }"
        if default > 0:
            return f"{{ log = [{_round(default / 30)}, {_round(default * 30)}] }}"
        return None
    if default > 0:
        low, high = max(1, default // 4), default * 4
        return f"{{ int = [{low}, {high}], log = true }}" if high >= 32 else f"{{ int = [{low}, {high}] }}"
    return None


def _round(value: float) -> str:
    return spell(float(f"{value:.0e}"))


def is_hyperparameter(option: Option) -> bool:
    """Whether an option looks like something that people search over."""
    name = option.name.lower()
    return bool(_HYPERPARAMETERS.search(name)) and not _NEVER.search(name) and not filled_in(option)


def filled_in(option: Option) -> str:
    """What the tuner gives an option of this name: seed, out or device; "" for none."""
    names = (key for key, pattern in _FILLED_IN.items() if pattern.search(option.name.lower()))
    return next(names, "") if option.kind != "flag" else ""


def read_output(text: str) -> Printed | None:
    """How measurements can be read from a piece of a script's output; None where none was found."""
    lines = [
        line for line in re.split(r"[\r\n]+", re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)) if line.strip()
    ]
    names = _json_names(lines)
    if names:
        best = _best(names)
        return Printed(best, json=True, maximize=_is_score(best)) if best else None
    groups = Counter(tuple(word.lower() for word in _words(line)) for line in lines)
    patterns: dict[str, str] = {}  # name of the measurement -> pattern of the line it was first seen in
    shapes: list[str] = []
    for shape, _ in groups.most_common(5):
        line = next((one for one in lines if tuple(w.lower() for w in _words(one)) == shape), "")
        found = _pattern(line)
        if found is not None:
            pattern, measured = found
            fresh = [name for name in measured if name not in patterns]
            if fresh:
                shapes.append(pattern)
                patterns |= dict.fromkeys(fresh, pattern)
    best = _best(list(patterns))
    return Printed(best, tuple(shapes), maximize=_is_score(best)) if best else None


def _words(line: str) -> list[str]:
    return [match[1] for match in _VALUE.finditer(line) if _LOSS.search(match[1]) or _SCORE.search(match[1])]


def _pattern(line: str) -> tuple[str, list[str]] | None:
    """A regular expression for lines like this one, and the names of its groups but for the step."""
    parts: list[str] = []
    names: list[str] = []
    at = 0
    if step := _STEP.search(line):
        between = re.escape(line[step.end(1) : step.start(2)])
        parts.append(f"{re.escape(step[1])}{between}(?P<step>\\d+)")
        at = step.end()
    for match in _VALUE.finditer(line, at):
        word = match[1]
        if not (_LOSS.search(word) or _SCORE.search(word)):
            continue
        name = re.sub(r"\W+", "_", word.lower()).strip("_")
        about = _OF_A_SET.search(line[: match.start()])  # "Test set: Average loss: 0.5" is no training loss
        if about and not _HELD_OUT.search(name):
            name = f"{about[1].lower()}_{name}"
        if name in names or not name.isidentifier():
            continue
        names.append(name)
        between = re.sub(r"(\\ )+", r"\\s*", re.escape(line[match.end(1) : match.start(2)])) or r"\s*"
        parts.append(f"{re.escape(word)}{between}(?P<{name}>[^\\s,;%)]+)")
    return (".*?".join(parts).replace("\\ ", " "), names) if names else None


def _json_names(lines: Sequence[str]) -> list[str]:
    import json

    for line in reversed(lines):
        if line.strip().startswith("{") and line.strip().endswith("}"):
            try:
                found = json.loads(line)
            except ValueError:
                continue
            names = [k for k, v in found.items() if isinstance(v, int | float) and not isinstance(v, bool)]
            if _best(names):
                return names
    return []


def _best(names: Sequence[str]) -> str:
    """The name that is most likely what people want to be small, or large: held-out losses first."""
    ranks = [
        (
            not (_HELD_OUT.search(name) and _LOSS.search(name)),
            not _LOSS.search(name),
            not _HELD_OUT.search(name),
            i,
        )
        for i, name in enumerate(names)
        if _LOSS.search(name) or _SCORE.search(name)
    ]
    return names[min(ranks)[-1]] if ranks else ""


def _is_score(name: str) -> bool:
    return bool(_SCORE.search(name)) and not _LOSS.search(name)


def draft(
    options: Sequence[Option],
    *,
    target: str = "",
    script: str = "",
    python: str = "",
    printed: Printed | None = None,
) -> str:
    """The text of a search file for a function (`target`) or a script, with what was guessed said so."""
    varied = [o for o in options if is_hyperparameter(o) and guess(o)]
    varied = varied or [
        o for o in options if guess(o) and not _NEVER.search(o.name.lower()) and not filled_in(o)
    ]
    lines = [
        "# Written by `tuner init`: ranges are guesses around the defaults. Edit them, then run `tuner check`.",
        "",
    ]
    if target:
        lines.append(f"target = {spell(target)}")
    else:
        given = [f"{o.flag}={{{filled_in(o)}}}" for o in options if o.flag and filled_in(o)]
        rest = ["{rest}"] if varied else []
        lines.append(f"command = {spell(['python', script, *given, *rest])}")
    if python:
        lines.append(f"python = {spell(python)}")
    lines += _about_the_objective(printed, target)
    lines += ["trials = 20", ""]
    if printed is not None and printed.patterns:
        pattern = printed.patterns[0] if len(printed.patterns) == 1 else list(printed.patterns)
        lines += ["[read]", f"pattern = {_literal(pattern)}", ""]
    elif script and printed is None:
        lines += [
            "# How its output is read; not needed where it prints JSON lines.", "# [read]",
            r"# pattern = 'epoch (?P<step>\d+).*?loss (?P<loss>\S+)'", "",
        ]  # fmt: skip
    lines.append("[space]")
    for option in options:
        found = guess(option)
        if option.flag and filled_in(option):
            continue
        note = "" if option.default is None else f"  # default: {_note(option.default)}"
        if option in varied:
            lines.append(f"{dotted((option.name,))} = {found}{note}")
        elif found and not _NEVER.search(option.name.lower()):
            lines.append(f"# {dotted((option.name,))} = {found}{note}")
        elif not filled_in(option):
            lines.append(f"# {dotted((option.name,))}{note}")
    return "\n".join(lines).rstrip() + "\n"


def _about_the_objective(printed: Printed | None, target: str) -> list[str]:
    if printed is None:
        what = "yields, reports or returns" if target else "prints"
        return [f'objective = "loss"  # the name of what it {what} that should be small']
    way = ['direction = "maximize"'] if printed.maximize else []
    return [f"objective = {spell(printed.objective)}", *way]


def _literal(pattern: str | list[str]) -> str:
    if isinstance(pattern, list):
        return f"[{', '.join(map(_literal, pattern))}]"
    return f"'{pattern}'" if "'" not in pattern else spell(pattern)


def _note(value: Any) -> str:
    return " ".join(str(value).split())[:40]
