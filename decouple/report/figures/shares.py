"""Heat maps: how the mass is shared out, by row and step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from decouple.report.figures.data import (
    OWN_ARM,
    TRAINED,
    Data,
    NothingToDrawError,
    absent,
    fixed,
    plain,
)
from decouple.report.figures.panels import Heat


@dataclass(frozen=True, slots=True)
class Grid:
    """A heat map: values by row and x, NaN where there is none."""

    title: str
    seeds: int
    "0 for what a document prints"
    rows: tuple[str, ...]
    x: tuple[Any, ...]
    values: tuple[tuple[float, ...], ...]

    @property
    def has_gaps(self) -> bool:
        """Whether there are cells without a value."""
        return any(value != value for row in self.values for value in row)


def heat(panel: Heat, data: Data) -> tuple[Grid, ...]:
    """The heat maps of a panel, one for each arm and one of the document's own figures.

    Raises:
        NothingToDrawError: if no run holds the metric by both coordinates.
    """
    grids = []
    for arm in panel.arms:
        rows = _cells(data.measured, panel.metric, arm)
        if rows.empty or {panel.rows, panel.rank} - {*rows.columns}:
            continue
        seeds = rows["seed"].nunique()
        grids.append(_grid(panel, rows, panel.names.get(arm, arm), seeds))
    if not grids:
        sentence = absent(panel.title, (panel.metric,), panel.arms, data.measured)
        raise NothingToDrawError(sentence)
    own = _cells(data.published, panel.metric, OWN_ARM)
    if not own.empty and not {panel.rows, panel.rank} - {*own.columns}:
        own = own.assign(seed=0).drop_duplicates([panel.rows, panel.rank, panel.x])
        grids.append(_grid(panel, own, "the document", 0))
    return tuple(grids)


def _grid(panel: Heat, rows: pd.DataFrame, title: str, seeds: int) -> Grid:
    last = rows[rows[panel.x] == rows[panel.x].max()]
    keys = ["seed", panel.rows, panel.rank]
    final = last.set_index(keys)["value"]
    rank = final.groupby(level=["seed", panel.rows]).rank(ascending=False, method="first")
    rows = rows.join(rank.rename("place"), on=keys)
    mean = rows.dropna(subset=["place"]).pivot_table(
        index=[panel.rows, "place"], columns=panel.x, values="value", aggfunc="mean"
    )
    return Grid(
        title,
        seeds,
        tuple(f"{plain(row)} · {_ordinal(int(place))}" for row, place in mean.index),
        tuple(map(plain, mean.columns)),
        tuple(map(tuple, mean.to_numpy(dtype=float).tolist())),
    )


def _cells(table: pd.DataFrame, metric: str, arm: str) -> pd.DataFrame:
    if table.empty:
        return table
    rows = table[(table["metric"] == metric) & (table["arm"] == arm)]
    return fixed(rows, {"condition": TRAINED}, ())


def _ordinal(place: int) -> str:
    return f"{place}{({1: 'st', 2: 'nd', 3: 'rd'}).get(place, 'th')}"
