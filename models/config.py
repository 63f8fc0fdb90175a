"""Every hyperparameter of the caption model: its name, default, type and range, written once.

The names are those of the 2017 search whose scatterplots this project began with (`convnet.depth`
is the number of filters, `convnet.profundity` the number of layers, and every `radius` but the
masker's is a diameter). A name that is unknown, a value of the wrong type or out of range, and a
kind that is known but not built yet all raise here, before any data is loaded: a silent default
would put a point in the wrong place of a scatterplot.
"""

import difflib
import math
from collections.abc import Mapping
from dataclasses import Field, asdict, dataclass, field, fields, is_dataclass
from typing import Any


@dataclass(frozen=True)
class Whole:
    """A whole number from `low` to `high`, both included."""

    low: int
    high: int

    def error(self, value: object) -> str | None:
        if isinstance(value, bool) or not isinstance(value, int):
            return f"is not a whole number; give one from {self.low} to {self.high}"
        if not self.low <= value <= self.high:
            return f"is out of range; give a whole number from {self.low} to {self.high}"
        return None


@dataclass(frozen=True)
class Real:
    """A finite number above `low` and at most `high`."""

    low: float
    high: float

    def error(self, value: object) -> str | None:
        wanted = f"a number above {self.low:g} and at most {self.high:g}"
        if isinstance(value, bool) or not isinstance(value, int | float):
            return f"is not a number; give {wanted}"
        if not math.isfinite(value) or not self.low < value <= self.high:
            return f"is out of range; give {wanted}"
        return None


@dataclass(frozen=True)
class Flag:
    """True or false, nothing that merely looks like it."""

    def error(self, value: object) -> str | None:
        return None if isinstance(value, bool) else "is not true or false; give one of the two"


@dataclass(frozen=True)
class Kind:
    """One of the names that are built; the names still to come are told apart from typing errors."""

    built: tuple[str, ...]
    later: tuple[str, ...] = ()

    def error(self, value: object) -> str | None:
        choose = f"choose {_either(self.built)}"
        if value in self.built:
            return None
        if value in self.later:
            return f"is not built yet; {choose}"
        near = difflib.get_close_matches(str(value), self.built + self.later, n=1)
        return f"is no known kind; {f'did you mean {near[0]!r}? ' if near else ''}{choose}"


@dataclass(frozen=True)
class Layers:
    """How often the caption is merged (a count >= 1), or the list of the layers where it is."""

    def error(self, value: object) -> str | None:
        wanted = "give a count from 1, or a list of different layers such as [0, 2, 4]"
        if isinstance(value, list | tuple):
            whole = all(isinstance(i, int) and not isinstance(i, bool) and i >= 0 for i in value)
            return None if value and whole and len(set(value)) == len(value) else f"is not usable; {wanted}"
        if isinstance(value, bool) or not isinstance(value, int):
            return f"is not usable; {wanted}"
        return None if value >= 1 else f"is out of range; {wanted}"


def _either(names: tuple[str, ...]) -> str:
    """a, b or c."""
    return " or ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def hyper(default: Any, rule: Any) -> Any:
    return field(default=default, metadata={"rule": rule})


@dataclass(frozen=True)
class Reader:
    """How the caption is read."""

    kind: str = hyper("qrnn", Kind(("qrnn",), ("lstm", "gru", "rnn")))
    size: int = hyper(32, Whole(1, 4096))  # hidden units, per direction
    radius: int = hyper(2, Whole(1, 64))  # words each convolution sees; the captions have 1 to 11
    bidir: bool = hyper(True, Flag())
    normalize: bool = hyper(True, Flag())


@dataclass(frozen=True)
class Merger:
    """How, and how often, what was read enters the convnet."""

    kind: str = hyper("attention", Kind(("attention", "conv"), ("film",)))
    depth: int = hyper(8, Whole(1, 1024))  # filters of the conv merger; attention has no use for it
    layers: int | tuple[int, ...] = hyper(2, Layers())


@dataclass(frozen=True)
class Convnet:
    """What draws."""

    kind: str = hyper(
        "straight_residual",
        Kind(("straight", "straight_dilated", "straight_residual"), ("tapered", "expanding", "bottlenecked")),
    )
    depth: int = hyper(24, Whole(1, 4096))  # filters
    profundity: int = hyper(6, Whole(1, 512))  # layers
    radius: int = hyper(3, Whole(1, 31))  # the kernel's side, even ones too


@dataclass(frozen=True)
class Masker:
    """Which pixels are given and which are asked for."""

    kind: str = hyper("contiguish", Kind(("contiguish",), ("orderless", "contiguous", "center")))
    radius: int = hyper(2, Whole(0, 64))  # a true radius: blocks of 5x5, as 17x17 was to 64x64


@dataclass(frozen=True)
class Config:
    """One complete, checked set of hyperparameters. Make it with `Config.of`."""

    reader: Reader = field(default_factory=Reader)
    merger: Merger = field(default_factory=Merger)
    convnet: Convnet = field(default_factory=Convnet)
    masker: Masker = field(default_factory=Masker)
    lr: float = hyper(4e-3, Real(0.0, 10.0))  # 2e-3 to 8e-3 learn fastest in the first minute
    batch_size: int = hyper(16, Whole(1, 4096))
    optimize_given: bool = hyper(False, Flag())
    loss: str = hyper("emd2", Kind(("emd2",), ("emd", "xent", "mixed")))
    loss_pixels: int = hyper(128, Whole(1, 1 << 20))  # pixels per image whose logits a step computes
    steps: int = hyper(200, Whole(1, 100_000_000))
    report_every: int = hyper(20, Whole(1, 100_000_000))  # steps from one measurement to the next
    size: int = hyper(24, Whole(8, 128))  # side of the images in pixels
    valid_images: int = hyper(96, Whole(1, 100_000))  # at most so many, the same in every trial
    split_seed: int = hyper(0, Whole(0, 2**31 - 1))  # not `seed`: trials must share their validation set

    @staticmethod
    def of(hypers: Mapping[str, Any]) -> "Config":
        """The defaults with `hypers` ({"convnet.depth": 32, ...}) laid over them.

        Raises ValueError naming everything that is wrong with them, a line each.
        """
        known = _rules()
        errors = []
        for name, value in hypers.items():
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
                remedy = f"did you mean {near[0]!r}?" if near else f"the names are {', '.join(known)}"
                errors.append(f"{name!r} is no hyperparameter of the caption model; {remedy}")
            elif error := known[name].error(value):
                errors.append(f"{name} = {value!r} {error}")
        if errors:
            raise ValueError("\n".join(errors))
        config = _laid_over(Config, hypers)
        config.merge_layers()  # raises when the layers named do not exist
        return config

    def merge_layers(self) -> tuple[int, ...]:
        """The layers before which the caption is merged: as listed, or `merger.layers` evenly spaced.

        Raises ValueError when the convnet has not so many layers.
        """
        layers, profundity = self.merger.layers, self.convnet.profundity
        if isinstance(layers, int):
            if layers > profundity:
                raise ValueError(
                    f"merger.layers = {layers} merges do not fit convnet.profundity = {profundity} layers; "
                    f"give at most {profundity}"
                )
            # The first merge is not at layer 0 while there is room: six channels can hold little of a caption.
            return tuple((i + 1) * profundity // (layers + 1) for i in range(layers))
        if max(layers) >= profundity:
            raise ValueError(
                f"merger.layers = {list(layers)} names layer {max(layers)}, but convnet.profundity = "
                f"{profundity} has layers 0 to {profundity - 1}"
            )
        return tuple(sorted(layers))

    def hypers(self) -> dict[str, Any]:
        """All names with their values, flat and dotted: {"reader.size": 32, ..., "lr": 0.004}."""
        flat: dict[str, Any] = {}
        for name, value in asdict(self).items():
            if isinstance(value, dict):
                flat |= {f"{name}.{inner}": v for inner, v in value.items()}
            else:
                flat[name] = value
        return flat


def _is_group(f: Field) -> bool:
    return is_dataclass(f.default_factory)


def _rules() -> dict[str, Any]:
    rules: dict[str, Any] = {}
    for f in fields(Config):
        if _is_group(f):
            rules |= {f"{f.name}.{g.name}": g.metadata["rule"] for g in fields(f.default_factory)}  # type: ignore[arg-type]
        else:
            rules[f.name] = f.metadata["rule"]
    return rules


def _laid_over(kind: Any, hypers: Mapping[str, Any], prefix: str = "") -> Any:
    given: dict[str, Any] = {}
    for f in fields(kind):
        if _is_group(f):
            given[f.name] = _laid_over(f.default_factory, hypers, f"{f.name}.")
        elif prefix + f.name in hypers:
            value = hypers[prefix + f.name]
            given[f.name] = tuple(value) if isinstance(value, list) else value
    return kind(**given)
