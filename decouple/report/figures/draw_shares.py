"""Drawing heat maps with Matplotlib."""

from __future__ import annotations

import math
from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from decouple.report.figures.panels import Heat
from decouple.report.figures.shares import Grid
from decouple.report.figures.style import STYLE, WIDTH, above
from decouple.report.figures.svg import GRID, HEAT, MUTED, PAPER, inline
from decouple.report.text import label


def draw_heat(panel: Heat, grid: Grid, *, name: str) -> str:
    """A heat map of shares from 0 to 1, in strengths of one colour."""
    with mpl.rc_context(STYLE):
        height = 0.75 + 0.16 * len(grid.rows)
        figure = Figure(figsize=(WIDTH * 1.3, height))
        axes = figure.add_axes((0.13, 0.42 / height, 0.85, 1 - 0.67 / height))
        above(figure, panel.y_label)
        values = np.asarray(grid.values, dtype=float)  # (rows, x)
        colours = np.zeros((*values.shape, 4))
        colours[..., :3] = mpl.colors.to_rgb(HEAT)
        colours[..., 3] = np.clip(np.nan_to_num(values), 0.0, 1.0)
        axes.pcolormesh(colours, edgecolors="none")
        rows, columns = np.nonzero(np.isnan(values))  # a dot is not zero: nothing was measured
        axes.plot(columns + 0.5, rows + 0.5, linestyle="none", marker=".", markersize=2, color=GRID)
        axes.set_xlim(0, values.shape[1])
        axes.invert_yaxis()
        axes.grid(visible=False)
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)
        shown = range(0, len(grid.x), max(1, math.ceil(len(grid.x) / 14)))
        axes.set_xticks([i + 0.5 for i in shown], [label(grid.x[i]) for i in shown])
        axes.set_yticks([])
        for position, row in enumerate(grid.rows):  # plain text: a tick each takes far longer
            axes.text(-0.012, position + 0.5, label(row), transform=axes.get_yaxis_transform(),
                      ha="right", va="center", fontsize=6.5, color=MUTED)  # fmt: skip
        for position in range(1, len(grid.rows)):
            if grid.rows[position].partition(" ")[0] != grid.rows[position - 1].partition(" ")[0]:
                axes.axhline(position, color=PAPER, linewidth=2)
        axes.set_xlabel(panel.x_label)
        title = f"{panel.title}: {grid.title}"
        return inline(figure, name=name, title=title, description=_heat_in_words(panel, grid))


def _heat_in_words(panel: Heat, grid: Grid) -> str:
    ends = [
        f"{row}: {_last(values):.2g}" for row, values in zip(grid.rows, grid.values, strict=True)
    ]
    return (
        f"{panel.value_label} by {panel.y_label}, at the last {panel.x_label}. {'; '.join(ends)}."
    )


def _last(values: Sequence[float]) -> float:
    return next((value for value in reversed(values) if math.isfinite(value)), math.nan)
