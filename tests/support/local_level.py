"""The local level of simultaneous bands, exactly: how tuning_curve.py's table was made, and how it is checked.

    PYTHONPATH=tests python -m support.local_level 20 100 1000

Moscovich & Nadler (Fast calculation of boundary crossing probabilities for Poisson processes, Statistics &
Probability Letters 123 (2017)): uniform order statistics are the points of a Poisson process given their number. The
count of these is carried from boundary to boundary.
"""

from __future__ import annotations

import sys

import numpy as np
from scipy.special import betaincinv, gammaln


def coverage(n: int, level: float) -> float:
    """The chance that each of n uniform order statistics lies between its quantiles level/2 and 1 - level/2."""
    i = np.arange(1, n + 1)
    low = betaincinv(i, n + 1 - i, level / 2)
    events = sorted([(t, 0, k) for k, t in zip(i, low, strict=True)]
                    + [(t, 1, n + 1 - k) for k, t in zip(i, 1 - low, strict=True)])  # fmt: skip
    chances, first, now = np.ones(1), 0, 0.0  # of the counts first, first + 1, ...
    for t, upper, k in (*events, (1.0, 2, n)):
        mean = n * (t - now)
        if mean > 0:
            more = np.arange(int(mean + 9 * mean**0.5) + 15)  # beyond, a chance below 1e-15
            chances = np.convolve(chances, np.exp(more * np.log(mean) - mean - gammaln(more + 1)))
        now = t
        if upper == 0:  # the k-th point is not before its lower end
            chances = chances[: max(0, k - first)]
        elif upper == 1:  # ... nor after its upper one
            drop = min(max(0, k - first), len(chances))
            chances, first = chances[drop:], first + drop
        if not len(chances):
            return 0.0
    return (
        float(chances[n - first] / np.exp(n * np.log(n) - n - gammaln(n + 1)))
        if 0 <= n - first < len(chances)
        else 0.0
    )


def local_level(n: int, confidence: float = 0.95) -> float:
    """The level at which the coverage is `confidence`, from below."""
    low, high = 1e-6, 1 - confidence
    while high / low > 1 + 1e-6:
        middle = (low * high) ** 0.5
        low, high = (middle, high) if coverage(n, middle) >= confidence else (low, middle)
    return low


if __name__ == "__main__":
    for size in map(int, sys.argv[1:]):
        print(f"{size}: {local_level(size):.6g},", flush=True)
