"""python -m meta.train: runs one meta-training, and prints one line of JSON at the end.

Messages go to standard error; standard output is the JSON line alone.
"""

import argparse
import json
import math
import signal
import sys
import textwrap
import time
from dataclasses import fields
from typing import Any

from meta.train import train
from meta.train.chaos import Diverged
from meta.train.config import Config

EPILOG = """\
Settings and their defaults, explained in meta/train/config.py; method.OPTION is one of the method's own:
{settings}

For example
  python -m meta.train --set learn=log_lr --set tie=piecewise --set lr=0.1 --out learned
  python -m meta.train --set method=checkpoint --set method.segment=8 --set steps=400 --set hidden=50,30

Exit codes: 0 done; 1 diverged; 2 something is wrong with what was asked for; 143 and 130 stopped by SIGTERM and
Ctrl-C (with --out, what was learned so far is saved first)."""


def main(arguments: list[str] | None = None) -> int:
    """Runs the command with these arguments (by default the process's own) and returns its exit code."""
    given = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, _interrupt)
    began = time.monotonic()
    last: dict[str, float] = {}
    try:
        hypers = _hypers(given.set)
        count = Config.of(hypers).meta_iterations
        for measured in train(seed=given.seed, device=given.device, out=given.out, say=_say, **hypers):
            last |= measured
            _say(_line(measured, count))
    except Diverged as error:
        _say(f"diverged: {error}")
        return 1
    except (ValueError, OSError) as error:
        _say(error)
        return 2
    except _Stopped as stopped:
        return 128 + stopped.number
    except KeyboardInterrupt:
        return 130
    finite = {
        name: round(x, 6) if math.isfinite(x) else None for name, x in last.items()
    }  # JSON has no infinity
    print(json.dumps(finite | {"seconds": round(time.monotonic() - began, 2)}))
    return 0


class _Stopped(BaseException):
    """By a signal. It passes through the generator, whose `finally` saves."""

    def __init__(self, number: int) -> None:
        self.number = number


def _interrupt(number: int, _: object) -> None:
    raise _Stopped(number)


def _say(line: object) -> None:
    print(line, file=sys.stderr, flush=True)


def _line(measured: dict[str, float], count: int) -> str:
    named = {"train": "loss/train", "valid": "loss/valid", "test": "loss/test", "growth": "growth"}
    said = "  ".join(f"{word} {measured[name]:.4f}" for word, name in named.items() if name in measured)
    return f"meta-iteration {measured['step']:>3.0f} of {count}  {said}"


def _hypers(pairs: list[str]) -> dict[str, Any]:
    hypers: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise ValueError(f"--set {pair}: write it as NAME=VALUE, such as --set steps=50")
        if name in hypers:
            raise ValueError(f"--set {name} is given twice; give it once")
        hypers[name] = _value(value)
    return hypers


def _value(word: str) -> Any:
    """Parses numbers, true, false and [lists] as JSON; anything else is a string."""
    try:
        return json.loads(word)
    except json.JSONDecodeError:
        return word


def _settings() -> str:
    """NAME=VALUE as --set takes it, in the order of Config."""
    defaults = Config.of({})
    words = []
    for name in (f.name for f in fields(Config) if "rule" in f.metadata):
        value = getattr(defaults, name)
        said = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
        words.append(f"{name}={said.lower() if isinstance(value, bool) else said}")
    return textwrap.fill("  ".join(words), 78, initial_indent="  ", subsequent_indent="  ")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m meta.train",
        description="Learn hyperparameters by their hypergradients: the same generator that a sweep runs.",
        epilog=EPILOG.format(settings=_settings()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--seed", type=int, default=0, help="of the first weights and the batches (default 0)")
    add("--device", default="cpu", help="cpu (default), cuda or cuda:1")
    add("--out", metavar="FOLDER", help="where hypers.npz is left")
    add("--set", action="append", default=[], metavar="NAME=VALUE", help="any setting, such as steps=50")
    return parser


if __name__ == "__main__":
    sys.exit(main())
