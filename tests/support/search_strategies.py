"""Searches by the hundred for property tests: each as the TOML a person could write, and as the value meant."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

from tuner_tui.search.options import Options
from tuner_tui.search.pruning import PRUNERS
from tuner_tui.search.reading import Read
from tuner_tui.search.sampling import SAMPLERS
from tuner_tui.search.search import Limits, Search
from tuner_tui.search.space import Choice, Distribution, Float, Hyperparameter, Int, Space

# Names that are keys of the file format itself mean that, wherever they stand.
_TAKEN = {"log", "float", "int", "choices", "step", "when", "name", "target", "objective", "direction",
          "sampler", "trials", "parallel", "seed", "isolation", "space", "fixed", "limits", "command", "python",
          "finder", "refiner", "read", "gpus_per_trial", "trials_per_gpu", "pruner",
          "experiment", "share_run", "system_metrics", "cwd"}  # fmt: skip
names = st.from_regex(r"[a-z][a-z0-9_]{1,5}(\.[a-z0-9]{1,4})?", fullmatch=True).filter(
    lambda n: n not in _TAKEN
)
group_names = st.from_regex(r"group_[a-z]{1,4}", fullmatch=True)
texts = st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S")), min_size=1, max_size=8)
scalars = st.one_of(
    st.booleans(), st.integers(-1000, 1000), st.floats(-1e6, 1e6, allow_nan=False), texts
)  # fmt: skip


roles = ("", "scientific", "nuisance")  # a fixed one is in no space


@st.composite
def floats(draw: st.DrawFn) -> Float:
    low = draw(st.floats(-1e6, 1e6))
    width = draw(st.floats(1e-3, 1e6))
    step = draw(st.none() | st.sampled_from([1.0, 0.5, 0.3, 0.1, 0.01]).map(lambda share: width * share))
    return Float(low, low + width, False, step if step is not None and step <= low + width - low else None)


@st.composite
def log_floats(draw: st.DrawFn) -> Float:
    low = draw(st.floats(1e-12, 1e6))
    return Float(low, low * draw(st.floats(1.01, 1e6)), log=True)


@st.composite
def ints(draw: st.DrawFn) -> Int:
    low, width = draw(st.integers(-1000, 1000)), draw(st.integers(1, 1000))
    if low > 0 and draw(st.booleans()):
        return Int(low, low + width, log=True)
    return Int(low, low + width, step=draw(st.integers(1, width)))


def _distinct(options: list[Any]) -> bool:
    return all(option not in options[:i] for i, option in enumerate(options))


options = st.one_of(
    st.lists(scalars, min_size=1, max_size=4).filter(_distinct),
    st.lists(st.lists(st.integers(0, 9), max_size=3), min_size=1, max_size=3).filter(_distinct),
)
choices = options.map(lambda found: Choice(tuple(tuple(o) if isinstance(o, list) else o for o in found)))
distributions: st.SearchStrategy[Distribution] = st.one_of(floats(), log_floats(), ints(), choices)


@st.composite
def spaces(draw: st.DrawFn, fixed: dict[str, Any] | None = None) -> Space:
    """Up to six hyperparameters, one after the other allowed to depend on an earlier one."""
    taken = set(fixed or {})
    found: list[Hyperparameter] = []
    for name in draw(st.lists(names, unique=True, max_size=6)):
        if name in taken:
            continue
        group = draw(st.just("") | group_names)
        when = ()
        earlier = [h for h in found if isinstance(h.distribution, Choice | Int)]
        if earlier and draw(st.booleans()):
            other = draw(st.sampled_from(earlier))
            when = ((other.name, draw(_some_values(other.distribution))),)
        found.append(Hyperparameter(name, draw(distributions), group, when, draw(st.sampled_from(roles))))
    # The file keeps a group together, so its order is that of the groups' first members.
    groups = list(dict.fromkeys(h.group or h.name for h in found))
    return Space(tuple(sorted(found, key=lambda h: groups.index(h.group or h.name))))


def _some_values(distribution: Distribution) -> st.SearchStrategy[tuple[Any, ...]]:
    if isinstance(distribution, Choice):
        values = st.sampled_from(distribution.options)
    else:
        assert isinstance(distribution, Int)
        last = (distribution.high - distribution.low) // distribution.step
        values = st.integers(0, last).map(lambda k: distribution.low + k * distribution.step)
    return st.lists(values, min_size=1, max_size=3, unique=True).map(tuple)


readings = st.builds(
    Read,
    # no pattern with the objective in it is needed where a file is read as well
    patterns=st.lists(st.sampled_from(["loss (?P<loss>.+)", r"(?P<step>\d+)\"'{}"]), max_size=2).map(tuple),
    file=st.sampled_from(["{out}/metrics.csv", "runs/**/events*"]),
    step=st.sampled_from(["step", "epoch"]),
)


def given_options(known: Options) -> st.SearchStrategy[dict[str, Any]]:
    """Some of the options, each with a value that it takes."""
    values = {
        key: st.sampled_from(option.choices)
        if option.choices
        else st.booleans()
        if isinstance(option.default, bool)
        else st.integers(int(option.least) + option.above, 100)
        if option.auto or isinstance(option.default, int)
        else st.floats(option.least, min(option.most, 10.0), exclude_min=option.above)
        for key, option in known.items()
    }
    return st.fixed_dictionaries({}, optional=values)


@st.composite
def searches(draw: st.DrawFn, folder: str = "/nowhere") -> Search:
    fixed = draw(st.dictionaries(names, scalars | st.lists(scalars, max_size=3), max_size=3))
    seconds = st.floats(0.001, 1e6)
    command = draw(
        st.sampled_from([[], ["python", "train.py", "{rest}"], ["./run.sh", "--out={out}", "{overrides}"]])
    )
    # The others look at the space: how large a grid is, what CMA-ES can draw.
    sampler = draw(st.sampled_from(["random", "tpe", "qmc", "gp"]))
    pruner = draw(st.sampled_from(list(PRUNERS)))
    return Search(
        name=draw(texts),
        target="" if command else draw(st.sampled_from(["train:main", "models.train:train", "a.b.c:d"])),
        objective=draw(st.sampled_from(["loss", "loss/valid"])),
        command=tuple(command),
        read=draw(readings) if command else Read(),
        cwd=draw(st.sampled_from(["", "{out}", "{folder}/src"])) if command else "",
        python=draw(st.sampled_from(["", ".venv/bin/python", "python3.12"])),
        gpus_per_trial=(gpus := draw(st.integers(1, 8))),
        trials_per_gpu=draw(st.integers(0, 4)) if gpus == 1 else 0,
        experiment=draw(st.sampled_from(["", "project"])),
        share_run=draw(st.booleans()),
        system_metrics=draw(st.booleans()),
        retries=draw(st.integers(0, 5)),
        space=draw(spaces(fixed)),
        direction=draw(st.sampled_from(["minimize", "maximize"])),
        sampler=sampler,
        sampler_options=draw(given_options(SAMPLERS[sampler])),
        pruner=pruner,
        pruner_options=draw(given_options(PRUNERS[pruner])),
        trials=draw(st.integers(1, 10**6)),
        parallel=draw(st.integers(1, 64)),
        seed=draw(st.integers(0, 2**63 - 1)),
        fixed=fixed,
        limits=Limits(
            draw(seconds),
            draw(seconds),
            draw(seconds),
            draw(st.integers(1, 10**6)),
            draw(st.none() | seconds),
            draw(seconds),
            draw(seconds),
        ),
        isolation=draw(st.sampled_from(["fork", "spawn"])),
        folder=folder,
    )


def spell(value: Any) -> str:
    """A value in TOML."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(spell, value))}]"
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{spell(str(key))} = {spell(inner)}" for key, inner in value.items()) + " }"
    return repr(value)


def entry(h: Hyperparameter) -> Any:
    """The entry of [space] that means `h`, in its shortest form."""
    match h.distribution:
        case Float(low, high, True):
            table: dict[str, Any] = {"log": [low, high]}
        case Float(low, high, _, step):
            table = {"float": [low, high]} | ({} if step is None else {"step": step})
        case Int(low, high, log, step):
            table = (
                {"int": [low, high]} | ({"log": True} if log else {}) | ({} if step == 1 else {"step": step})
            )
        case Choice(found):
            if not h.when:
                return list(found)
            table = {"choices": list(found)}
    if h.when:
        table["when"] = {other: list(allowed) for other, allowed in h.when}
    return table


def raw(search: Search) -> dict[str, Any]:
    """The tables of the file that means `search`."""
    space: dict[str, Any] = {}
    for h in search.space:
        (space.setdefault(h.group, {}) if h.group else space)[h.name] = entry(h)
    limits = {key: value for key, value in vars(search.limits).items() if value is not None}
    top = {
        key: value
        for key, value in vars(search).items()
        if key
        not in (
            "space",
            "fixed",
            "limits",
            "folder",
            "kind",
            "rate",
            "command",
            "read",
            "target",
            "suggested",
            "sampler_options",
            "pruner_options",
            "again",
        )
    }
    for key, options in (("sampler", search.sampler_options), ("pruner", search.pruner_options)):
        top[key] = {"name": top[key], **options} if options else top[key]
    if search.command:
        read = {"pattern": list(search.read.patterns), "file": search.read.file, "step": search.read.step}
        top |= {"command": list(search.command), "read": read}
    else:
        top |= {"target": search.target}
    return {**top, "space": space, "fixed": dict(search.fixed), "limits": limits}


def to_toml(tables: dict[str, Any]) -> str:
    return "".join(f"{spell(key)} = {spell(value)}\n" for key, value in tables.items())
