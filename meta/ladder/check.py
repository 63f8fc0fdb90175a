"""A check: one measured figure, its bound, and whether the bound holds."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Check:
    """One line of the ladder's report."""

    rung: int
    what: str
    figure: float | None  # None where there is nothing to measure: refused, skipped
    bound: str  # for people: "≤ 1e-12"
    ok: bool | None  # None: skipped
    note: str = ""


def at_most(rung: int, what: str, figure: float, bound: float, note: str = "") -> Check:
    """A check that `figure` <= `bound`; a figure of NaN fails."""
    return Check(rung, what, figure, f"≤ {bound:.3g}", figure <= bound, note)  # NaN is never ok


def above(rung: int, what: str, figure: float, bound: float, note: str = "") -> Check:
    """A check that `figure` > `bound`; used where a difference must be visible."""
    return Check(rung, what, figure, f"> {bound:.3g}", figure > bound, note)


def within(rung: int, what: str, figure: float, centre: float, width: float, note: str = "") -> Check:
    """A check that `figure` is in `centre` ± `width`."""
    return Check(rung, what, figure, f"{centre:g} ± {width:g}", abs(figure - centre) <= width, note)


def refusal(rung: int, what: str, sentence: str | None, expected: bool) -> Check:
    """A check that a method refuses if `expected`, and else does not; `sentence` is its refusal or None."""
    return Check(
        rung, what, None, "refused" if expected else "answered", bool(sentence) == expected, sentence or ""
    )


def skipped(rung: int, what: str, why: str) -> Check:
    """A check that could not run here, and why."""
    return Check(rung, what, None, "", None, why)


def relative_error(found: Mapping[str, Tensor], right: Mapping[str, Tensor]) -> float:
    """The largest over the parts of ‖found − right‖ / ‖right‖; a part of zeros makes it infinite or NaN."""
    if found.keys() != right.keys():
        return math.inf
    errors = [
        (found[name].double() - part.double()).norm() / part.double().norm() for name, part in right.items()
    ]
    return torch.stack(errors).max().item()
