"""What the rule of judging really does: error rates by simulation, for numbers of many shapes.

The mean lies exactly on the band's edge, where a wrong verdict is likeliest. The rule of
`decouple.claim.verdict.stand` is written here once more for many samples at a time; a test shows
that the two agree.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

from decouple.claim.bands import Band, at_least, at_most
from decouple.claim.statistics import LEVELS

REPETITIONS = 200_000
SEEDS = (3, 5, 10)
"""Numbers of seeds that are simulated."""

Floats = npt.NDArray[np.float64]
Booleans = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Shape:
    """A distribution of a number over seeds."""

    name: str
    draw: Callable[[np.random.Generator, tuple[int, int]], Floats]
    mean: float
    sd: float
    promised: bool = True
    "whether the error rates are promised for it"

    def samples(self, n: int, repetitions: int = REPETITIONS) -> Floats:
        """(repetitions, n) numbers, the same each time."""
        generator = np.random.default_rng([n, *self.name.encode()])
        return self.draw(generator, (repetitions, n))


def _beta(a: float, b: float, *, promised: bool = True) -> Shape:
    mean = a / (a + b)
    sd = math.sqrt(a * b / ((a + b) ** 2 * (a + b + 1)))
    return Shape(f"beta({a:g},{b:g})", lambda g, size: g.beta(a, b, size=size), mean, sd, promised)


def shapes() -> Iterator[Shape]:
    """Shapes that numbers may have: those of the promise, then J-shaped ones outside it."""
    yield Shape("gaussian", lambda g, size: g.normal(size=size), 0.0, 1.0)
    for a, b in ((18, 2), (2, 18), (40, 2), (200, 2), (8, 2), (4, 2), (6, 3), (2, 2)):
        yield _beta(a, b)
    near_one = _beta(2, 60)
    yield Shape(
        "cosine",
        lambda g, size: 1 - 2 * g.beta(2, 60, size=size),
        1 - 2 * near_one.mean,
        2 * near_one.sd,
    )
    yield _beta(9, 1, promised=False)
    yield Shape("1-exponential", lambda g, size: 1 - g.exponential(size=size), 0.0, 1.0, False)
    yield _beta(4.5, 0.5, promised=False)


def judge_many(samples: Floats, band: Band) -> tuple[Booleans, Booleans]:
    """For each row of samples (repetitions, n) whether it is SUPPORTED, and whether REFUTED."""
    n = samples.shape[1]
    mean = samples.mean(axis=1)
    error = samples.std(axis=1, ddof=1) / math.sqrt(n)
    support = float(special.stdtrit(n - 1, 1 - LEVELS.support_tail)) * error
    refute = float(special.stdtrit(n - 1, 1 - LEVELS.refute_tail)) * error
    supported = (mean - support >= band.low) & (mean + support <= band.high)
    refuted = (mean + refute < band.low) | (mean - refute > band.high)
    return supported, refuted & ~supported


def false_rates(shape: Shape, n: int) -> tuple[float, float]:
    """Rates of false support and of false refutation, the worse of the two one-sided bands."""
    samples = shape.samples(n)
    verdicts = [
        judge_many(samples, band(shape.mean, because="the mean lies on its edge"))
        for band in (at_least, at_most)
    ]
    worst = [max(float(each[kind].mean()) for each in verdicts) for kind in (0, 1)]
    return worst[0], worst[1]
