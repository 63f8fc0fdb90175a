"""python -m meta.verify: runs the checks of meta.ladder on this machine and prints the results."""

import argparse
import json
import math
import sys
import textwrap
from dataclasses import asdict
from pathlib import Path

import torch

from meta.ladder import RUNGS, Check, climb

WIDTH = 80
WHAT = 45
EPILOG = f"""\
The rungs:
{chr(10).join(f"  {number:2}  {rung.title}" for number, rung in RUNGS.items())}

A line for each check: what was held against what, the figure measured, the
bound it must keep, and whether it does. Figures are relative errors unless they
say otherwise. Rung 7's is the slope of log error over log h (of evolution
strategies over log σ): 2 is right, and 0 is what any mistake gives. "refused":
the method says that it can't, and must say so.

  python -m meta.verify
  python -m meta.verify --rung 7 --rung 8 --json verified.json
  python -m meta.verify --device cuda

Exit codes: 0 all hold; 1 one fails; 2 something is wrong with what was asked."""


def main(arguments: list[str] | None = None) -> int:
    """Runs the command with these arguments (by default the process's own) and returns its exit code."""
    given = _parser().parse_args(arguments)
    try:
        device = _device(given.device)
        _check_file(given.json)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    torch.set_num_threads(1)  # problems this small only wait for more
    checks: list[Check] = []
    for check in climb(device, given.rung, given.quick):
        if not checks or checks[-1].rung != check.rung:
            print(f"\n{check.rung:2}  {RUNGS[check.rung].title}", flush=True)
        print(line(check), flush=True)
        checks.append(check)
    print(f"\n{_count(checks)} on {_name(device)}")
    if given.json:
        given.json.write_text(json.dumps(_record(checks, device), indent=1, ensure_ascii=False) + "\n")
    return 1 if any(check.ok is False for check in checks) else 0


def line(check: Check) -> str:
    """One check as a line of 80 columns, with its note, if any, below."""
    figure = "" if check.figure is None else _short(check.figure)
    verdict = {True: "ok", False: "FAILED", None: "skipped"}[check.ok]
    row = f"    {check.what:{WHAT}} {figure:>9}  {check.bound:11} {verdict}".rstrip()
    return "\n".join(
        [row, *textwrap.wrap(check.note, WIDTH, initial_indent=" " * 8, subsequent_indent=" " * 8)]
    )


def _short(figure: float) -> str:
    return f"{figure:,}" if isinstance(figure, int) else f"{figure:#.3g}"


def _count(checks: list[Check]) -> str:
    failed, skipped = (sum(check.ok is verdict for check in checks) for verdict in (False, None))
    held = len(checks) - failed - skipped
    return ", ".join(
        [f"{held} of {len(checks)} checks hold"]
        + ([f"{failed} FAILED"] if failed else [])
        + ([f"{skipped} skipped"] if skipped else [])
    )


def _record(checks: list[Check], device: torch.device) -> dict[str, object]:
    return {
        "device": _name(device),
        "torch": torch.__version__,
        "checks": [asdict(check) | {"figure": _number(check.figure)} for check in checks],
    }


def _number(figure: float | None) -> float | str | None:
    """The figure for JSON, which has no infinities: these become strings."""
    return figure if figure is None or math.isfinite(figure) else str(figure)


def _device(asked: str | None) -> torch.device:
    if asked is None:
        if torch.cuda.is_available():
            print("There is a GPU: --device cuda climbs on it. This is the CPU.")
        return torch.device("cpu")
    if asked.startswith("cuda") and not torch.cuda.is_available():
        raise ValueError("--device cuda: PyTorch finds no CUDA device here; leave it out to climb on the CPU")
    return torch.device(asked)


def _name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "the CPU"


def _check_file(path: Path | None) -> None:
    if path is not None and not path.resolve().parent.is_dir():
        raise ValueError(f"--json {path}: there is no folder {path.parent}; make it first")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m meta.verify",
        description="Prove hypergradients here: by closed form, by each other, by differences.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--device", choices=("cpu", "cuda"), help="where to climb (default cpu)")
    add("--quick", action="store_true", help="fewer steps in rung 1, and one optimiser in rung 7")
    add(
        "--rung",
        type=int,
        action="append",
        default=[],
        choices=RUNGS,
        metavar="N",
        help="only this one, 1 to 10; may be given again",
    )
    add("--json", type=Path, metavar="FILE", help="leave all checks there too")
    return parser


if __name__ == "__main__":
    sys.exit(main())
