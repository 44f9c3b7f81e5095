"""A document's figures: from stored runs and published tables to what a page shows.

Matplotlib is imported only where there is something to draw.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from decouple.report.figures import DOCUMENTS
from decouple.report.figures.data import Curve, Data, NothingToDrawError
from decouple.report.figures.panels import Document, Heat, Lines, Panel, Samples
from decouple.report.figures.selection import lines
from decouple.report.figures.shares import Grid, heat
from decouple.report.figures.texts import TextTable, samples
from decouple.report.numbers import interval, number
from decouple.report.text import identifier


@dataclass(frozen=True, slots=True)
class NumberTable:
    """The numbers behind a figure."""

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, tuple[str, ...]], ...]


@dataclass(frozen=True, slots=True)
class Illustration:
    """One panel as a page shows it; or, if it could not be drawn, why."""

    name: str
    panel: Panel
    svgs: tuple[tuple[str, str], ...] = ()
    "heading and SVG"
    legend: tuple[Curve, ...] = ()
    has_points: bool = False
    texts: tuple[TextTable, ...] = ()
    numbers: tuple[NumberTable, ...] = ()
    seeds: str = ""
    "how many, in words"
    has_gaps: bool = False
    "whether a heat map has cells without a value"
    notes: tuple[str, ...] = ()
    absent: str = ""
    "why there is nothing to see"

    @property
    def is_heat(self) -> bool:
        """Whether it is a heat map."""
        return isinstance(self.panel, Heat)

    @property
    def mean(self) -> str:
        """What the thick line is."""
        geometric = isinstance(self.panel, Lines) and self.panel.y_scale == "log"
        return "geometric mean" if geometric else "mean"

    @property
    def is_named(self) -> bool:
        """Whether names go down its side."""
        return isinstance(self.panel, Lines) and self.panel.x_scale == "category"


def arms_drawn() -> dict[str, set[str]]:
    """Document to the arms that its figures show."""
    return {stem: {*document.arms} for stem, document in DOCUMENTS.items()}


def illustrate(
    document: Document,
    preset: str,
    measured: pd.DataFrame,
    published: pd.DataFrame,
    *,
    strict: bool,
) -> list[Illustration]:
    """All panels of a document on the runs of one preset.

    Args:
        document: what is drawn.
        preset: whose runs they are; part of the names, which are unique in a page.
        measured: evidence of the runs.
        published: the document's own figures.
        strict: raise what goes wrong in drawing, in place of saying it on the page.
    """
    data: Data | None = None
    shown = []
    for panel in document.panels:
        name = f"fig-{document.stem}-{identifier(preset)}-{panel.name}"
        try:
            if data is None:
                tables = [_derived(document, table) for table in (measured, published)]
                data = Data(tables[0], tables[1], tuple(document.arms))
            shown.append(_illustration(panel, name, data))
        except NothingToDrawError as error:
            shown.append(Illustration(name, panel, absent=str(error)))
        except Exception as error:
            if strict:
                raise
            sentence = f"{panel.title}: could not be drawn ({type(error).__name__}: {error})."
            shown.append(Illustration(name, panel, absent=sentence))
    return shown


def _derived(document: Document, table: pd.DataFrame) -> pd.DataFrame:
    """The evidence with the metrics that are computed from it."""
    if table.empty:
        return table
    there = set(table["metric"])
    made = [make(table) for metric, make in document.derived.items() if metric not in there]
    made = [rows for rows in made if not rows.empty]
    return pd.concat([table, *made], ignore_index=True) if made else table


def _illustration(panel: Panel, name: str, data: Data) -> Illustration:
    if isinstance(panel, Samples):
        return Illustration(name, panel, texts=samples(panel, data))
    if isinstance(panel, Heat):
        from decouple.report.figures.draw_shares import draw_heat  # noqa: PLC0415

        grids = heat(panel, data)
        svgs = [draw_heat(panel, grid, name=f"{name}-{i}") for i, grid in enumerate(grids)]
        titles = [", ".join(filter(None, (g.title, in_words(g.seeds)))) for g in grids]
        numbers = tuple(_grid_numbers(panel, grid) for grid in grids)
        shown = tuple(zip(titles, svgs, strict=True))
        return Illustration(
            name,
            panel,
            shown,
            numbers=numbers,
            seeds=in_words(*(grid.seeds for grid in grids if grid.seeds)),
            has_gaps=any(grid.has_gaps for grid in grids),
        )
    from decouple.report.figures.draw import draw_lines  # noqa: PLC0415

    drawing = lines(panel, data)
    titles = [axes.title for axes in drawing.axes]
    legend = {curve.order: curve for axes in drawing.axes for curve in axes.curves}
    counts = [len(curve.seeds) for curve in legend.values()]
    if len({*counts}) > 1:
        legend = {
            order: replace(curve, label=f"{curve.label} ({in_words(len(curve.seeds))})")
            for order, curve in legend.items()
        }
    return Illustration(
        name,
        panel,
        tuple(zip(titles, draw_lines(panel, drawing, name=name), strict=True)),
        legend=tuple(legend[order] for order in sorted(legend)),
        has_points=any(curve.points for axes in drawing.axes for curve in axes.curves),
        numbers=tuple(_line_numbers(panel, axes.title, axes.curves) for axes in drawing.axes),
        seeds=in_words(*counts),
        notes=drawing.notes,
    )


def in_words(*counts: int) -> str:
    """How many seeds: one number, or from the least to the most; nothing for none."""
    least, most = min(counts, default=0), max(counts, default=0)
    if most == 0:
        return ""
    few = str(most) if least == most else f"{least} to {most}"
    return f"{few} seed{'s' if most != 1 else ''}"


def _line_numbers(panel: Lines, title: str, curves: tuple[Curve, ...]) -> NumberTable:
    x = list(dict.fromkeys(label for curve in curves for label in curve.x))
    x += [p for curve in curves for p in dict(curve.points) if p not in x]
    x = sorted(x) if panel.x_scale in ("linear", "log") else x
    rows: list[tuple[str, tuple[str, ...]]] = []
    for curve in curves:
        found = zip(curve.x, curve.mean, curve.intervals, strict=True)
        cells = {place: f"{_finite(mean)} {interval(ends)}" for place, mean, ends in found}
        rows.append((curve.label, _by_label(x, cells)))
        if curve.points:
            points = {place: _finite(value) for place, value in curve.points}
            rows.append((f"{curve.label}, the document", _by_label(x, points)))
    means = "geometric means" if panel.y_scale == "log" else "means"
    caption = ", ".join(filter(None, (panel.title, title, f"{means} over seeds [interval]")))
    return NumberTable(caption, (panel.x_label, *map(str, x)), tuple(rows))


def _grid_numbers(panel: Heat, grid: Grid) -> NumberTable:
    rows = tuple(
        (row, tuple(_finite(round(value, 3)) for value in values))
        for row, values in zip(grid.rows, grid.values, strict=True)
    )
    return NumberTable(f"{panel.title}, {grid.title}", (panel.y_label, *map(str, grid.x)), rows)


def _finite(value: float) -> str:
    return number(value) if value == value else ""


def _by_label(x: list[Any], values: dict[Any, str]) -> tuple[str, ...]:
    return tuple(values.get(label, "").strip() for label in x)
