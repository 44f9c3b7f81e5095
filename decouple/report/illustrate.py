"""A document's figures: from stored runs and published tables to what a page shows.

Matplotlib is imported only where there is something to draw.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from decouple.report.figures import DOCUMENTS
from decouple.report.figures.data import Curve, Data, NothingToDrawError
from decouple.report.figures.panels import Document, Heat, Lines, Panel, Samples
from decouple.report.figures.selection import lines
from decouple.report.figures.shares import Grid, heat
from decouple.report.figures.texts import TextTable, samples
from decouple.report.numbers import number


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
    seeds: int = 0
    notes: tuple[str, ...] = ()
    absent: str = ""
    "why there is nothing to see"

    @property
    def is_heat(self) -> bool:
        """Whether it is a heat map."""
        return isinstance(self.panel, Heat)

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
    data = Data(_derived(document, measured), _derived(document, published), document.arms)
    shown = []
    for panel in document.panels:
        name = f"fig-{document.stem}-{preset}-{panel.name}".replace(".", "-")
        try:
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

        grids, seeds = heat(panel, data)
        svgs = [draw_heat(panel, grid, name=f"{name}-{i}") for i, grid in enumerate(grids)]
        titles = [grid.title for grid in grids]
        numbers = tuple(_grid_numbers(panel, grid) for grid in grids)
        shown = tuple(zip(titles, svgs, strict=True))
        return Illustration(name, panel, shown, numbers=numbers, seeds=seeds)
    from decouple.report.figures.draw import draw_lines  # noqa: PLC0415

    drawing = lines(panel, data)
    titles = [axes.title for axes in drawing.axes]
    legend = {curve.order: curve for axes in drawing.axes for curve in axes.curves}
    return Illustration(
        name,
        panel,
        tuple(zip(titles, draw_lines(panel, drawing, name=name), strict=True)),
        legend=tuple(legend[order] for order in sorted(legend)),
        has_points=any(curve.points for axes in drawing.axes for curve in axes.curves),
        numbers=tuple(_line_numbers(panel, axes.title, axes.curves) for axes in drawing.axes),
        seeds=drawing.seeds,
        notes=drawing.notes,
    )


def _line_numbers(panel: Lines, title: str, curves: tuple[Curve, ...]) -> NumberTable:
    x = list(dict.fromkeys(label for curve in curves for label in curve.x))
    x += [p for curve in curves for p in dict(curve.points) if p not in x]
    x = sorted(x) if panel.x_scale in ("linear", "log") else x
    rows: list[tuple[str, tuple[str, ...]]] = []
    for curve in curves:
        rows.append((curve.label, _by_label(x, dict(zip(curve.x, curve.mean, strict=True)))))
        if curve.points:
            rows.append((f"{curve.label}, the document", _by_label(x, dict(curve.points))))
    caption = ", ".join(filter(None, (panel.title, title, "means over seeds")))
    return NumberTable(caption, (panel.x_label, *map(str, x)), tuple(rows))


def _grid_numbers(panel: Heat, grid: Grid) -> NumberTable:
    rows = tuple(
        (row, tuple(number(round(value, 3)) if value == value else "" for value in values))
        for row, values in zip(grid.rows, grid.values, strict=True)
    )
    return NumberTable(f"{panel.title}, {grid.title}", (panel.y_label, *map(str, grid.x)), rows)


def _by_label(x: list[Any], values: dict[Any, float]) -> tuple[str, ...]:
    return tuple(
        number(values[label]) if label in values and values[label] == values[label] else ""
        for label in x
    )
