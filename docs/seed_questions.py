"""The tables of docs/seed-questions.md: what searches and trainings say about two texts of 2017 and 2018.

    python docs/seed_questions.py effects STUDY ... [--of loss/train_exam] [--mlruns DIR]
    python docs/seed_questions.py given [--seeds 5] [--no-captions]
    python docs/seed_questions.py grid [--seeds 3]

`effects` reads studies of one search that have ended, and prints by what factor the loss changes with
each hyperparameter, the others held equal: ordinary least squares on the logarithm of the loss, with a
column for each choice but the first, and one for the logarithm of each number (for the number itself,
where its range is short). Trials that did not finish have no loss; their number is printed. `given` trains
with and without optimize_given, with captions or such that all has to come from the known pixels. `grid`
trains a table of learning rates and sizes, and counts what grids and random draws find in it.
"""

from __future__ import annotations

import argparse
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import stats

if TYPE_CHECKING:
    from models.train import Start

SURE = 0.95  # of each interval
FEW = 5  # different numbers that are treated as choices
WIDE = 2  # times its lowest value: a range whose logarithm is taken


@dataclass(frozen=True)
class Column:
    """One column of the regression, and how its coefficient is worded."""

    of: str  # the hyperparameter
    words: str
    values: np.ndarray  # [N]
    count: int  # trials that a choice had; all, for a number


@dataclass(frozen=True)
class Effect:
    """By what factor the loss changes, and its interval."""

    of: str
    words: str
    count: int
    factor: float
    low: float
    high: float


def effects(params: Sequence[Mapping[str, Any]], losses: Sequence[float]) -> list[Effect]:
    """The factors of all hyperparameters that vary, from N trials with losses above 0. Raises ValueError when
    there are no more trials than effects."""
    columns = [*_columns(params)]
    x = np.column_stack([np.ones(len(losses)), *(column.values for column in columns)])  # [N, 1 + C]
    y = np.log(losses)
    free = len(y) - x.shape[1]
    if free < 1:
        raise ValueError(f"{len(y)} finished trials for {x.shape[1] - 1} effects; run more trials")
    inverse = np.linalg.pinv(x.T @ x)
    found = inverse @ x.T @ y  # [1 + C]
    error = np.sqrt(((y - x @ found) ** 2).sum() / free * np.diag(inverse))
    reach = stats.t.ppf((1 + SURE) / 2, free) * error
    return [
        Effect(c.of, c.words, c.count, math.exp(b), math.exp(b - r), math.exp(b + r))
        for c, b, r in zip(columns, found[1:], reach[1:], strict=True)
    ]


def _columns(params: Sequence[Mapping[str, Any]]) -> Iterator[Column]:
    for name in dict.fromkeys(itertools.chain.from_iterable(params)):
        values = [one.get(name) for one in params]  # None where a `when` does not hold: 0 in every column
        levels = sorted({v for v in values if v is not None})
        there = np.array([v is not None for v in values])
        numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in levels)
        if not numbers or len(levels) <= FEW:  # a list of the search file
            for level in levels[1:]:
                chosen = np.array([v == level for v in values], float)
                yield Column(name, f"{_said(level)} for {_said(levels[0])}", chosen, int(chosen.sum()))
            continue
        doubled = levels[0] > 0 and levels[-1] / levels[0] >= WIDE
        known = np.array([v for v in values if v is not None], float)
        known = np.log2(known) if doubled else known
        column = np.zeros(len(values))
        column[there] = known - known.mean()
        yield Column(name, "doubled" if doubled else "one more", column, len(known))


def _said(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value).lower()


def _print_effects(given: argparse.Namespace) -> None:
    from tuner_tui import open_study
    from tuner_tui.study.outcomes import Outcome

    trials = [
        t for name in given.study for t in open_study(name, mlruns=given.mlruns).snapshot().trials.values()
    ]
    done = [t for t in trials if t.outcome is Outcome.FINISHED]
    losses = [t.latest[given.of] if given.of else t.value for t in done]
    print(f"{len(done)} of {len(trials)} trials finished; {given.of or 'the objective'} from {min(losses):.3g} to "
          f"{max(losses):.3g}, median {np.median(losses):.3g}\n")  # fmt: skip
    print("| hyperparameter | | trials | loss times (95 %) |\n|---|---|---|---|")
    for e in effects([t.params for t in done], losses):
        sure = "**" if e.low > 1 or e.high < 1 else ""
        print(
            f"| `{e.of}` | {e.words} | {e.count} | {sure}{e.factor:.2f}{sure} ({e.low:.2f} to {e.high:.2f}) |"
        )


# `given`: the model of 2017 in small, on 16 x 16 shapes. In a picture of shapes no level is below 16 or above 244.
GIVEN = {
    "size": 16, "convnet.depth": 16, "convnet.profundity": 4, "masker.blank": 0.0, "loss": "emd2", "steps": 400,
    "head.cosines": 0, "valid_images": 96, "batch_size": 16,
}  # fmt: skip
DARKEST, LIGHTEST = 16, 244
SHAKEN = 8  # levels that each given pixel is moved by, at most
SPOILT = 0.05  # share of the given pixels that are replaced by any level


def _print_given(given: argparse.Namespace) -> None:
    rows: dict[bool, list[list[float]]] = {False: [], True: []}
    for seed, learned in itertools.product(range(given.seeds), rows):
        rows[learned].append(_fragile(learned, not given.no_captions, seed))
        print(f"optimize_given {learned}, seed {seed}: {rows[learned][-1]}", flush=True)
    names = (
        "error of known values, levels",
        "known values drawn below 16 or above 244",
        "emd2 of hidden values",
        f"emd2 when known values are off by up to {SHAKEN}",
        f"emd2 when {SPOILT:.0%} of the known values are wrong",
    )
    print("\n| mean of the seeds ± standard error | without | with `optimize_given` | difference |")
    print("|---|---|---|---|")
    for i, name in enumerate(names):
        off, on = ([row[i] for row in rows[learned]] for learned in (False, True))
        more = [b - a for a, b in zip(off, on, strict=True)]
        print(f"| {name} | {_spread(off)} | {_spread(on)} | {_spread(more)} |")


def _fragile(optimize_given: bool, captions: bool, seed: int) -> list[float]:
    """The figures of one training, in the order of the table."""
    import torch

    from models.network.model import pixels
    from models.noise import Noise
    from models.task import losses

    hypers = GIVEN | {"optimize_given": optimize_given} | ({} if captions else {"caption_dropout": 1.0})
    start = _trained(hypers, seed)
    config = start.learner.config
    asked, model, noise = start.exam.curve, start.learner.model, Noise.at(seed, 0)
    images, known = asked.images, asked.given
    shake = noise.below("shake", 2 * SHAKEN + 1, *images.shape) - SHAKEN
    spoilt = known & (noise.uniform("spoil", *images.shape) < SPOILT)
    shaken = (images + shake).clamp(0, 255).to(torch.uint8)
    wrong = torch.where(spoilt, noise.below("level", 256, *images.shape).to(torch.uint8), images)

    def emd2(seen: torch.Tensor) -> float:
        logits = model(seen, known, start.captions, asked.at)  # [V, K, 3, 256]
        loss = losses.level_loss(logits, pixels(images, asked.at), **losses.weights(config))
        return losses.asked_mean(loss, asked.asked).item()

    with torch.no_grad():
        logits = model(images, known, start.captions)  # [V, P, 3, 256]
        median = (logits.softmax(-1).cumsum(-1) < 0.5).sum(-1)  # [V, P, 3]
        there = pixels(known, None)
        off = (median - pixels(images, None).long()).abs()[there].float().mean().item()
        never = ((median < DARKEST) | (median > LIGHTEST))[there].float().mean().item()
        return [off, never, emd2(images), emd2(shaken), emd2(wrong)]


def _spread(values: Sequence[float]) -> str:
    return f"{mean(values):.3g} ± {stdev(values) / math.sqrt(len(values)):.2g}"


# `grid`: 9 x 9 trainings, of which a grid of 3 x 3 or nine draws would see nine.
RATES = [1e-3 * 10 ** (i / 4) for i in range(9)]  # to 0.1
UNITS = [8, 11, 16, 23, 32, 45, 64, 91, 128]
TINY = {
    "size": 12, "convnet.depth": 8, "convnet.profundity": 2, "merger.layers": 1, "steps": 80,
    "valid_images": 42, "batch_size": 8, "loss_pixels": 32, "masker.blank": 1.0,
}  # fmt: skip
BUDGET = 9
DRAWS = 20_000  # of nine points each

DRAWN: dict[int, Any] = {}  # by size: (data, exam)


def _print_grid(given: argparse.Namespace) -> None:
    tables = []
    for seed in range(given.seeds):
        table = np.array([[_tiny(rate, units, seed) for units in UNITS] for rate in RATES])  # [9, 9]
        tables.append(table)
        by_rate, by_units = (np.log(table).mean(axis).var() for axis in (1, 0))
        print(
            f"seed {seed}: variance of the log loss by lr {by_rate:.4f}, by reader.size {by_units:.4f}",
            flush=True,
        )
    print(
        "\n| found with 9 trainings, to the best of all 81 | mean over the seeds ± standard error |\n|---|---|"
    )
    for name, ways in (("a 3 x 3 grid", grids()), ("9 random draws", draws())):
        found = [mean(table[rows, columns].min() / table.min() for rows, columns in ways) for table in tables]
        print(f"| {name} | {_spread(found)} |")


def grids() -> list[tuple[np.ndarray, np.ndarray]]:
    """All grids of three rates and three sizes in equal steps of 2 or more: (rows [9], columns [9]) of the table."""
    threes = [(a, a + step, a + 2 * step) for step in (2, 3, 4) for a in range(9 - 2 * step)]
    pairs = itertools.product(threes, threes)
    return [tuple(x.ravel() for x in np.meshgrid(rows, columns, indexing="ij")) for rows, columns in pairs]  # type: ignore[misc]


def draws() -> list[tuple[np.ndarray, np.ndarray]]:
    """Nine points of the table each, drawn as a random search would."""
    points = np.random.default_rng(0).integers(0, 9, (DRAWS, 2, BUDGET))
    return [(rows, columns) for rows, columns in points]


def _tiny(rate: float, units: int, seed: int) -> float:
    return _trained(TINY | {"lr": rate, "reader.size": units}, seed).true_answers().emd2


def _trained(hypers: Mapping[str, Any], seed: int) -> Start:
    """A training after its last step, on images that are drawn once for all of one size."""
    import torch

    from models import data
    from models.config import Config
    from models.network.model import CaptionModel
    from models.task.exam import Exam
    from models.train import Start, schedules, speed
    from models.train.learner import Learner

    config = Config.of(hypers)
    if config.size not in DRAWN:
        found = data.load(config, "cpu", lambda _: None)
        DRAWN[config.size] = found, Exam.draw(found.train, found.valid, config.split_seed)
    found, exam = DRAWN[config.size]
    torch.set_num_threads(1)  # so small a model is no faster with more
    torch.manual_seed(seed)
    plan = speed.plan(config, torch.device("cpu"), len(found.tokenizer))
    learner = Learner(config, CaptionModel(config, len(found.tokenizer)), found.train, seed, plan)
    for step in range(1, config.steps + 1):
        rate, momentum = schedules.learning_rate(config, step), schedules.momentum(config, step)
        learner.learn(config.batch_size, rate, momentum)
    return Start(found, exam, learner)


def main() -> None:
    """Runs the part that the command line names."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parts = parser.add_subparsers(required=True)
    one = parts.add_parser("effects")
    one.add_argument("study", nargs="+")
    one.add_argument("--of", metavar="METRIC", help="another measurement than the objective")
    one.add_argument("--mlruns", default="mlruns", type=Path)
    one.set_defaults(run=_print_effects)
    for name, run, seeds in (("given", _print_given, 5), ("grid", _print_grid, 3)):
        other = parts.add_parser(name)
        other.add_argument("--seeds", type=int, default=seeds)
        other.set_defaults(run=run)
        if name == "given":
            other.add_argument(
                "--no-captions", action="store_true", help="all has to come from the known pixels"
            )
    given = parser.parse_args()
    given.run(given)


if __name__ == "__main__":
    main()
