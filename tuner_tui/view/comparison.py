"""A comparison of samplers in words: a table of ranks, the best so far of each problem, and what can be said."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..analysis.comparison import YARDSTICKS, Comparison, Share
from .words import number, plural

_NAMES = {"random": "random search", "random2x": "random search with twice the trials"}
EVEN = 0.5  # of the repeats: neither is better


def lines(found: Comparison) -> list[str]:
    """The whole comparison, with a table of each problem."""
    told = [
        f"{plural(len(found.problems), 'problem')}, {plural(found.repeats, 'repeat')}, "
        f"{plural(found.trials, 'trial')} each; best loss after all trials",
        "",
        *_table(_ranks(found)),
    ]
    for problem in found.problems:
        told += [
            "",
            f"{problem}: best so far after so many trials, median (quartiles)",
            *_table(_bands(found, problem)),
        ]
    return [*told, "", *verdict(found)]


def verdict(found: Comparison) -> list[str]:
    """One sentence for each sampler against each yardstick, the best sampler first."""
    return [
        _against(sampler, rival, found.wins[sampler, rival])
        for sampler in found.samplers
        if sampler not in YARDSTICKS
        for rival in YARDSTICKS
        if (sampler, rival) in found.wins
    ]


def _against(sampler: str, rival: str, share: Share) -> str:
    if share.low > EVEN:
        how = "finds a better loss than"
    elif share.high < EVEN:
        how = "finds a worse loss than"
        share = Share(1 - share.value, 1 - share.high, 1 - share.low)
    else:
        return (
            f"{sampler} can't be told from {_NAMES[rival]}: it is ahead in {_percent(share)} of the repeats"
        )
    return f"{sampler} {how} {_NAMES[rival]} in {_percent(share)} of the repeats"


def _ranks(found: Comparison) -> list[list[str]]:
    rivals = [rival for rival in YARDSTICKS if rival in found.samplers]
    rows = [["sampler", "mean rank", *(f"ahead of {rival}" for rival in rivals), "crashed"]]
    for sampler in found.samplers:
        rank = found.ranks[sampler]
        wins = [found.wins.get((sampler, rival)) for rival in rivals]
        rows.append(
            [
                sampler,
                f"{rank.value:.2f} ({rank.low:.2f} to {rank.high:.2f})",
                *("" if win is None else _percent(win) for win in wins),
                f"{100 * found.failed[sampler]:.0f} %",
            ]
        )
    return rows


def _bands(found: Comparison, problem: str) -> list[list[str]]:
    counts = [band.trials for band in found.bands[problem, found.samplers[0]]]
    rows = [["sampler", *map(str, counts)]]
    for sampler in found.samplers:
        bands = found.bands[problem, sampler]
        rows.append([sampler, *(f"{_best(b.median)} ({_best(b.low)} to {_best(b.high)})" for b in bands)])
    return rows


def _best(value: float) -> str:
    return number(value, 3) if math.isfinite(value) else "none"


def _percent(share: Share) -> str:
    return f"{100 * share.value:.0f} % ({100 * share.low:.0f} to {100 * share.high:.0f} %)"


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    return ["  ".join(f"{cell:<{w}}" for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]
