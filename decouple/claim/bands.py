"""Bands: what a claim's number must satisfy.

A band turns what a predicate returns for one seed (a number, or a sequence) into one number, and
says in which interval [low, high] that number must lie. Orders, trends and crossings are reduced to
a continuous margin (the smallest gap, the largest reversal, the distance past the line), never to a
yes or no: yeses carry so little information that five out of five support only a rate of 55 %.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from decouple.claim.figures import Cells, Figure, Value, as_figure

Direction = Literal["rising", "falling"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Band:
    """An interval for a number per seed, and the way to that number.

    Use the functions of this module to make one.
    """

    kind: str
    "name of the function that made it"
    low: float = -math.inf
    "the number must be at least this"
    high: float = math.inf
    "the number must be at most this"
    words: str
    "the requirement as it stands in a report"
    because: str
    "where the threshold comes from: the document's own, half the published change, …"
    reduce: Callable[[Value], Figure] = field(repr=False, compare=False)
    "from what the predicate returns for one seed to the number that is judged"

    def __post_init__(self) -> None:
        if math.isnan(self.low) or math.isnan(self.high) or not self.low <= self.high:
            raise ValueError(f"band must have low <= high, got low={self.low}, high={self.high}")
        if math.isinf(self.low) and math.isinf(self.high):
            raise ValueError("band must be bounded on one side at least, got neither low nor high")
        if not self.because.strip():
            raise ValueError("because must say where the threshold comes from, got an empty text")

    def margin(self, number: float) -> float:
        """How far inside (positive) or outside (negative) the band a number lies.

        The distance to the nearer edge, in the units of the number.
        """
        return min(number - self.low, self.high - number)


def at_least(threshold: float, *, because: str) -> Band:
    """A number that must be `threshold` or more."""
    return Band(
        kind="at_least", low=threshold, words=f"≥ {threshold:g}", because=because, reduce=_number
    )


def at_most(threshold: float, *, because: str) -> Band:
    """A number that must be `threshold` or less."""
    return Band(
        kind="at_most", high=threshold, words=f"≤ {threshold:g}", because=because, reduce=_number
    )


def within(
    target: float,
    *,
    because: str,
    absolute: float | None = None,
    relative: float | None = None,
    below: float | None = None,
    above: float | None = None,
) -> Band:
    """A number near `target`: ± `absolute`, ± `relative`·|target|, or from −`below` to +`above`.

    Raises:
        ValueError: unless exactly one of absolute, relative and the pair (below, above) is given,
            and none is negative.
    """
    given = [absolute is not None, relative is not None, below is not None and above is not None]
    if sum(given) != 1 or (below is None) != (above is None):
        raise ValueError(
            "within must get exactly one of absolute, relative, or below and above together, got "
            f"absolute={absolute}, relative={relative}, below={below}, above={above}"
        )
    if absolute is not None:
        below = above = absolute
    elif relative is not None:
        below = above = relative * abs(target)
    assert below is not None and above is not None  # noqa: PT018 - for the type checker
    if below < 0 or above < 0:
        raise ValueError(f"within must get widths >= 0, got {below} below and {above} above")
    return Band(
        kind="within",
        low=target - below,
        high=target + above,
        words=f"in [{target - below:.10g}, {target + above:.10g}]",
        because=because,
        reduce=_number,
    )


def greater_by(margin: float, *, because: str) -> Band:
    """A pair (a, b) with a − b ≥ `margin`, paired by seed. A margin of zero still is a margin."""
    return Band(
        kind="greater_by",
        low=margin,
        words=f"first − second ≥ {margin:g}",
        because=because,
        reduce=_difference,
    )


def equivalent(margin: float, *, because: str) -> Band:
    """A pair (a, b) with |a − b| ≤ `margin`: supported by two one-sided tests, not by silence.

    Raises:
        ValueError: if `margin` is not positive.
    """
    if not margin > 0:
        raise ValueError(f"margin must be > 0, got {margin}")
    return Band(
        kind="equivalent",
        low=-margin,
        high=margin,
        words=f"|first − second| ≤ {margin:g}",
        because=because,
        reduce=_difference,
    )


def ordered(direction: Direction, *, because: str, gap: float = 0.0) -> Band:
    """A sequence in which each neighbour rises (falls) by `gap` or more.

    Judged by the smallest step in that direction.
    """
    return Band(
        kind="ordered",
        low=gap,
        words=f"smallest {direction} step ≥ {gap:g}",
        because=because,
        reduce=lambda value: _least(_steps(value, direction)),
    )


def monotone(direction: Direction, *, because: str, tolerance: float = 0.0) -> Band:
    """A sequence that never turns back by more than `tolerance` from its furthest point so far.

    Judged by the largest reversal: max over i < j of x_i − x_j for a rising sequence.

    Raises:
        ValueError: if `tolerance` is negative.
    """
    if tolerance < 0:
        raise ValueError(f"tolerance must be >= 0, got {tolerance}")
    return Band(
        kind="monotone",
        high=tolerance,
        words=f"largest turn against {direction} ≤ {tolerance:g}",
        because=because,
        reduce=lambda value: largest_reversal(value, direction),
    )


def trending(direction: Direction, by: float, *, because: str) -> Band:
    """A sequence whose least-squares line rises (falls) by `by` or more from first to last.

    The abscissa is the cells' step where they carry one, else the position. Unlike `monotone` it
    forgives noise in single cells.

    Raises:
        ValueError: if `by` is not positive.
    """
    if not by > 0:
        raise ValueError(f"by must be > 0, got {by}")
    return Band(
        kind="trending",
        low=by,
        words=f"line {direction} by ≥ {by:g}",
        because=because,
        reduce=lambda value: _fitted_change(value, direction),
    )


def crosses(
    level: float, *, by_step: int, direction: Direction, because: str, past: float = 0.0
) -> Band:
    """A sequence over steps that gets past `level` at some step up to and including `by_step`.

    Judged by the furthest distance past the line within those steps, which must be `past` or more.
    """
    return Band(
        kind="crosses",
        low=past,
        words=f"{direction} past {level:g} (by {past:g} or more) by step {by_step}",
        because=because,
        reduce=lambda value: _distance_past(value, level, by_step, direction),
    )


def _number(value: Value) -> Figure:
    if isinstance(value, Cells):
        if len(value) != 1:
            raise TypeError(f"the predicate must return one number for this band, got {len(value)}")
        return value[0]
    if isinstance(value, (tuple, list)):
        raise TypeError(f"the predicate must return one number for this band, got {value!r}")
    return as_figure(value)


def _sequence(value: Value, least: int) -> list[Figure]:
    if isinstance(value, (Figure, float, int)):
        raise TypeError(f"the predicate must return a sequence for this band, got {value!r}")
    sequence = [as_figure(item) for item in value]
    if len(sequence) < least:
        raise TypeError(f"the predicate must return {least} numbers or more, got {len(sequence)}")
    return sequence


def _difference(value: Value) -> Figure:
    pair = _sequence(value, 2)
    if len(pair) != 2:
        raise TypeError(f"the predicate must return a pair (a, b) for this band, got {len(pair)}")
    return pair[0] - pair[1]


def _steps(value: Value, direction: Direction) -> list[Figure]:
    sequence = _sequence(value, 2)
    steps = [after - before for before, after in itertools.pairwise(sequence)]
    return steps if direction == "rising" else [-step for step in steps]


def _least(figures: Sequence[Figure]) -> Figure:
    return Figure(_nan_min([f.low for f in figures]), _nan_min([f.high for f in figures]))


def _greatest(figures: Sequence[Figure]) -> Figure:
    return -_least([-figure for figure in figures])


def _nan_min(numbers: Sequence[float]) -> float:
    return float(np.min(np.asarray(numbers, dtype=float)))  # np.min keeps NaN, min() may lose it


def largest_reversal(value: Value, direction: Direction) -> Figure:
    """Largest turn against the direction: max over i < j of x_i − x_j if rising, x_j − x_i if not.

    Never below zero: neighbours that keep the direction count as no reversal.
    """
    sequence = _sequence(value, 2)
    sign = 1 if direction == "rising" else -1
    turns = [
        sign * (sequence[i] - sequence[j])
        for i in range(len(sequence))
        for j in range(i + 1, len(sequence))
    ]
    return _greatest([*turns, Figure.exactly(0.0)])


def _abscissa(value: Value, n: int) -> np.ndarray:
    if isinstance(value, Cells) and "step" in value.coordinates:
        return np.asarray(value.coordinates["step"], dtype=float)
    return np.arange(n, dtype=float)


def _fitted_change(value: Value, direction: Direction) -> Figure:
    sequence = _sequence(value, 2)
    x = _abscissa(value, len(sequence))
    centred = x - x.mean()
    weights = centred / (centred @ centred) * (x[-1] - x[0])
    change = Figure.exactly(0.0)
    for weight, figure in zip(weights, sequence, strict=True):
        change = change + float(weight) * figure
    return change if direction == "rising" else -change


def _distance_past(value: Value, level: float, by_step: int, direction: Direction) -> Figure:
    sequence = _sequence(value, 1)
    steps = _abscissa(value, len(sequence))
    reached = [figure for figure, step in zip(sequence, steps, strict=True) if step <= by_step]
    if not reached:
        raise TypeError(f"the predicate must return steps up to {by_step}, got {steps.tolist()}")
    sign = 1 if direction == "rising" else -1
    return _greatest([sign * (figure - level) for figure in reached])
