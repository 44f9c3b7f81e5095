"""Intervals over seeds: Student's t, widened for the skewed, bounded numbers that claims are about.

The seed is the replicate. With three to ten seeds there is too little to estimate skewness from,
and a plain t-interval on a share near one misses far more often than it says: for Beta(18, 2) at
n = 5 a nominal 5 % is 11 %, a nominal 1 % is 3.6 %. So the tails used here are smaller than the
error rates promised. `tests/claim/test_statistics_simulation.py` simulates the promise: at most
`LEVELS.support` false support and `LEVELS.refute` false refutation at n = 3, 5, 10 for Gaussian
numbers and for bounded ones whose density vanishes at the bound (Beta shapes with both parameters
2 or more).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special  # scipy.stats has the same functions and takes longer to import

MINIMUM_SEEDS = 3
"""Fewer replicates than this decide nothing."""

POWER = 0.8
"""The chance of a verdict that "could have been told" means."""

ROUNDING = 8 * float(np.finfo(np.float64).eps)
"""Numbers that differ by no more than this, relative to the largest, are the same number."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Levels:
    """Promised error rates, and the one-sided tails of Student's t that keep them."""

    support: float = 0.05
    "P(SUPPORTED | the mean lies on the band's edge or outside) is at most this"
    refute: float = 0.01
    "P(REFUTED | the mean lies on the band's edge or inside) is at most this"
    support_tail: float = 0.0125
    "one-sided tail of the interval that must lie inside the band"
    refute_tail: float = 0.00075
    "one-sided tail of the interval that must lie outside the band"


LEVELS = Levels()


@dataclass(frozen=True, kw_only=True, slots=True)
class Summary:
    """The seeds of one number, summarised."""

    n: int
    "number of seeds"
    mean: float
    "arithmetic mean over seeds"
    sd: float
    "sample standard deviation over seeds (n − 1)"
    low: float
    "lower end of the two-sided interval at twice the support tail"
    high: float
    "upper end of it"
    refute_low: float
    "lower end of the wider interval, at twice the refute tail"
    refute_high: float
    "upper end of it"
    detectable: float
    "smallest distance from an edge that these seeds would have told with 80 % power"


def summarise(values: Sequence[float], levels: Levels = LEVELS) -> Summary:
    """Mean, spread and t-intervals mean ± t_{n−1, tail} · sd / √n over seeds.

    The detectable distance is (t_{n−1, support tail} + t_{n−1, 1 − power}) · sd / √n.

    Args:
        values: one finite number per seed, two or more.
        levels: the tails.

    Raises:
        ValueError: if there are fewer than two values, or one is not finite.
    """
    x = np.asarray(values, dtype=float)
    if len(x) < 2 or not np.isfinite(x).all():
        raise ValueError(f"values must be two or more finite numbers, got {list(values)}")
    n = len(x)
    mean, sd = float(x.mean()), float(x.std(ddof=1))
    if np.ptp(x) <= ROUNDING * np.abs(x).max():
        # Three times 0.1 has a sample deviation of 1.7e-17, and a mean beside it.
        mean, sd = float(x[0]), 0.0
    error = sd / math.sqrt(n)
    support = float(special.stdtrit(n - 1, 1 - levels.support_tail)) * error
    refute = float(special.stdtrit(n - 1, 1 - levels.refute_tail)) * error
    return Summary(
        n=n,
        mean=mean,
        sd=sd,
        low=mean - support,
        high=mean + support,
        refute_low=mean - refute,
        refute_high=mean + refute,
        detectable=support + float(special.stdtrit(n - 1, POWER)) * error,
    )


def power_to_support(distance: float, sd: float, n: int, levels: Levels = LEVELS) -> float:
    """Chance that n Gaussian seeds support a one-sided band whose edge lies `distance` away.

    P(T > t_crit) with T noncentral t, n − 1 degrees of freedom, noncentrality distance·√n / sd.

    Args:
        distance: how far inside the band the true mean lies; negative outside.
        sd: standard deviation over seeds, > 0.
        n: number of seeds, 3 or more.
        levels: the tails.

    Raises:
        ValueError: if sd or n is out of range.
    """
    if not sd > 0:
        raise ValueError(f"sd must be > 0, got {sd}")
    if n < MINIMUM_SEEDS:
        raise ValueError(f"n must be {MINIMUM_SEEDS} or more, got {n}")
    critical = special.stdtrit(n - 1, 1 - levels.support_tail)
    return 1 - float(special.nctdtr(n - 1, distance * math.sqrt(n) / sd, critical))
