"""What an exact hypergradient costs: every method of `meta` beside its peers, on the same training, in one run.

    python benchmarks/hypergradient.py [--steps 100 1000] [--repeats 2] [--methods tape higher] [--mnist FOLDER]

The work: 784-100-10 with tanh (79,510 weights), batches of 100, heavy ball, float32, on one thread. The outer loss
is that of 500 other images after T steps. Which hyperparameters get a gradient is said in each row:

  lr, momentum [T, 4], init [4], L2 [P]    a rate and a momentum for each step and tensor, a scale for each tensor's
                                           start, a penalty for each weight: unroll, tape, checkpoint, reversible, ...
  forward      one rate a tensor, the same at all steps: 4 directions, carried along in one training
  evolution    the same rates, few pairs; an estimate of the gradient of a smoothed loss: nobody asks its digits
  implicit     only the penalties; 50 Hessian products after the training
  truncated    the last quarter of the steps only: biased by design, and its digits say so
  higher       autograd through its DifferentiableSGD. lr: a rate for each step and tensor; most: all that ours have
  torchopt     autograd through its MetaSGD. lr: a rate for each step, one for all tensors;
               most: scales and penalties, too (its momentum can't be learned)

1.0 is a plain training without any gradient of hyperparameters, on the same batches: by hand (autograd and a heavy
ball in place, penalties included) or by torch.optim.SGD (fused, one weight decay), whichever is faster here.
Each way is measured in a process of its own that has done nothing but import libraries. Its first call tells peak
memory (the highest resident set above what was there before, data and libraries not counted), and what a call costs
when each page of memory is new. After it plain trainings and calls take turns, and our exact methods with tape:
every ratio, that of reversible to tape included, is one between neighbours in one process; medians of all rounds.
Judge by processor time: it is less disturbed by neighbours on the machine than the clock on the wall.
Without --mnist images are random. Times do not depend on it; losses and digits of agreement do.
Writes benchmarks/results/hypergradient-DEVICE.json. Peers come with `uv pip install --group peers-meta`.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import os
import platform
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from machine import processor

RESULTS = Path(__file__).parent / "results"
QUICK = {"steps": [30], "repeats": 1}
MB = 2**20
TAPE, REVERSIBLE, BITS, MEMORY = 4.2, 1.3, 0.16, 100.0  # the goals; the last in MB


def main() -> None:
    given = _arguments()
    os.environ["OMP_NUM_THREADS"] = str(given.threads)  # for the processes to come
    from hypergradient_ways import missing, ways

    names = []
    for name, way in ways().items():
        if not (name.startswith("plain") or given.methods is None or name.split(",")[0] in given.methods):
            continue
        if missing(way):
            print(f"{name}: skipped, {way.package} can't be imported (dependency group `peers-meta`)")
        else:
            names.append(name)
    began, tables, load = time.perf_counter(), {}, os.getloadavg()[0]
    for steps in given.steps:
        tables[steps] = _table(steps, names, given)
        _print_table(steps, tables[steps])
    _print_goals(tables)
    loads = [load, os.getloadavg()[0]]  # of the minute before the first and the last process
    print(f"\n{time.perf_counter() - began:.0f} s; load {loads[0]:.1f} at first, {loads[1]:.1f} at last")
    _save(given, tables, loads)


def _table(steps: int, names: list[str], given: argparse.Namespace) -> dict[str, dict]:
    told: dict[str, list[dict]] = {name: [] for name in names}
    for _ in range(given.repeats):  # round by round, so that a slow minute hits everybody
        for name in list(told):
            try:
                told[name].append(_in_a_process(name, steps, given))
            except Exception as error:  # one row less, but minutes of the others are kept
                killed = isinstance(error, BrokenProcessPool)
                said = "its process was killed; was there enough memory?" if killed else repr(error)
                print(f"T = {steps}: {name}: FAILED: {said}", flush=True)
                del told[name]
    return _rows(told)


def _in_a_process(name: str, steps: int, given: argparse.Namespace) -> dict[str, Any]:
    from hypergradient_ways import Work, measure

    # A fork of a process that has imported libraries and done nothing: as fresh as a new one, 4 s sooner.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torch", "torch.fx.experimental.symbolic_shapes", "torch._dynamo"])
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(measure, name, Work(steps, given.mnist, given.device), given.threads).result()


def _rows(told: dict[str, list[dict]]) -> dict[str, dict]:
    """Medians over all rounds of all processes."""
    from hypergradient_ways import PLAIN, ways

    rounds = {name: [row for each in told[name] for row in each["rounds"]] for name in told}
    flat = [row for some in rounds.values() for row in some]
    plain = min(PLAIN, key=lambda key: statistics.median(row[key][0] for row in flat if key in row))
    reference = statistics.median(row[plain][0] for row in flat if plain in row)
    rows = {}
    for name, some in rounds.items():
        ratios = [[row[name][clock] / row[plain][clock] for row in some] for clock in (0, 1)]
        found, way = told[name][0]["found"], ways()[name]
        peaks = [each["peak"] for each in told[name] if each["peak"] is not None]
        rows[name] = {
            "hypers": way.hypers,
            "ms": 1e3 * statistics.median(row[name][0] for row in some),
            "to_plain": statistics.median(ratios[0]),
            "to_plain_of_rounds": ratios[0],
            "to_plain_by_the_wall": statistics.median(ratios[1]),
            "to_beside": statistics.median(row[name][0] / row[way.beside][0] for row in some)
            if way.beside
            else None,
            "first_to_plain": statistics.median(each["first"] for each in told[name]) / reference,
            "peak_mb": statistics.median(peaks) / MB if peaks else None,
            "loss": float(found.value),
            "bits": found.bits,
            "exact": found.exact,
            "note": way.note,
            "is_one": name == plain,
            "digits": _digits(found.grads, told[way.like][0]["found"].grads) if way.like in told else {},
        }
    return rows


def _digits(grads: dict, theirs: dict) -> dict[str, float]:
    """−log₁₀ of the relative error, part by part. A rate that serves many has the sum of their gradients."""
    digits = {}
    for name, part in grads.items():
        other = theirs[name].double()
        while part.dim() < other.dim():  # [T] beside [T, G]
            other = other.sum(-1)
        if part.shape[0] == 1 < other.shape[0]:  # [1, G] beside [T, G]
            other = other.sum(0, keepdim=True)
        error = float((part.double() - other).norm() / other.norm())
        digits[name] = -math.log10(error) if error else math.inf
    return digits


def _print_table(steps: int, rows: dict[str, dict]) -> None:
    one = next((name for name, row in rows.items() if row["is_one"]), "")
    print(f"\nT = {steps}; 1.0 is {one}; medians")
    print(f"  {'':<24}{'ms/step':>8}{'to plain':>10}{'by the wall':>13}{'first call':>12}{'peak MB':>9}")
    for name, row in rows.items():
        peak = "-" if row["peak_mb"] is None else f"{row['peak_mb']:.0f}"
        print(
            f"  {name:<24}{row['ms']:8.2f}{row['to_plain']:9.1f}x{row['to_plain_by_the_wall']:12.1f}x"
            f"{row['first_to_plain']:11.1f}x{peak:>9}  {row['hypers']}{_kept(row)}",
            flush=True,
        )
    print("  digits to which gradients agree with those of tape (float32), part by part:")
    for name, row in rows.items():
        if row["digits"] and name != "tape":
            print(
                f"    {name:<22}"
                + ", ".join(f"{part} {digits:.1f}" for part, digits in row["digits"].items())
            )


def _kept(row: dict) -> str:
    said = [row["note"]] if row["note"] else []
    if row["exact"] is not None:
        bits = f"{row['bits']:.4f} bits per weight and step" if row["bits"] else "no bits put aside yet"
        said += [bits, "ended at x0 exactly" if row["exact"] else "MISSED x0"]
    return f"; {', '.join(said)}" if said else ""


def _print_goals(tables: dict[int, dict[str, dict]]) -> None:
    print("\ngoals")
    for steps, rows in tables.items():
        tape, reversible = rows.get("tape"), rows.get("reversible")
        if tape:
            _goal(f"T = {steps}: tape to plain", tape["to_plain"], TAPE)
        if not reversible:
            continue
        _goal(f"T = {steps}: reversible to tape, as neighbours", reversible["to_beside"], REVERSIBLE)
        if reversible["bits"]:
            _goal(f"T = {steps}: reversible, bits per weight and step", reversible["bits"], BITS)
        else:
            print(
                f"  T = {steps}: reversible put no bits aside yet, so their number says nothing: take a larger T"
            )
        if reversible["peak_mb"] is not None:
            peers = [f"{n}: {r['peak_mb']:.0f}" for n, r in rows.items() if n.startswith("torchopt")]
            _goal(f"T = {steps}: reversible, peak MB", reversible["peak_mb"], MEMORY, "; ".join(peers))


def _goal(what: str, got: float, wanted: float, beside: str = "") -> None:
    met = "met" if got <= wanted else "NOT met"
    print(f"  {what:<48}{got:9.3f}   goal <= {wanted:g}   {met}" + (f"   ({beside})" if beside else ""))


def _save(given: argparse.Namespace, tables: dict[int, dict[str, dict]], loads: list[float]) -> None:
    device = _device(given.device)
    path = given.json
    if path is None:
        if given.quick or given.methods:  # a part of the table is no record
            return
        name = "".join(c if c.isalnum() else "-" for c in device).strip("-").lower()
        path = RESULTS / f"hypergradient-{name}.json"
    packages = ("torch", "higher", "torchopt")
    told = {
        "device": device,
        "versions": {"python": platform.python_version()} | {name: _version(name) for name in packages},
        "images": "random" if given.mnist is None else "MNIST",
        "threads": given.threads,
        "repeats": given.repeats,
        "load": loads,
        "tables": tables,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(told, indent=1) + "\n")
    print(f"written to {path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path}")


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _device(device: str) -> str:
    if device.startswith("cuda"):
        import torch

        return torch.cuda.get_device_name(device)
    return processor()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--steps", type=int, nargs="+", default=None, help="T, one or more; default: 100 1000")
    add("--repeats", type=int, default=None, help="processes a way and T; default: 2")
    add("--methods", nargs="+", help="only these rows, and plain; higher and torchopt are two rows each")
    add("--mnist", default=None, help="a folder with MNIST's IDX files, plain or .gz; default: random images")
    add("--device", default="cpu", help="cpu or cuda")
    add("--threads", type=int, default=1)
    add("--json", type=Path, default=None, help="where to write; default: benchmarks/results of a whole run")
    add("--quick", action="store_true", help="T = 30, once: a minute")
    given = parser.parse_args()
    usual = QUICK if given.quick else {"steps": [100, 1000], "repeats": 2}
    for name, value in usual.items():
        if getattr(given, name) is None:
            setattr(given, name, value)
    return given


if __name__ == "__main__":
    main()
