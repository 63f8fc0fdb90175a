"""Every hyperparameter of the caption model: its name, default, type and range, written once.

The names are those of the 2017 search whose scatterplots this project began with (`convnet.depth`
is the number of filters, `convnet.profundity` the number of layers, and every `radius` but the
masker's is a diameter); `ALIASES` has a plainer name for each, and either may be used. A name that is
unknown, a value of the wrong type or out of range, and a combination that makes no sense all raise
here, before any data is loaded: a silent default would put a point in the wrong place of a scatterplot.
"""

import difflib
from collections.abc import Mapping
from dataclasses import Field, asdict, dataclass, field, fields, is_dataclass, replace
from typing import Any

from models.rules import Flag, Kind, Layers, Real, Text, Whole, as_layers


def hyper(default: Any, rule: Any) -> Any:
    """A field of a settings class: its default, and the rule of models.rules for its values."""
    return field(default=default, metadata={"rule": rule})


STEPS = 100_000_000  # a bound beyond any practical training
EVER = Whole(0, STEPS)  # a number of steps or measurements, 0 for never
GROWTHS = 17  # doublings that take a batch of 1 past the largest `adabatch.most`


@dataclass(frozen=True)
class Data:
    """The training data."""

    source: str = hyper("shapes", Text("shapes, emoji, or the folder of your images"))
    split: str = hyper("random", Kind(("random", "combinations")))  # combinations: of shapes, held out
    objects: int = hyper(1, Whole(1, 4))  # shapes in a picture; several make long captions, order matters
    caption_column: str = hyper("text", Text("the column of the captions"))
    bad: str = hyper("refuse", Kind(("refuse", "skip")))  # images that can't be used: end, or go on without


@dataclass(frozen=True)
class Reader:
    """The reader of captions."""

    kind: str = hyper("qrnn", Kind(("qrnn", "lstm", "gru", "rnn")))
    size: int = hyper(32, Whole(1, 4096))  # hidden units, per direction
    embedding: int = hyper(32, Whole(1, 4096))  # numbers that stand for a word
    layers: int = hyper(1, Whole(1, 16))  # stacked, each reading the output of the one below
    radius: int = hyper(2, Whole(1, 64))  # words each convolution of a qrnn sees
    bidir: bool = hyper(True, Flag())
    normalize: bool = hyper(True, Flag())
    dropout: float = hyper(0.0, Real(0.0, 0.95))
    forget: float = hyper(1.0, Real(-10.0, 10.0))  # added to the forget gates of qrnn and lstm
    summary: str = hyper(
        "sum", Kind(("last", "sum"))
    )  # the state at the last word; sum: plus those at all words


@dataclass(frozen=True)
class Fc:
    """The fully-connected layers from the caption's summary to the picture."""

    layers: int = hyper(1, Whole(1, 16))  # a merge's own projection is the last; 1 is that alone, as in 2017
    size: int = hyper(128, Whole(1, 4096))  # hidden units of each but the last
    dropout: float = hyper(0.0, Real(0.0, 0.95))  # of the inputs of each


@dataclass(frozen=True)
class Merger:
    """How and where the caption enters the convnet."""

    kind: str = hyper("conv", Kind(("attention", "conv", "film")))
    depth: int = hyper(24, Whole(1, 1024))  # filters of the conv merger; the others have no use for it
    layers: int | tuple[int, ...] = hyper(3, Layers())
    last: str = hyper("attention", Kind(("none", "attention", "conv", "film")))  # one more, after all layers


@dataclass(frozen=True)
class Convnet:
    """The convolutional network."""

    kind: str = hyper(
        "straight_residual",
        Kind(("straight", "straight_dilated", "straight_residual", "tapered", "expanding", "bottlenecked")),
    )
    coordinates: bool = hyper(True, Flag())  # two more planes of input: each pixel's place; none in 2017
    input: str = hyper("scalar", Kind(("scalar", "onehot")))  # an intensity as one number, or as 256
    depth: int = hyper(24, Whole(1, 4096))  # filters
    profundity: int = hyper(4, Whole(1, 512))  # layers
    radius: int = hyper(3, Whole(1, 31))  # the kernel's side, even ones too
    dropout: float = hyper(0.0, Real(0.0, 0.95))


@dataclass(frozen=True)
class Head:
    """From a pixel's activations to its histograms."""

    cosines: int = hyper(64, Whole(0, 256))  # smooth curves over the levels; 0 for none, as in 2017


@dataclass(frozen=True)
class Masker:
    """The masks of training images."""

    kind: str = hyper("contiguish", Kind(("orderless", "contiguish", "contiguous", "center")))
    radius: int = hyper(2, Whole(0, 64))  # of contiguish; a true radius: blocks of 5x5, as 17x17 was to 64x64
    blank: float = hyper(0.75, Real(0.0, 1.0))  # share of the images of which nothing is given: caption only
    hole: float = hyper(0.0, Real(0.0, 1.0))  # side of square holes, a share; 0: drawn with p; 0.5 in 2017
    per_channel: bool = hyper(False, Flag())  # red, green and blue each with a mask of its own, as in 2017


@dataclass(frozen=True)
class Optimizer:
    """The optimiser."""

    kind: str = hyper("adam", Kind(("adam", "adamw", "sgd", "rmsprop")))
    momentum: float = hyper(0.9, Real(0.0, 0.9999))  # Adam's beta 1
    weight_decay: float = hyper(0.0, Real(0.0, 10.0))
    clip: float = hyper(1.0, Real(0.0, 1e6))  # the largest gradient norm; 0 turns clipping off


@dataclass(frozen=True)
class Schedule:
    """The learning rate schedule; `lr` is its highest value."""

    kind: str = hyper("cosine", Kind(("constant", "cosine", "one_cycle", "triangular", "plateau")))
    warmup: float = hyper(0.05, Real(0.0, 1.0))  # share of the steps spent rising; 0.3 is usual for one_cycle
    floor: float = hyper(0.0, Real(0.0, 1.0))  # share of `lr` that is its lowest
    cycle: int = hyper(200, Whole(2, STEPS))  # steps of triangular, up and down again
    decay: float = hyper(0.1, Real(0.0, 1.0, above=True))  # of plateau: 2017 divided by ten ...
    patience: int = hyper(1000, Whole(1, STEPS))  # ... after so many steps without a better validation loss


@dataclass(frozen=True)
class AdaBatch:
    """Batches that grow instead of a learning rate that falls (Devarakonda, Naumov, Garland 2017)."""

    every: int = hyper(0, EVER)  # steps from one growth to the next
    factor: int = hyper(2, Whole(2, 16))
    most: int = hyper(1024, Whole(1, 65536))

    def batch(self, first: int, step: int) -> int:
        """Images in the batch of `step` (from 1) of a training whose first batch has `first`."""
        if not self.every:
            return first
        growths = min((step - 1) // self.every, GROWTHS)
        return min(first * self.factor**growths, self.most)

    def steps(self, first: int, images: int) -> int:
        """The least number of steps whose batches have at least `images` images in all."""
        done = 0
        for _ in range(GROWTHS if self.every else 0):
            batch = self.batch(first, done + 1)
            if images <= batch * self.every:
                break
            images -= batch * self.every
            done += self.every
        return done + -(-images // self.batch(first, done + 1))


@dataclass(frozen=True)
class Stop:
    """Early stopping, and when a trial counts as diverged."""

    patience: int = hyper(0, EVER)  # measurements without a better windowed loss
    window: int = hyper(10, Whole(1, 1000))  # measurements whose median counts: one alone is noisy
    min_delta: float = hyper(0.0, Real(0.0, 1e6))  # levels that count as better
    warmup: int = hyper(100, Whole(1, STEPS))  # steps after which worse than uniform means diverged


@dataclass(frozen=True)
class Speed:
    """Precision, compilation and CUDA graphs; models/train/speed.py resolves `auto`."""

    precision: str = hyper("auto", Kind(("auto", "fp32", "bf16")))
    compile: str = hyper("auto", Kind(("auto", "on", "off")))
    graph: str = hyper("auto", Kind(("auto", "on", "off")))
    deterministic: bool = hyper(True, Flag())  # off: cuDNN and the compiler choose kernels by timing them


@dataclass(frozen=True)
class Config:
    """One complete, checked set of hyperparameters. Make it with `Config.of`."""

    data: Data = field(default_factory=Data)
    reader: Reader = field(default_factory=Reader)
    fc: Fc = field(default_factory=Fc)
    merger: Merger = field(default_factory=Merger)
    convnet: Convnet = field(default_factory=Convnet)
    head: Head = field(default_factory=Head)
    masker: Masker = field(default_factory=Masker)
    optimizer: Optimizer = field(default_factory=Optimizer)
    schedule: Schedule = field(default_factory=Schedule)
    adabatch: AdaBatch = field(default_factory=AdaBatch)
    stop: Stop = field(default_factory=Stop)
    speed: Speed = field(default_factory=Speed)
    lr: float = hyper(6e-3, Real(0.0, 10.0, above=True))  # 4e-3 to 8e-3 learn fastest in the first minute
    batch_size: int = hyper(12, Whole(1, 65536))
    optimize_given: bool = hyper(False, Flag())
    caption_dropout: float = hyper(
        0.1, Real(0.0, 1.0)
    )  # share of captions left out; 1 trains without captions
    loss: str = hyper("mixed", Kind(("emd2", "emd", "xent", "mixed")))
    xent_weight: float = hyper(1.0, Real(0.0, 1000.0, above=True))  # of mixed: emd2 + weight * xent
    loss_pixels: int = hyper(96, Whole(1, 1 << 20))  # pixels per image whose logits a step computes
    steps: int = hyper(600, Whole(1, STEPS))
    images: int = hyper(0, EVER)  # seen in all, from which `steps` follows; 0: `steps` counts
    report_every: int = hyper(50, Whole(1, STEPS))  # steps from one measurement to the next
    checkpoint_every: int = hyper(500, EVER)  # steps, and when done; 0 for none, unless it is stopped
    size: int = hyper(24, Whole(8, 256))  # side of the images in pixels
    weights_gb: float = hyper(0.0, Real(0.0, 1e4))  # most for weights in training (GiB); 0: what there is
    train_images: int = hyper(0, EVER)  # at most so many, few to see overfitting; 0: all
    valid_images: int = hyper(96, Whole(1, 100_000))  # at most so many, the same in every trial
    train_exam: bool = hyper(False, Flag())  # training images take the exam at all validations, not the last
    split_seed: int = hyper(0, Whole(0, 2**31 - 1))  # not `seed`: trials must share their validation set

    @staticmethod
    def of(hypers: Mapping[str, Any]) -> "Config":
        """The defaults with `hypers` ({"convnet.depth": 32, ...}) laid over them.

        Raises ValueError naming everything that is wrong with them, a line each.
        """
        known = _rules()
        errors = []
        values: dict[str, Any] = {}
        for spelled, value in hypers.items():
            name = ALIASES.get(spelled, spelled)
            if name not in known:
                near = difflib.get_close_matches(spelled, [*known, *ALIASES], n=1, cutoff=0.5)
                remedy = f"did you mean {near[0]!r}?" if near else f"the names are {', '.join(known)}"
                errors.append(f"{spelled!r} is not a hyperparameter of the caption model; {remedy}")
            elif name in values:
                twice = [s for s in hypers if ALIASES.get(s, s) == name]
                errors.append(
                    f"{' and '.join(twice)} are one hyperparameter under two names; give one of them"
                )
            elif error := known[name].error(value):
                errors.append(f"{spelled} = {value!r} {error}")
            values[name] = value
        if errors:
            raise ValueError("\n".join(errors))
        config = _laid_over(Config, values)
        if config.images:
            config = replace(config, steps=config.adabatch.steps(config.batch_size, config.images))
            if values.get("steps", config.steps) != config.steps:
                raise ValueError(
                    f"steps = {values['steps']} and images = {config.images}, which makes {config.steps} steps; give "
                    f"only one of them"
                )
        if errors := [*config._at_odds()]:
            raise ValueError("\n".join(errors))
        return config

    @staticmethod
    def names() -> tuple[str, ...]:
        """Every hyperparameter, under each of its names."""
        return (*_rules(), *ALIASES)

    def merge_layers(self) -> tuple[int, ...]:
        """The layers before which the caption is merged: as listed, or `merger.layers` evenly spaced.

        A layer is named twice when there are more merges than layers.
        """
        layers, profundity = self.merger.layers, self.convnet.profundity
        if isinstance(layers, int):
            return tuple(i * profundity // layers for i in range(layers))
        return tuple(sorted(layers))

    def hypers(self) -> dict[str, Any]:
        """All names with their values, flat and dotted: {"reader.size": 32, ..., "lr": 0.006}."""
        flat: dict[str, Any] = {}
        for name, value in asdict(self).items():
            if isinstance(value, dict):
                flat |= {f"{name}.{inner}": v for inner, v in value.items()}
            else:
                flat[name] = value
        return flat

    def _at_odds(self) -> list[str]:
        """Values that are fine alone and impossible together, each with a sentence."""
        errors = []
        layers, profundity = self.merger.layers, self.convnet.profundity
        if isinstance(layers, tuple) and max(layers) >= profundity:
            errors.append(
                f"merger.layers = {list(layers)} names layer {max(layers)}, but convnet.profundity = "
                f"{profundity} has layers 0 to {profundity - 1}"
            )
        if self.data.split == "combinations" and self.data.source != "shapes":
            errors.append(
                f"data.split = 'combinations' holds out combinations of shapes, and data.source is "
                f"{self.data.source!r}; give data.source = 'shapes' or leave data.split alone"
            )
        if self.data.objects > 1 and self.data.source != "shapes":
            errors.append(
                f"data.objects = {self.data.objects} is the number of shapes in a picture, and data.source is "
                f"{self.data.source!r}; give data.source = 'shapes' or leave data.objects alone"
            )
        if self.schedule.kind == "plateau" and self.adabatch.every:
            errors.append(
                f"adabatch.every = {self.adabatch.every} grows the batch instead of lowering the learning rate, "
                f"and schedule.kind = 'plateau' lowers it; give only one of them"
            )
        still = self.optimizer.kind == "rmsprop" and self.optimizer.momentum <= 0.1
        if still and self.schedule.kind == "one_cycle":
            errors.append(
                f"optimizer.momentum = {self.optimizer.momentum} would be 0 at the peak of one_cycle, which lowers "
                f"it by 0.1; give more than 0.1, or another schedule.kind"
            )
        if self.adabatch.every and self.adabatch.most < self.batch_size:
            errors.append(
                f"adabatch.most = {self.adabatch.most} is less than batch_size = {self.batch_size}; "
                f"give at least {self.batch_size}"
            )
        if self.schedule.kind == "constant" and self.schedule.floor:
            errors.append(
                f"schedule.floor = {self.schedule.floor} has no meaning for a constant schedule; choose another "
                f"schedule.kind"
            )
        if self.reader.kind != "qrnn" and self.reader.radius != Reader.radius:
            errors.append(
                f"reader.radius = {self.reader.radius} is the width of a qrnn's convolution, and reader.kind is "
                f'{self.reader.kind!r}; leave it out (in a search: when = {{ "reader.kind" = "qrnn" }})'
            )
        return errors


ALIASES = {
    "data": "data.source",
    "learning_rate": "lr",
    "learn_given": "optimize_given",
    "convnet.channels": "convnet.depth",
    "convnet.layers": "convnet.profundity",
    "convnet.diameter": "convnet.radius",
    "merger.channels": "merger.depth",
    "merger.count": "merger.layers",
    "reader.units": "reader.size",
    "reader.diameter": "reader.radius",
    "reader.bidirectional": "reader.bidir",
    "reader.layer_norm": "reader.normalize",
}
"""Plainer names for those of 2017; a search may use either, and never both."""


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
            listed = isinstance(f.metadata["rule"], Layers) and isinstance(value, str | list | tuple)
            given[f.name] = as_layers(value) if listed else value
    return kind(**given)
