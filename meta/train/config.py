"""Every setting of a meta-training: its name, default and range, written once.

A name that is unknown, a value of the wrong type or out of range, and a combination that makes no sense raise here,
before any data is loaded: a silent default would put a point in the wrong place of a scatterplot.
"""

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from math import isfinite
from typing import Any

from meta.methods.choice import METHODS
from meta.methods.method import Method
from meta.refusals import PRECISIONS
from meta.train.optimisers import RULES

Rule = Callable[[Any], str | None]  # the problem with a value and its remedy, or None

LEARNABLE = ("log_lr", "logit_momentum", "log_init_scale", "init_bins", "log_l2", "data", "labels")
TIES = ("none", "constant", "piecewise", "linear")
GRANULARITIES = ("one", "layer", "unit", "weight")
OPTION = "method."


def whole(low: int, high: int) -> Rule:
    """A rule for whole numbers from `low` to `high`, both included; booleans are refused."""

    def rule(value: Any) -> str | None:
        fine = isinstance(value, int) and not isinstance(value, bool) and low <= value <= high
        return None if fine else f"give a whole number from {low} to {high}"

    return rule


def real(low: float, high: float, above: bool = False) -> Rule:
    """A rule for finite numbers from `low` to `high`; with `above`, `low` itself is excluded."""

    def rule(value: Any) -> str | None:
        number = isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)
        fine = number and (low < value if above else low <= value) and value <= high
        return None if fine else f"give a number {'above' if above else 'from'} {low:g} to {high:g}"

    return rule


def one_of(*names: str) -> Rule:
    """A rule for one of the given names; the message suggests the nearest."""
    return lambda value: (
        None if value in names else f"choose one of {', '.join(names)}{_nearest(value, names)}"
    )


def flag(value: Any) -> str | None:
    """The rule for true or false."""
    return None if isinstance(value, bool) else "give true or false"


def text(value: Any) -> str | None:
    """The rule for the data source: "digits" or a folder."""
    return (
        None
        if isinstance(value, str) and value.strip()
        else "give digits, or the folder of MNIST's four files"
    )


def widths(value: Any) -> str | None:
    """The rule for hidden layer widths, in any form that `as_widths` reads, from 1 to 65,536."""
    wanted = "give the units of the hidden layers, such as 32, [50, 30] or '50,30'; 0 for none"
    try:
        return None if all(0 < n <= 65536 for n in as_widths(value)) else wanted
    except (TypeError, ValueError):
        return wanted


def learnable(value: Any) -> str | None:
    """The rule for `learn`: one or more names of LEARNABLE, each once."""
    names = as_names(value) if isinstance(value, str | list | tuple) else ()
    if not names or len(set(names)) < len(names):
        return f"give one or more of {', '.join(LEARNABLE)}, each once, with commas between them"
    wrong = [name for name in names if name not in LEARNABLE]
    if not wrong:
        return None
    return f"{wrong[0]} can't be learned here; choose among {', '.join(LEARNABLE)}{_nearest(wrong[0], LEARNABLE)}"


def as_widths(value: Any) -> tuple[int, ...]:
    """A number, a list or "50,30" as layer widths; 0 means no hidden layer.

    Raises TypeError or ValueError for anything else.
    """
    if isinstance(value, bool):
        raise TypeError
    if isinstance(value, int):
        return (value,) if value else ()
    each = value.split(",") if isinstance(value, str) else value
    if any(isinstance(n, bool | float) for n in each):
        raise TypeError
    return tuple(n for n in map(int, each) if n or len(each) > 1)


def as_names(value: Any) -> tuple[str, ...]:
    """A list, or names with commas between them, as a tuple."""
    each = value.split(",") if isinstance(value, str) else value
    return tuple(str(name).strip() for name in each)


def setting(default: Any, rule: Rule) -> Any:
    """A field of Config with its default and the rule for its values."""
    return field(default=default, metadata={"rule": rule})


@dataclass(frozen=True)
class Config:
    """One complete, checked set. Make it with `Config.of`."""

    # the inner training
    data: str = setting("digits", text)
    train_examples: int = setting(1000, whole(1, 60_000))
    valid_examples: int = setting(400, whole(1, 60_000))
    split_seed: int = setting(0, whole(0, 2**31 - 1))  # not `seed`: trials must share their validation set
    hidden: tuple[int, ...] = setting((32,), widths)
    steps: int = setting(100, whole(1, 1_000_000))  # T
    batch: int = setting(50, whole(1, 60_000))
    optimizer: str = setting("heavy_ball", one_of("heavy_ball", "adam"))
    lr: float = setting(0.3, real(0, 100, above=True))  # to begin with; chaos begins at about 3
    momentum: float = setting(0.9, real(0, 0.9999, above=True))
    init_scale: float = setting(0.1, real(0, 100, above=True))  # standard deviation of the first weights
    l2: float = setting(1e-4, real(0, 1e6, above=True))  # penalties to begin with, if they are learned
    # the learned hyperparameters and their granularity
    learn: tuple[str, ...] = setting(("log_lr", "log_l2"), learnable)
    tie: str = setting("none", one_of(*TIES))  # of rates and momenta, along the steps
    tie_pieces: int = setting(10, whole(2, 1_000_000))  # of piecewise and linear
    l2_per: str = setting("weight", one_of(*GRANULARITIES))
    # the hypergradient
    method: str = setting("auto", lambda value: one_of("auto", *METHODS)(value))
    precision: str = setting("float32", one_of(*PRECISIONS))
    seeds: int = setting(3, whole(1, 1000))  # trainings whose gradients are averaged
    resample: bool = setting(False, flag)  # other seeds in every meta-iteration
    side_by_side: int = setting(0, whole(0, 100_000))  # seeds per vmap; 0: chosen by memory
    # the outer loop
    meta_optimizer: str = setting("adam", one_of(*RULES))
    meta_lr: float = setting(0.1, real(0, 1e6, above=True))  # for adam: a tenth of an e-fold per iteration
    meta_iterations: int = setting(20, whole(1, 1_000_000))
    trust: bool = setting(True, flag)  # steps no longer than meta.train.caps.TRUST
    l2_cap: bool = setting(True, flag)  # penalties below the stability limit of heavy ball
    guards: bool = setting(True, flag)  # see meta.train.chaos
    # Of the method: {"segment": 8} for method.segment.
    options: Mapping[str, Any] = field(default_factory=dict)

    @staticmethod
    def of(given: Mapping[str, Any]) -> "Config":
        """The defaults with `given` laid over them. Raises ValueError that names all that is wrong."""
        rules = {f.name: f.metadata["rule"] for f in fields(Config) if "rule" in f.metadata}
        errors = []
        for name, value in given.items():
            if name.startswith(OPTION):
                continue
            if name not in rules:
                remedy = _nearest(name, rules) or f"; they are {', '.join(rules)}"
                errors.append(f"{name!r} is not a setting of a meta-training{remedy}")
            elif wrong := rules[name](value):
                errors.append(f"{name} = {value!r}: {wrong}")
        if errors:
            raise ValueError("\n".join(errors))
        made = {"hidden": as_widths, "learn": as_names}
        values = {n: made.get(n, _same)(v) for n, v in given.items() if not n.startswith(OPTION)}
        options = {n.removeprefix(OPTION): v for n, v in given.items() if n.startswith(OPTION)}
        config = Config(**values, options=options)
        if errors := [*config._wrong_options(), *config._at_odds()]:
            raise ValueError("\n".join(errors))
        return config

    @staticmethod
    def names() -> tuple[str, ...]:
        """All settings, and the options of all methods."""
        options = {f.name for method in METHODS.values() if is_dataclass(method) for f in fields(method)}
        settings = [f.name for f in fields(Config) if "rule" in f.metadata]
        return (*settings, *(OPTION + name for name in sorted(options)))

    def chosen(self) -> str | Method:
        """The method with its options."""
        method = METHODS.get(self.method)
        return replace(method, **self.options) if method is not None and is_dataclass(method) else self.method  # type: ignore[type-var]

    @property
    def pieces(self) -> int:
        """Of a schedule; 0 where each step has its own value."""
        return {"none": 0, "constant": 1}.get(self.tie, self.tie_pieces)

    def _wrong_options(self) -> list[str]:
        method = METHODS.get(self.method)
        known = [f.name for f in fields(method)] if is_dataclass(method) else []
        if wrong := [name for name in self.options if name not in known]:
            has = f"it has {', '.join(OPTION + name for name in known)}" if known else "it has none"
            return [f"{OPTION}{name} is not an option of the method {self.method}; {has}" for name in wrong]
        try:
            self.chosen()
        except (TypeError, ValueError) as error:
            return [f"method = {self.method!r}: {error}"]
        return []

    def _at_odds(self) -> list[str]:
        """Values that are fine alone and impossible together, each with a sentence."""
        errors = []
        if self.batch > self.train_examples:
            errors.append(
                f"batch = {self.batch}: train_examples is {self.train_examples}; give at most so many"
            )
        if self.pieces > self.steps:
            errors.append(f"tie_pieces = {self.pieces}: there are {self.steps} steps; give at most so many")
        rates = [name for name in ("log_lr", "logit_momentum") if name in self.learn]
        if self.tie != "none" and not rates:
            errors.append(
                f"tie = {self.tie!r} ties rates and momenta along the steps, and learn has neither; leave it out"
            )
        if "log_l2" not in self.learn:
            for name in ("l2", "l2_per"):
                if getattr(self, name) != Config.__dataclass_fields__[name].default:
                    errors.append(
                        f"{name} = {getattr(self, name)!r} is of learned penalties; add log_l2 to learn"
                    )
        return errors


def _same(value: Any) -> Any:
    return value


def _nearest(name: Any, names: Any) -> str:
    near = difflib.get_close_matches(str(name), list(names), n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else ""
