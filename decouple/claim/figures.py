"""Numbers as intervals: exact when measured, as wide as their rounding when read from a document.

A printed 0.935 stands for anything in [0.9345, 0.9355]. Predicates are written once and read both
kinds of number, so arithmetic here carries the two ends along. Where an operation uses the same
cell twice the interval may come out wider than need be, never narrower: a document is called
contradicted only if no reading of its rounded figures agrees.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Union

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Number = Union["Figure", float, int]


@dataclass(frozen=True, slots=True)
class Figure:
    """A number known to lie in [low, high]; a measured number has low = high.

    Supports +, -, *, / with figures and plain numbers, `abs`, and `log` (natural).
    """

    low: float
    high: float

    @classmethod
    def exactly(cls, value: float) -> Figure:
        """The figure without any uncertainty of rounding."""
        return cls(float(value), float(value))

    @classmethod
    def printed(cls, text: str) -> Figure:
        """The interval of numbers that print as `text`: half a unit of its last digit either way.

        A percent sign divides by 100, M means millions; a minus may be the typographic one.

        Raises:
            ValueError: if `text` is no decimal number.
        """
        digits = text.strip().replace("−", "-")
        scale = {"%": 0.01, "M": 1e6}.get(digits[-1:], 1.0)
        try:
            number = Decimal(digits if scale == 1.0 else digits[:-1])
        except InvalidOperation:
            number = Decimal("nan")
        exponent = number.as_tuple().exponent
        if not number.is_finite() or not isinstance(exponent, int):
            raise ValueError(
                f"text must be a number such as '0.935', '79%' or '8.56M', got {text!r}"
            )
        half = 0.5 * 10.0**exponent
        return cls((float(number) - half) * scale, (float(number) + half) * scale)

    @property
    def middle(self) -> float:
        """The midpoint, which for a measured number is the number itself."""
        return self.low if self.low == self.high else (self.low + self.high) / 2

    def __add__(self, other: Number) -> Figure:
        other = as_figure(other)
        return Figure(self.low + other.low, self.high + other.high)

    def __neg__(self) -> Figure:
        return Figure(-self.high, -self.low)

    def __sub__(self, other: Number) -> Figure:
        return self + -as_figure(other)

    def __mul__(self, other: Number) -> Figure:
        other = as_figure(other)
        ends = [a * b for a in (self.low, self.high) for b in (other.low, other.high)]
        return _hull(ends)

    def __truediv__(self, other: Number) -> Figure:
        other = as_figure(other)
        if other.low <= 0 <= other.high:
            return Figure(math.nan, math.nan)  # undefined, and the judge never supports a NaN
        return self * Figure(1 / other.high, 1 / other.low)

    def __radd__(self, other: Number) -> Figure:
        return self + other

    def __rsub__(self, other: Number) -> Figure:
        return as_figure(other) - self

    def __rmul__(self, other: Number) -> Figure:
        return self * other

    def __rtruediv__(self, other: Number) -> Figure:
        return as_figure(other) / self

    def __abs__(self) -> Figure:
        if self.low <= 0 <= self.high:
            return Figure(0.0, max(-self.low, self.high))
        return _hull([abs(self.low), abs(self.high)])

    def log(self) -> Figure:
        """Natural logarithm; NaN where the figure may be zero or negative."""
        if not self.low > 0:
            return Figure(math.nan, math.nan)
        return Figure(math.log(self.low), math.log(self.high))

    def overlaps(self, other: Figure) -> bool:
        """Whether some number is a possible reading of both figures.

        Intervals that merely touch count as overlapping; the comparison allows for binary rounding.
        """
        slack = 1e-9 * max(1.0, abs(self.low), abs(self.high))
        return self.low <= other.high + slack and other.low <= self.high + slack


def _hull(ends: list[float]) -> Figure:
    # min() and max() drop NaN depending on the order of their arguments; a NaN must survive.
    if any(math.isnan(end) for end in ends):
        return Figure(math.nan, math.nan)
    return Figure(min(ends), max(ends))


def as_figure(value: Number) -> Figure:
    """`value` itself if it is a figure, else the exact figure of that number."""
    return value if isinstance(value, Figure) else Figure.exactly(value)


@dataclass(frozen=True, slots=True)
class Cells:
    """Several figures of one metric with the coordinates that tell them apart, in sorted order.

    `low` and `high` have shape (n,); each array in `coordinates` too.
    """

    low: Floats
    high: Floats
    coordinates: Mapping[str, npt.NDArray[np.object_]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.low)

    def __iter__(self) -> Iterator[Figure]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, index: int) -> Figure:
        return Figure(float(self.low[index]), float(self.high[index]))

    def max(self) -> Figure:
        """The largest cell. Of intervals: [max of lows, max of highs]."""
        return Figure(float(np.max(self.low)), float(np.max(self.high)))

    def min(self) -> Figure:
        """The smallest cell. Of intervals: [min of lows, min of highs]."""
        return Figure(float(np.min(self.low)), float(np.min(self.high)))

    def sum(self) -> Figure:
        """The sum of the cells."""
        return Figure(float(np.sum(self.low)), float(np.sum(self.high)))

    def mean(self) -> Figure:
        """The arithmetic mean of the cells."""
        return Figure(float(np.mean(self.low)), float(np.mean(self.high)))

    def argmax(self) -> int:
        """Position of the cell with the largest midpoint."""
        return int(np.argmax((self.low + self.high) / 2))

    def without(self, index: int) -> Cells:
        """All cells but the one at `index`."""
        keep = np.arange(len(self)) != index
        return self._take(keep)

    def by(self, coordinate: str) -> dict[object, Cells]:
        """The cells grouped by one coordinate, in its sorted order.

        Raises:
            KeyError: if the cells have no such coordinate.
        """
        if coordinate not in self.coordinates:
            known = ", ".join(sorted(self.coordinates)) or "none"
            raise KeyError(f"coordinate must be one of {known}, got {coordinate!r}")
        labels = self.coordinates[coordinate]
        known_labels = sorted(set(labels.tolist()), key=lambda label: (label is None, label))
        return {label: self._take(labels == label) for label in known_labels}

    def entropy(self) -> Figure:
        """Shannon entropy -Σ u ln u in nats of cells that are shares; 0 ln 0 = 0.

        On [0, 1] the summand rises to 1/e and falls after it, so the upper end of an interval that
        straddles the peak is the peak.
        """
        low, high = np.clip(self.low, 0.0, None), np.clip(self.high, 0.0, None)
        at_low, at_high = _minus_u_log_u(low), _minus_u_log_u(high)
        peak = 1 / math.e
        straddles = (low < peak) & (peak < high)
        upper = np.where(straddles, peak, np.maximum(at_low, at_high))
        return Figure(float(np.minimum(at_low, at_high).sum()), float(upper.sum()))

    def _take(self, keep: npt.NDArray[np.bool_]) -> Cells:
        coordinates = {name: labels[keep] for name, labels in self.coordinates.items()}
        return Cells(self.low[keep], self.high[keep], coordinates)


def _minus_u_log_u(u: Floats) -> Floats:
    result: Floats = -u * np.log(np.where(u > 0, u, 1.0))
    return result


Value = Number | Cells | tuple[Number, ...] | list[Number]
"""What a predicate may return: one number, or an ordered sequence of them."""
