"""What is at hand of a document, and what a panel makes of it."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from decouple.claim.statistics import summarise

Values = np.ndarray[Any, np.dtype[np.float64]]

TRAINED = "trained"
OWN_ARM = "published"


class NothingToDrawError(LookupError):
    """The evidence does not hold what the panel shows; the message is a sentence for the page."""


@dataclass(frozen=True, slots=True)
class Curve:
    """One colour in one set of axes."""

    label: str
    order: int
    "place among the colours of the document"
    x: tuple[Any, ...]
    "labels, ascending"
    seeds: tuple[tuple[float, ...], ...] = ()
    "for each seed a value at each x, NaN where it has none"
    points: tuple[tuple[Any, float], ...] = ()
    "the document's own figures: x and value"

    geometric: bool = False
    "whether the mean is that of the logarithms, which is the one to draw on a logarithmic axis"

    @property
    def mean(self) -> tuple[float, ...]:
        """Over the seeds that have a value, NaN where none has."""
        values = self._values()
        there = np.isfinite(values)
        count = there.sum(axis=0)
        with np.errstate(over="ignore"):  # a run that diverged may have any finite value
            total = np.where(there, values, 0.0).sum(axis=0)
            mean = np.where(count > 0, total / np.maximum(count, 1), np.nan)
            return tuple((np.exp(mean) if self.geometric else mean).tolist())

    @property
    def intervals(self) -> tuple[tuple[float, float] | None, ...]:
        """Of the mean, as claims have them: Student's t over seeds; None with fewer than two."""
        with np.errstate(over="ignore", invalid="ignore"):
            return tuple(self._interval(column[np.isfinite(column)]) for column in self._values().T)

    def _interval(self, values: Values) -> tuple[float, float] | None:
        if len(values) < 2:
            return None
        summary = summarise(values.tolist())
        ends = np.array([summary.low, summary.high])
        low, high = (np.exp(ends) if self.geometric else ends).tolist()
        return (low, high) if np.isfinite([low, high]).all() else None

    def _values(self) -> Values:
        """(seeds, x), as logarithms if the mean is theirs; NaN where a logarithm is not finite."""
        values = np.array(self.seeds, dtype=float).reshape(len(self.seeds), len(self.x))
        if not self.geometric:
            return values
        return np.log(np.where(values > 0, values, np.nan))


@dataclass(frozen=True, slots=True)
class Axes:
    """One set of axes: a title and its curves."""

    title: str
    curves: tuple[Curve, ...]


@dataclass(frozen=True, slots=True)
class Drawing:
    """A panel with its data."""

    axes: tuple[Axes, ...]
    notes: tuple[str, ...] = ()
    "what a reader must know beside the picture"


@dataclass(frozen=True, slots=True)
class Data:
    """What is at hand of one document: measured runs of one preset, and its own tables."""

    measured: pd.DataFrame
    published: pd.DataFrame = field(default_factory=pd.DataFrame)
    arms: tuple[str, ...] = ()
    "of the document, in the order of their colours"


def fixed(rows: pd.DataFrame, where: Mapping[str, Any], free: Container[Any]) -> pd.DataFrame:
    """Rows at the fixed coordinates; one that a metric does not have does not bind it."""
    for name, value in where.items():
        if name in free or name not in rows:
            continue
        bound = rows.groupby("metric")[name].transform(lambda labels: labels.notna().any())
        rows = rows[(rows[name] == value) | ~bound.astype(bool)]
    return rows


def absent(title: str, metrics: Sequence[str], arms: Sequence[str], table: pd.DataFrame) -> str:
    """The sentence that stands in the place of a figure."""
    what = " or ".join(metrics)
    if table.empty:
        return f"{title}: no run of this document was read."
    return f"{title}: not drawn, since no run of {' or '.join(arms)} that was read holds {what}."


def plain(label: Any) -> Any:
    """A coordinate without the clothes of its library: 3.0 of a column with gaps is 3."""
    if label is None or (isinstance(label, float) and np.isnan(label)) or label is pd.NA:
        return None
    if isinstance(label, (float, np.floating)) and float(label).is_integer():
        return int(label)
    return label.item() if isinstance(label, np.generic) else label
