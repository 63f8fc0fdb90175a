"""From which Λ on a hypergradient means nothing: learning-rate sweeps of several networks and seeds.

    python benchmarks/chaos.py [--device cuda] [--rates 64] [--seeds 3]

Every network is trained at --rates constant learning rates, 0.05 apart in their log, with --seeds seeds; all runs
of a network are one call of hypergradient(many=True). For each run it compares three slopes of the validation loss
by log-lr: the exact gradient, and central differences of the same losses over h = .05 and h = .25. They disagree
where their signs or a factor of 2 do; slopes below a tenth of the loss per e-fold are left out, since near an
optimum a sign is nothing. Λ = log(|dE/dx_0| / |dE/dx_T|), the growth of the adjoint, is free of charge.
Prints a line for each rate (means over the seeds; the largest Λ), then the share that disagrees by Λ. The thresholds
of meta.train.chaos.Guards are from this table. Writes benchmarks/results/chaos-DEVICE.json.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import platform
import time
from pathlib import Path
from typing import Any

import torch
from machine import processor

from meta import Hypers, hypergradient
from meta.dynamics import Adam, Dynamics, HeavyBall
from meta.inner.ties import constant
from meta.problems.digits import digits
from meta.problems.nets import network

RESULTS = Path(__file__).parent / "results"
SPACING = 0.05  # between neighbouring log-lrs, so that they are each other's finite differences
STRIDES = {"h=.05": 1, "h=.25": 5}  # finite differences, in spacings
FLAT = 0.1  # of the loss per e-fold: a slope that is no news
TRAIN, VALID = 1000, 400  # examples
BATCH = 100
SPREAD = -1.0  # log of the first weights' standard deviation
EDGES = [-math.inf, 0.0, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0, 6.0, 8.0, math.inf]

# name: hidden units, inner steps, optimiser, the lowest log-lr
NETWORKS: dict[str, tuple[tuple[int, ...], int, Dynamics, float]] = {
    "64-50-30-10 tanh, heavy ball, T=50": ((50, 30), 50, HeavyBall(), -0.5),
    "64-32-10 tanh, heavy ball, T=50": ((32,), 50, HeavyBall(), 0.0),
    "64-32-10 tanh, heavy ball, T=200": ((32,), 200, HeavyBall(), 0.0),
    "64-32-10 tanh, Adam, T=50": ((32,), 50, Adam(), -4.0),
    "64-10 softmax, heavy ball, T=50": ((), 50, HeavyBall(), 1.0),
}


def main() -> None:
    given = _arguments()
    torch.set_num_threads(given.threads)
    began = time.perf_counter()
    swept = {name: sweep(name, given) for name in NETWORKS}
    for name, found in swept.items():
        _print_sweep(name, found)
    tables = {name: by_growth([found]) for name, found in swept.items()}
    tables["all"] = by_growth(list(swept.values()))
    for name, table in tables.items():
        _print_table(name, table)
    print(f"\n{time.perf_counter() - began:.0f} s")
    _save(given, swept, tables, time.perf_counter() - began)


def sweep(name: str, given: argparse.Namespace) -> dict[str, Any]:
    """Losses, gradients, differences and Λ of every rate and seed, [K][S] each."""
    hidden, steps, dynamics, lowest = NETWORKS[name]
    few = digits(TRAIN, VALID, device=given.device)
    problem = network(few.train, few.valid, hidden, steps=steps, batch=BATCH, dynamics=dynamics)
    K, G = given.rates, problem.layout.G
    rates = lowest + SPACING * torch.arange(K, device=given.device)
    hypers = Hypers(
        log_lr=rates[:, None, None].repeat(1, 1, G),  # [K, 1, G]
        log_init_scale=torch.full((K, G), SPREAD, device=given.device),
    )
    found = hypergradient(
        problem, hypers, "tape", seeds=range(given.seeds), ties={"log_lr": constant(steps)}, many=True,
        chunk_size=given.chunk,
    )  # fmt: skip
    loss = found.seed_values.double().cpu()  # [K, S]
    slope = found.seed_grads.parts()["log_lr"].double().sum((-1, -2)).cpu()
    assert found.growth is not None
    differences = {}
    for scale, n in STRIDES.items():
        d = torch.full_like(loss, math.nan)
        d[n:-n] = (loss[2 * n :] - loss[: -2 * n]) / (2 * n * SPACING)
        differences[scale] = d
    return {
        "log_lr": rates.cpu(), "loss": loss, "gradient": slope, "growth": found.growth.double().cpu(),
        **differences,
    }  # fmt: skip


def disagree(
    slope: torch.Tensor, difference: torch.Tensor, loss: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Which runs count, and which of them disagree in sign or by a factor of 2."""
    large = torch.maximum(slope.nan_to_num(torch.inf).abs(), difference.abs())
    counts = difference.isfinite() & (large > FLAT * loss)
    ratio = slope / difference
    return counts, counts & ~((ratio > 0.5) & (ratio < 2))  # a gradient that is nan disagrees, too


def by_growth(swept: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """For each range of Λ: how many runs, and the share that disagrees at each scale."""
    table = []
    for low, high in itertools.pairwise(EDGES):
        row: dict[str, Any] = {"low": low, "high": high}
        for scale in STRIDES:
            counted = bad = 0
            for found in swept:
                growth = found["growth"].nan_to_num(torch.inf, torch.inf)
                here = (growth >= low) & ((growth < high) if high < math.inf else True)
                counts, wrong = disagree(found["gradient"], found[scale], found["loss"])
                counted += int((here & counts).sum())
                bad += int((here & wrong).sum())
            row[scale] = {"runs": counted, "disagree": bad}
        table.append(row)
    return table


def _print_sweep(name: str, found: dict[str, Any]) -> None:
    print(f"\n{name}\n  log-lr      loss   gradient      h=.05      h=.25   largest growth")
    for k, rate in enumerate(found["log_lr"]):
        means = [found[column][k].mean().item() for column in ("loss", "gradient", *STRIDES)]
        growth = found["growth"][k].nan_to_num(torch.inf, torch.inf).max().item()
        print(f"  {rate:6.2f}{means[0]:10.4f}" + "".join(f"{m:11.3g}" for m in means[1:]) + f"{growth:17.1f}")


def _print_table(name: str, table: list[dict[str, Any]]) -> None:
    print(f"\n{name}: share of runs whose gradient disagrees\n  growth          h=.05              h=.25")
    for row in table:
        cells = [
            f"{_share(row[scale]):>6} of {row[scale]['runs']:<4}" if row[scale]["runs"] else f"{'-':>14}"
            for scale in STRIDES
        ]
        print(f"  {row['low']:5.1f} .. {row['high']:<5.1f}" + "     ".join(cells))


def _share(cell: dict[str, int]) -> str:
    return f"{cell['disagree'] / cell['runs']:.0%}"


def _save(given: argparse.Namespace, swept: dict[str, Any], tables: dict[str, Any], seconds: float) -> None:
    cuda = given.device.startswith("cuda")
    device = torch.cuda.get_device_name(given.device) if cuda else processor()
    name = "".join(c if c.isalnum() else "-" for c in device).strip("-").lower()
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"chaos-{name}.json"
    saved = {
        "arguments": vars(given),
        "device": device,
        "versions": {
            "torch": torch.__version__, "cuda": torch.version.cuda, "python": platform.python_version()
        },
        "seconds": round(seconds, 1),
        "by_growth": _plain(tables),
        "sweeps": {name: _plain(found) for name, found in swept.items()},
    }  # fmt: skip
    path.write_text(json.dumps(saved, allow_nan=False) + "\n")
    print(f"written to {path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path}")


def _plain(value: Any) -> Any:
    """As JSON has it: tensors as lists of four digits, and what is not finite as a word."""
    if isinstance(value, torch.Tensor):
        return _plain(value.tolist())
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if isinstance(value, float):
        return float(f"{value:.4g}") if math.isfinite(value) else str(value)
    return value


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--device", default="cpu")
    add("--rates", type=int, default=64)
    add("--seeds", type=int, default=3)
    add("--chunk", type=int, default=24, help="runs side by side: more take more memory")
    add("--threads", type=int, default=1, help="of a CPU")
    return parser.parse_args()


if __name__ == "__main__":
    main()
