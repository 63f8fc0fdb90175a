"""python -m meta.experiments NAME: one experiment with its defaults, its figures and its pictures.

python -m meta.experiments penalties --out pictures
python -m meta.experiments ten --data MNIST --download --set valid_examples=500
"""

import argparse
import inspect
import json
import sys
from collections.abc import Callable, Iterator
from typing import Any

from meta.experiments import convnet, edge, penalties, refined, schedules, starts, ten, transforms, vertigo
from meta.problems.download import download

EXPERIMENTS: dict[str, Callable[..., Iterator[dict[str, float]]]] = {
    "penalties": penalties.train,
    "ten": ten.train,
    "schedules": schedules.train,
    "transforms": transforms.train,
    "convnet": convnet.train,
    "starts": starts.train,
    "edge": edge.train,
    "vertigo": vertigo.train,
    "refined": refined.train,
}


def main(arguments: list[str] | None = None) -> int:
    """Runs the command and returns its exit code: 0, or 2 if something is wrong with what was asked."""
    given = _parser().parse_args(arguments)
    train = EXPERIMENTS[given.name]
    try:
        if given.download:
            if given.data == "digits":
                raise ValueError("--download: give the folder for MNIST's files as well, with --data FOLDER")
            download(given.data)
        settings = dict(_setting(train, pair) for pair in given.set)
        last: dict[str, float] = {}
        for measured in train(data=given.data, seed=given.seed, out=given.out, **settings):
            last = measured
            print(_line(measured), file=sys.stderr, flush=True)
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    print(json.dumps({name: float(f"{value:.5g}") for name, value in last.items()}))
    return 0


def _line(measured: dict[str, float]) -> str:
    return "  ".join(f"{name} {value:.4g}" for name, value in measured.items())


def _setting(train: Callable[..., Any], pair: str) -> tuple[str, Any]:
    name, equals, word = pair.partition("=")
    known = {
        n: p.default
        for n, p in inspect.signature(train).parameters.items()
        if n not in ("seed", "out", "data")
    }
    if not equals or name not in known:
        raise ValueError(f"--set {pair}: give NAME=VALUE, with a name of {', '.join(known)}")
    try:
        return name, type(known[name])(word)
    except ValueError as error:
        raise ValueError(f"--set {pair}: give a {type(known[name]).__name__}") from error


def _parser() -> argparse.ArgumentParser:
    told = "\n".join(f"  {name:10} {_first(train)}" for name, train in EXPERIMENTS.items())
    parser = argparse.ArgumentParser(
        prog="python -m meta.experiments",
        description="Run one experiment of docs/experiments.md; the last line is its figures as JSON.",
        epilog=f"The experiments:\n{told}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("name", choices=EXPERIMENTS)
    add(
        "--data",
        default="digits",
        metavar="FOLDER",
        help="of MNIST's four files (default: scikit-learn's digits)",
    )
    add("--download", action="store_true", help="fetch what that folder lacks of them, 12 MB, and check it")
    add("--out", metavar="FOLDER", help="where pictures and arrays are left")
    add("--seed", type=int, default=0, help="other splits and first weights (default 0)")
    add("--set", action="append", default=[], metavar="NAME=VALUE", help="any setting, such as steps=50")
    return parser


def _first(train: Callable[..., Any]) -> str:
    """The experiment's title, from its file."""
    module = sys.modules[train.__module__]
    return (module.__doc__ or "").splitlines()[0].partition(": ")[2]


if __name__ == "__main__":
    sys.exit(main())
