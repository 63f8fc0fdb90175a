"""python -m models.train: trains one configuration, and prints one line of JSON at the end.

The progress bar and all messages go to standard error; standard output is the JSON line alone.
"""

import argparse
import json
import math
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from models.config import Config
from models.train import train
from models.train.checkpoint import LAST
from models.train.stopping import Diverged

EPILOG = """\
The line at the end:
  emd2            squared EMD on the asked pixels of held-out images, in intensity levels: lower is better
  emd2_train      ... of training images under the same masks: much lower than emd2 is overfitting
  emd2_shuffled   ... with another image's caption             emd2_empty  ... with an empty caption
  emd2_marginal   ... of always answering with the colours' overall histogram
  skill           1 - emd2 / emd2_marginal
  asked_bpd       bits per asked pixel and channel             centre_psnr  dB, with the centre square hidden
Of shapes also, with nothing given but the caption:
  emd2_shape      squared EMD on the pixels of the shape alone
  recognised      share of the pictures in which a fixed classifier finds the caption's shape and colour

All hyperparameters: models/config.py. For example
  python -m models.train --data shapes --size 32 --steps 150 --set convnet.kind=straight --set lr=0.002
  python -m models.train --data ~/coco --size 64 --device cuda --out run1 --steps 100000
  python -m models.train --data ~/coco --size 64 --device cuda --out run1 --steps 100000 --resume

Exit codes: 0 done; 1 diverged; 2 something is wrong with what was asked for; 143 and 130 stopped by
SIGTERM and Ctrl-C (with --out, the checkpoint is saved first)."""


def main(arguments: list[str] | None = None) -> int:
    """Runs the command with these arguments (by default the process's own) and returns its exit code."""
    given = _parser().parse_args(arguments)
    try:
        hypers = _hypers(given)
        resume = _checkpoint(given)
        trained = train(
            seed=given.seed, device=given.device, out=given.out, resume=resume, say=_say, **hypers
        )
        return _follow(trained, Config.of(hypers).steps, given)
    except Diverged as error:
        print(f"diverged: {error}", file=sys.stderr)
        return 1
    except (ValueError, MemoryError, OSError) as error:
        print(_in_options(str(error)), file=sys.stderr)
        return 2


def _follow(trained: Iterator[dict[str, float] | None], steps: int, given: argparse.Namespace) -> int:
    """Shows progress while training runs, then prints the line; a signal closes the generator, which saves."""
    stopped: list[int] = []
    begun = False

    def on_signal(number: int, _: object) -> None:
        if not begun:  # loading: there is nothing to save yet, and it may take minutes
            raise SystemExit(128 + number)
        stopped.append(number)

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGTERM, signal.SIGINT)}
    began, last = time.monotonic(), {}
    try:
        with _Bar(steps) as advance:
            for measured in trained:
                begun = True
                if measured is not None:
                    last = measured
                    advance(measured)
                if stopped:
                    break
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if stopped:
        trained.close()  # type: ignore[attr-defined]
        again = f"; go on with --out {given.out} --resume" if given.out else ""
        print(f"stopped by {signal.Signals(stopped[0]).name}{again}", file=sys.stderr)
        return 128 + stopped[0]
    print(json.dumps(_line(last, time.monotonic() - began)))
    return 0


def _line(last: dict[str, float], seconds: float) -> dict[str, float | None]:
    names = {
        "emd2": "loss/valid",
        "emd2_train": "loss/train_exam",
        "emd2_shuffled": "loss/valid_shuffled",
        "emd2_empty": "loss/valid_empty",
        "emd2_marginal": "baseline/marginal",
        "skill": "skill",
        "asked_bpd": "asked_bpd",
        "centre_psnr": "centre_psnr",
        "emd2_shape": "loss/shape",
        "recognised": "recognised",
    }
    line = {name: _finite(round(last.get(measured, math.nan), 4)) for name, measured in names.items()}
    return line | {"steps": int(last["step"]), "seconds": round(seconds, 2)}


def _in_options(message: str) -> str:
    """A message with its remedies as this command takes them: give data.bad = "skip" -> give --set data.bad=skip."""
    return re.sub(r"""\b(give|as) ([\w.]+) = (["'])(.*?)\3""", r"\1 --set \2=\4", message)


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None  # JSON knows no infinity


class _Bar:
    """A progress bar on a terminal, else one line per measurement: `with _Bar(steps) as advance: advance(m)`."""

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def __enter__(self) -> Callable[[dict[str, float]], None]:
        self.progress = None
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            self.progress = Progress(
                MofNCompleteColumn(), BarColumn(None), TimeRemainingColumn(), TextColumn("{task.description}"),
                console=Console(stderr=True), expand=True,
            )  # fmt: skip
            self.task = self.progress.add_task("loading", total=None)
            self.progress.start()
        return self.advance

    def advance(self, measured: dict[str, float]) -> None:
        how = (
            f"train {measured['loss/train']:.2f}  valid {measured['loss/valid']:.2f}"
            f"  skill {measured['skill']:.2f}"
        )
        if self.progress is None:
            print(f"step {measured['step']:>6} of {self.steps}  {how}", file=sys.stderr, flush=True)
        else:
            self.progress.update(self.task, completed=measured["step"], total=self.steps, description=how)

    def __exit__(self, *_: object) -> None:
        if self.progress is not None:
            self.progress.stop()


def _say(line: str) -> None:
    print(_in_options(line), file=sys.stderr, flush=True)


def _checkpoint(given: argparse.Namespace) -> str | None:
    """The checkpoint to resume from, if any. An existing one is not overwritten unless --resume is given."""
    last = Path(given.out) / LAST if given.out is not None else None
    if given.resume and last is None:
        raise ValueError("--resume goes on from the checkpoint in --out FOLDER; name the folder")
    if not given.resume and last is not None and last.exists():
        raise ValueError(f"{last} is there already; go on from it with --resume, or give another --out")
    return str(last) if given.resume else None


def _hypers(given: argparse.Namespace) -> dict[str, Any]:
    hypers: dict[str, Any] = {}
    for pair in given.set:
        name, equals, value = pair.partition("=")
        if not equals:
            raise ValueError(f"--set {pair}: write it as NAME=VALUE, such as --set lr=0.001")
        if name in hypers:
            raise ValueError(f"--set {name} is given twice; give it once")
        hypers[name] = _value(value)
    for name in ("data", "size", "steps"):
        if (value := getattr(given, name)) is not None:
            if name in hypers:
                raise ValueError(f"--{name} and --set {name} are the same; give one of them")
            hypers[name] = value
    return hypers


def _value(text: str) -> Any:
    """Parses numbers, true, false and [lists] as JSON; anything else is a string."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m models.train",
        description="Train one configuration of the caption model: the same generator that a sweep runs.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--data", metavar="SOURCE", help="shapes (default), emoji, or a folder: COCO or images with metadata")
    add("--size", type=int, help="side of the images in pixels")
    add("--steps", type=int, help="optimiser steps")
    add("--seed", type=int, default=0, help="of the weights and all that is drawn (default 0)")
    add("--device", default="cpu", help="cpu (default), cuda or cuda:1")
    add("--out", metavar="FOLDER", help="where checkpoint.pt, best.pt and completions.png are left")
    add("--resume", action="store_true", help="go on from the checkpoint in --out")
    add(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="any hyperparameter, such as lr=0.001",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
