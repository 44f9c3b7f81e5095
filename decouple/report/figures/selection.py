"""From tables of evidence to the lines of a panel; says in words what is not there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from decouple.report.figures.data import (
    TRAINED,
    Axes,
    Curve,
    Data,
    Drawing,
    NothingToDrawError,
    absent,
    fixed,
    plain,
)
from decouple.report.figures.panels import Lines


def lines(panel: Lines, data: Data) -> Drawing:
    """What a panel of lines draws.

    Raises:
        NothingToDrawError: if no run and no table holds any of its metrics.
        ValueError: if a point of a seed's line is measured more than once.
    """
    measured = _points(panel, data.measured)
    published = _points(panel, data.published)
    if measured.empty:
        raise NothingToDrawError(absent(panel.title, panel.metrics, panel.arms, data.measured))
    notes = []
    twice = measured.duplicated(["facet", "series", "x", "seed"])
    if twice.any():
        raise ValueError(f"{panel.name}: more than one value at {_where(measured[twice].iloc[0])}")
    lost = int((~np.isfinite(measured["value"])).sum())
    if lost:
        notes.append(f"{lost} values are not finite and are left out.")
    if panel.y_scale == "log":
        low = int((measured["value"] <= 0).sum())
        notes += [f"{low} values are not positive and have no place on this axis."] if low else []
    if panel.y_limits is not None:
        outside = int((~measured["value"].dropna().between(*panel.y_limits)).sum())
        notes += [f"{outside} values lie beyond the range shown."] if outside else []
    missing = [metric for metric in panel.metrics if metric not in set(measured["metric"])]
    if missing:
        notes.append(f"Not measured in these runs: {', '.join(missing)}.")
    published, said = _matched(panel, measured, published)
    notes += said
    axes = []
    orders = _orders(panel, measured, data.arms)
    for facet in _ordered(measured["facet"], panel):
        here = measured[measured["facet"] == facet]
        own = published[published["facet"] == facet] if not published.empty else published
        curves = [
            _curve(series, orders, here, own, panel)
            for series in orders
            if series in set(here["series"])
        ]
        axes.append(Axes(_facet_title(panel, facet), tuple(curves)))
    return Drawing(tuple(axes), tuple(notes))


def _points(panel: Lines, table: pd.DataFrame) -> pd.DataFrame:
    """Rows of the panel's metrics with columns facet, series, x, seed, value."""
    columns = ["facet", "series", "x", "seed", "metric", "value"]
    if table.empty:
        return pd.DataFrame(columns=columns)
    rows = table[table["metric"].isin(panel.metrics) & table["arm"].isin(panel.arms)]
    free = {*panel.series, *panel.x, panel.facet}
    rows = fixed(rows, {"condition": TRAINED, **panel.where}, free)
    if panel.at_last:
        rows = rows[rows["step"] == rows.groupby("arm")["step"].transform("max")]
    for name in panel.x:
        rows = rows[rows[name].notna()] if name in rows else rows.iloc[:0]
    if rows.empty:
        return pd.DataFrame(columns=columns)
    parts = {
        name: list(map(plain, rows[name])) if name in rows else [None] * len(rows)
        for name in (*panel.series, *panel.x, panel.facet)
        if name
    }
    return pd.DataFrame(
        {
            "facet": parts[panel.facet] if panel.facet else [""] * len(rows),
            "series": list(zip(*(parts[name] for name in panel.series), strict=True)),
            "x": list(zip(*(parts[name] for name in panel.x), strict=True)),
            "seed": rows["seed"].tolist() if "seed" in rows else [0] * len(rows),
            "metric": rows["metric"].tolist(),
            "value": rows["value"].astype(float).tolist(),
        }
    )


def _matched(
    panel: Lines, measured: pd.DataFrame, published: pd.DataFrame
) -> tuple[pd.DataFrame, list[str]]:
    """The published points in the coordinates of the runs, and what had to be left out."""
    if published.empty:
        return published, []
    notes = []
    theirs, ours = _ordered(published["facet"], panel), _ordered(measured["facet"], panel)
    if len(theirs) == len(ours) and theirs != ours:
        published = published.assign(
            facet=published["facet"].map(dict(zip(theirs, ours, strict=True)))
        )
        pairs = ", ".join(f"{a} as {b}" for a, b in zip(theirs, ours, strict=True))
        notes.append(f"The document's {panel.facet} is matched by its order: {pairs}.")
    if panel.x_scale == "rank":
        return _ranked(measured, published, notes)
    if panel.x_scale == "category":
        return published, notes
    last = max(x[0] for x in measured["x"])
    length = panel.document_length
    if length is not None and length != last:
        published = published.assign(x=published["x"].map(lambda x: (x[0] * last / length,)))
        notes.append(
            f"The document's points stand at their share of the run: {panel.x_label} {length:g} of "
            f"its run at {last:g} of these."
        )
    beyond = published["x"].map(lambda x: x[0] > last * 1.2)
    if beyond.any():
        furthest = max(x[0] for x in published["x"])
        notes.append(
            f"{int(beyond.sum())} of the document's points, as far as {panel.x_label} "
            f"{furthest:g}, lie further along than these runs go and are not drawn."
        )
        published = published[~beyond]
    return published, notes


def _ranked(
    measured: pd.DataFrame, published: pd.DataFrame, notes: list[str]
) -> tuple[pd.DataFrame, list[str]]:
    """The published points at the snapshots of the same rank; of unequally many, at both ends."""
    ours, theirs = _sorted(measured["x"]), _sorted(published["x"])
    if len(ours) == len(theirs):
        pairs = dict(zip(theirs, ours, strict=True))
    else:
        pairs = {theirs[0]: ours[0], theirs[-1]: ours[-1]}
        notes.append(
            f"The document measured at {len(theirs)} places and these runs at {len(ours)}: only "
            "its first and last are drawn."
        )
        published = published[published["x"].isin(pairs.keys())]
    words = "; ".join(f"its {_snapshot(a)} at {_snapshot(b)}" for a, b in pairs.items())
    notes.append(f"The document's points stand in their order: {words}.")
    return published.assign(x=published["x"].map(pairs)), notes


def _orders(panel: Lines, rows: pd.DataFrame, arms: Sequence[str]) -> dict[tuple[Any, ...], int]:
    """Series to the number of its colour; arms keep theirs through all figures."""
    found = sorted(set(rows["series"]), key=lambda labels: _series_key(panel, labels))
    if panel.series == ("arm",):
        return {labels: arms.index(labels[0]) for labels in found}
    return {labels: position for position, labels in enumerate(found)}


def _series_key(panel: Lines, labels: tuple[Any, ...]) -> list[Any]:
    places = {"arm": panel.arms, "metric": panel.metrics}
    return [
        (places[name].index(label), "") if name in places else (0, str(label))
        for name, label in zip(panel.series, labels, strict=True)
    ]


def _curve(
    series: tuple[Any, ...],
    orders: Mapping[tuple[Any, ...], int],
    rows: pd.DataFrame,
    published: pd.DataFrame,
    panel: Lines,
) -> Curve:
    own = rows[rows["series"] == series]
    x = _sorted(own["x"])
    place = {label: i for i, label in enumerate(x)}
    values = {seed: [np.nan] * len(x) for seed in sorted(own["seed"].unique())}
    for label, seed, value in zip(own["x"], own["seed"], own["value"], strict=True):
        values[seed][place[label]] = float(value)
    points: tuple[tuple[Any, float], ...] = ()
    if not published.empty:
        theirs = published[published["series"] == series]
        points = tuple(
            (_reduced(label), float(value))
            for label, value in sorted(zip(theirs["x"], theirs["value"], strict=True))
        )
    words = [_named(panel, name, label) for name, label in zip(panel.series, series, strict=True)]
    return Curve(
        ", ".join(words),
        orders[series],
        tuple(map(_reduced, x)),
        tuple(map(tuple, values.values())),
        points,
        geometric=panel.y_scale == "log",
    )


def _named(panel: Lines, name: str, label: Any) -> str:
    if str(label) in panel.names:
        return panel.names[str(label)]
    return str(label) if name in ("arm", "metric", "condition") else f"{name} {label}"


def _facet_title(panel: Lines, facet: Any) -> str:
    return "" if panel.facet is None else _named(panel, panel.facet, facet)


def _ordered(labels: Iterable[Any], panel: Lines) -> list[Any]:
    """Facets in the panel's order for arms and metrics, ascending for coordinates."""
    there = set(labels)
    places = {"arm": panel.arms, "metric": panel.metrics}.get(panel.facet or "")
    if places is not None:
        return [label for label in places if label in there]
    return sorted(there, key=lambda label: (label is None, label))


def _where(row: pd.Series) -> str:
    return ", ".join(f"{name} {row[name]}" for name in ("metric", "facet", "series", "x", "seed"))


def _sorted(labels: Any) -> list[tuple[Any, ...]]:
    return sorted(set(labels), key=lambda label: [(part is None, part) for part in label])


def _reduced(label: tuple[Any, ...]) -> Any:
    return label[0] if len(label) == 1 else _label(label)


def _snapshot(label: tuple[Any, ...]) -> str:
    step, *more = map(str, label)
    return f"step {step}" + (f" ({', '.join(more)})" if more else "")


def _label(label: tuple[Any, ...]) -> str:
    return " ".join(f"{part:g}" if isinstance(part, float) else str(part) for part in label)
