"""Simulated sweeps with nothing wrong, and with one planted fault: for false alarms and power of what the tool says.

    PYTHONPATH=tests python -m support.simulated 1000

prints the table of docs/referee.md: the share of sweeps with an alarm on each card.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import MappingProxyType
from typing import Any

import numpy as np

from tuner_tui.analysis.referee import Check, Verdict, referee
from tuner_tui.search.search import Search
from tuner_tui.search.space import Choice, Float, Hyperparameter, Int, Space
from tuner_tui.study.outcomes import Outcome, Reason
from tuner_tui.study.snapshot import Snapshot, Trial

SPACE = Space(
    (
        Hyperparameter("lr", Float(1e-5, 1e-1, log=True)),
        Hyperparameter("momentum", Float(0.0, 0.99)),
        Hyperparameter("width", Int(16, 256)),
        Hyperparameter("layers", Int(1, 4)),
        Hyperparameter("activation", Choice(("relu", "gelu", "tanh"))),
        Hyperparameter("dropout", Float(0.0, 0.5), when=(("activation", ("relu", "gelu")),)),
    )
)
OBJECTIVE, TRAINING = "loss/valid", "loss/train"
# The learning curve y(t) = end (1 + 2 exp(-PACE t / T)) gains 12 % after two fifths and 0.05 % in the last one.
PACE = 12.0
STEP_NOISE = 0.003  # of the value: a third of what the referee calls noise


def sweep(seed: int, fault: str = "") -> Snapshot:
    """A sweep of random trials, with one of FAULTS or none."""
    rng = np.random.default_rng((20170501, seed))
    n = int(rng.choice([40, 60, 100, 200])) if not fault else 100
    readings = int(rng.choice([10, 30, 60]))
    u = rng.random((n, len(SPACE)))
    loss = _losses(rng, u, seed)
    failed = rng.random(n) < (rng.choice([0.0, 0.1, 0.3]) if not fault else 0.1)
    maximize = seed % 5 == 4
    pace, noise, late, late_training = PACE, STEP_NOISE, np.zeros(readings), np.zeros(readings)
    rise = 0.05 * np.maximum(0, np.linspace(-1, 1, readings))
    match fault:
        case "border":  # the optimum lies 15 % of the range beyond its upper end
            loss = 1.0 + 2.0 * np.abs(u[:, 0] - 1.15) + rng.normal(0, 0.1, n)
        case "points":  # a deep hole that three of a hundred trials hit; the best of the others has 3.2
            loss = rng.normal(4.0, 0.3, n)
            loss[rng.choice(n, 3, replace=False)] = 2.0 + 0.1 * rng.random(3)
            failed[:] = False
        case "failures":  # large models run out of memory
            failed |= (u[:, 2] > 0.7) & (rng.random(n) < 0.6)
        case "instability":  # large rates are better until they diverge
            loss = 1.0 + 2.0 * np.abs(u[:, 0] - 0.9) + rng.normal(0, 0.1, n)
            failed |= u[:, 0] > 0.7
        case "overfitting":
            late = rise
        case "noise":
            loss, noise = rng.normal(2.0, 0.1, n), 0.05
        case "improving":
            pace = 3.0
        case "saturated":
            pace = 60.0
        case "rising":
            late_training = rise
    t = np.linspace(0, 1, readings)
    shape = 1 + 2 * np.exp(-pace * t) + late
    wiggle = noise * _correlated(rng, (n, readings), 0.5 if seed % 2 else 0.0)
    curves = loss[:, None] * (shape + wiggle)
    training = (
        0.9
        * loss[:, None]
        * (1 + 2 * np.exp(-pace * t) + late_training + noise * rng.normal(size=(n, readings)))
    )
    if seed % 3 == 0 and not fault:
        curves = np.round(curves, 3)
    return _study(u, curves, training, failed, maximize, with_curves=bool(fault) or seed % 7 > 0)


def _losses(rng: np.random.Generator, u: Any, seed: int) -> Any:
    """Of five kinds: no effect at all (of three shapes), a valley inside the space, or two."""
    n = len(u)
    match seed % 5:
        case 0:
            return rng.normal(5.0, 0.8, n).clip(1.0)
        case 1:
            return rng.lognormal(0.0, 0.7, n)
        case 2:
            return rng.uniform(1.0, 2.0, n)
        case 3:
            return 1.0 + 3 * np.abs(u[:, 0] - 0.5) + rng.normal(0, 0.1, n)
        case _:
            return 1.0 + 3 * (u[:, 0] - 0.4) ** 2 + 2 * (u[:, 1] - 0.6) ** 2 + rng.normal(0, 0.05, n)


def _correlated(rng: np.random.Generator, shape: tuple[int, int], rho: float) -> Any:
    """Noise of variance 1 in which each reading keeps `rho` of the one before."""
    noise = rng.normal(size=shape)
    for i in range(1, shape[1]):
        noise[:, i] = rho * noise[:, i - 1] + np.sqrt(1 - rho**2) * noise[:, i]
    return noise


def _study(u: Any, curves: Any, training: Any, failed: Any, maximize: bool, with_curves: bool) -> Snapshot:
    sign = -1.0 if maximize else 1.0
    trials: dict[int, Trial] = {}
    for i in range(len(u)):
        params: dict[str, Any] = {}
        for h, at in zip(SPACE, u[i].tolist(), strict=True):
            if h.applies(params):
                params[h.name] = _value(h.distribution, at)
        if failed[i]:
            trials[i] = Trial(
                i, params, ended_at=i + 1.0, outcome=Outcome.NO_START, reason=Reason.EXCEPTION, message="no"
            )
            continue
        ys = (sign * curves[i]).tolist() if with_curves else [float(sign * curves[i, -1])]
        trials[i] = Trial(
            i, params, ended_at=i + 1.0, outcome=Outcome.FINISHED, value=ys[-1], curve=tuple(enumerate(ys)),
            training=tuple((sign * training[i]).tolist()) if with_curves else (), steps=len(ys),
        )  # fmt: skip
    search = Search(
        "simulated", "a:b", OBJECTIVE, SPACE, "maximize" if maximize else "minimize", trials=len(u)
    )
    return Snapshot("simulated", search, len(u), MappingProxyType(trials))


def _value(distribution: Any, at: float) -> Any:
    match distribution:
        case Choice(options):
            return options[int(at * len(options))]
        case Int(low, high):
            return low + int(at * (high - low + 1))
        case Float(low, high, True):
            return low * (high / low) ** at
        case _:
            return distribution.low + at * (distribution.high - distribution.low)


FAULTS = {
    "border": Check.BORDER, "points": Check.POINTS, "failures": Check.FAILURES, "instability": Check.FAILURES,
    "overfitting": Check.OVERFITTING, "noise": Check.NOISE, "improving": Check.IMPROVING,
    "saturated": Check.SATURATED, "rising": Check.RISING,
}  # fmt: skip


def alarms(sweeps: int, fault: str = "", make: Callable[[int, str], Snapshot] = sweep) -> dict[Check, int]:
    """How many of the sweeps have each card at LOOK or FIX."""
    tally = dict.fromkeys(Check, 0)
    for seed in range(sweeps):
        found = referee(make(seed, fault))
        assert found is not None
        for card in found.cards:
            tally[card.check] += card.verdict in (Verdict.LOOK, Verdict.FIX)
    return tally


if __name__ == "__main__":
    sweeps = int(sys.argv[1])
    wrong = alarms(sweeps)
    for fault, check in FAULTS.items():
        found = alarms(sweeps, fault)[check]
        print(f"{fault:12} false alarms {wrong[check] / sweeps:6.1%}   found {found / sweeps:6.1%}")
