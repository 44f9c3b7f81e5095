"""Evidence: a tidy table of measurements, read one run (one arm, one seed) at a time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache, partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from decouple.claim.figures import Cells, Figure

KEYS = ("document", "arm", "seed", "metric")
VALUES = ("value", "low", "high")
TRAINED = "trained"
"""The condition of a model as training left it; interventions name other conditions."""


class MissingCellError(LookupError):
    """A predicate asked for a measurement that the evidence does not hold."""


class NotFiniteError(ValueError):
    """A predicate asked for a measurement that is NaN or infinite."""


def check_table(table: pd.DataFrame) -> None:
    """Refuse a table that is not tidy evidence.

    Raises:
        ValueError: naming the missing columns, or the first cell that is measured twice.
    """
    needed = [*KEYS, "step", "value"]
    missing = [name for name in needed if name not in table.columns]
    if missing:
        raise ValueError(f"evidence must have the columns {needed}, missing {missing}")
    coordinates = [name for name in table.columns if name not in VALUES]
    twice = table.duplicated(coordinates)
    if twice.any():
        cell = table.loc[twice, coordinates].iloc[0].to_dict()
        raise ValueError(f"evidence must hold each cell once, got two values for {cell}")


def check_complete(table: pd.DataFrame, expected: Mapping[str, int]) -> None:
    """Refuse the table of a finished run that lacks cells, or has some that nobody expects.

    "The last layer" of a table that lost its last layer would be another one, without a word.

    Args:
        table: rows of one run.
        expected: metric to number of cells.

    Raises:
        ValueError: naming each metric, the number found and the number expected.
    """
    found = {str(name): int(n) for name, n in table["metric"].value_counts().items()}
    wrong = sorted({*found.items()} ^ {*expected.items()})
    if wrong:
        text = ", ".join(
            f"{metric}: {found.get(metric, 0)} of {expected.get(metric, 0)}"
            for metric in dict.fromkeys(metric for metric, _ in wrong)
        )
        raise ValueError(f"evidence must hold every cell of the run, got {text}")


class UndecidableError(ValueError):
    """Raised by a predicate where a run cannot speak to the claim, with the reason.

    The claim is INCONCLUSIVE then: a knob that never moved shows nothing about turning it.
    """


class Run:
    """The measurements of one arm and one seed, as a predicate sees them.

    Args:
        table: tidy rows of this run; columns beside document, arm, seed, metric and value are
            coordinates (step, layer, …). Published tables carry `low` and `high` instead of exact
            values.
        condition: the intervention whose measurements are read unless a query names another.
        label: words for error messages, such as "arm published, seed 3".
    """

    def __init__(
        self, table: pd.DataFrame, *, condition: str = TRAINED, label: str = "run"
    ) -> None:
        self.condition = condition
        self.label = label
        self._table = _Table(table)

    def under(self, condition: str) -> Run:
        """The same run read under an intervention instead of as trained.

        Raises:
            MissingCellError: if nothing was measured under it; names the conditions there are.
        """
        known = self._table.conditions
        if condition not in known:
            there = _listed(sorted(known))
            raise MissingCellError(f"{self.label}: no condition {condition!r}; there are {there}")
        view = object.__new__(Run)
        view.condition = condition
        view.label = f"{self.label}, {condition}"
        view._table = self._table
        return view

    def cells(self, metric: str, **coordinates: Any) -> Cells:
        """All cells of `metric` at the given coordinates, sorted by the coordinates left open.

        A coordinate is a value, or "first" / "last" for the smallest / largest that the metric has.

        Raises:
            MissingCellError: if the metric or the coordinates are not there; names what is.
            NotFiniteError: if one of the cells is NaN or infinite: a maximum could lose it.
        """
        if metric not in self._table.metrics:
            known = _listed(sorted(self._table.metrics))
            raise MissingCellError(f"{self.label}: no metric {metric!r}; there are {known}")
        columns = self._table.metrics[metric]()
        if "condition" in columns.coordinates:
            # Under an intervention only what the intervention changes was measured again; asking
            # for anything else means the model as trained.
            measured = self.condition in columns.coordinates["condition"].tolist()
            coordinates.setdefault("condition", self.condition if measured else TRAINED)
        found = columns.select(coordinates, f"{self.label}: {metric}")
        if not (np.isfinite(found.low).all() and np.isfinite(found.high).all()):
            raise NotFiniteError(f"{self.label}: {metric} at {coordinates} is not finite")
        return found

    def cell(self, metric: str, **coordinates: Any) -> Figure:
        """The single cell of `metric` at the given coordinates.

        Raises:
            MissingCellError: if there is not exactly one.
        """
        found = self.cells(metric, **coordinates)
        if len(found) != 1:
            raise MissingCellError(
                f"{self.label}: {metric} at {coordinates} must be one cell, got {len(found)}"
            )
        return found[0]


class _Table:
    """A run's table, cut up by metric when a metric is first asked for.

    A claim reads two or three metrics of a run and there are hundreds of runs: what is not asked
    for is not sorted.
    """

    def __init__(self, table: pd.DataFrame) -> None:
        low = table["low" if "low" in table else "value"].to_numpy(dtype=float)
        high = table["high" if "high" in table else "value"].to_numpy(dtype=float)
        coordinates: dict[str, npt.NDArray[np.object_]] = {}
        for name in table.columns:
            if name not in (*KEYS, *VALUES):
                labels = table[name].astype(object)
                coordinates[name] = labels.where(labels.notna(), None).to_numpy(dtype=object)
        self.conditions = {str(each) for each in coordinates.get("condition", ()) if each}
        self.metrics = {
            str(metric): cache(partial(_Columns, low, high, coordinates, np.asarray(rows)))
            for metric, rows in table.groupby("metric").indices.items()
        }


class _Columns:
    """One metric as arrays, sorted by its coordinates; those it does not have are left out."""

    def __init__(
        self,
        low: npt.NDArray[np.float64],
        high: npt.NDArray[np.float64],
        coordinates: Mapping[str, npt.NDArray[np.object_]],
        rows: npt.NDArray[np.intp],
    ) -> None:
        own = {name: labels[rows] for name, labels in coordinates.items()}
        own = {name: labels for name, labels in own.items() if any(x is not None for x in labels)}
        if own:
            keys = list(zip(*(labels.tolist() for labels in own.values()), strict=True))
            order = sorted(
                range(len(rows)), key=lambda row: [(label is None, label) for label in keys[row]]
            )
            rows = rows[order]
            own = {name: labels[order] for name, labels in own.items()}
        self.coordinates = own
        self.low = low[rows]
        self.high = high[rows]

    def select(self, wanted: Mapping[str, Any], label: str) -> Cells:
        keep = np.ones(len(self.low), dtype=bool)
        # Named values first, so that "last" means the last among what they leave.
        for name, value in sorted(wanted.items(), key=lambda item: item[1] in ("first", "last")):
            if name not in self.coordinates:
                raise MissingCellError(
                    f"{label} has no coordinate {name!r}; it has {_listed(self.coordinates)}"
                )
            labels = self.coordinates[name]
            keep &= labels == _resolve(value, labels[keep])
            if not keep.any():
                there = _listed(dict.fromkeys(labels.tolist()))
                raise MissingCellError(f"{label}: no cell at {dict(wanted)}; {name} has {there}")
        open_names = [name for name in self.coordinates if name not in wanted]
        coordinates = {name: self.coordinates[name][keep] for name in open_names}
        return Cells(self.low[keep], self.high[keep], coordinates)


def _resolve(value: Any, labels: npt.NDArray[np.object_]) -> Any:
    if value in ("first", "last") and len(labels) and not isinstance(labels[0], str):
        return min(labels) if value == "first" else max(labels)
    return value


def _listed(names: Iterable[object]) -> str:
    return ", ".join(str(name) for name in names) or "none"
