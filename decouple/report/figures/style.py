"""How all figures look."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure

from decouple.report.figures.data import Curve
from decouple.report.figures.svg import GRID, INK, MUTED, PAPER, SERIES

DASHES: tuple[Any, ...] = (
    "-",
    (0, (5, 2)),
    (0, (1.5, 1.5)),
    (0, (5, 1.5, 1.5, 1.5)),
    (0, (9, 2.5)),
    (0, (3, 1)),
    (0, (7, 1.5, 1.5, 1.5, 1.5, 1.5)),
    (0, (1.5, 3)),
)
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "h")
WIDTH, HEIGHT = 3.1, 2.4
"""Inches of one set of axes; on the page they scale with the column."""

STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "decouple",
    "text.parse_math": False,
    "axes.unicode_minus": True,
    "font.size": 8.0,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "text.color": INK,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": GRID,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "xtick.color": GRID,
    "ytick.color": GRID,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "xtick.major.size": 3,
    "ytick.major.size": 0,
    "lines.solid_capstyle": "round",
    "path.simplify": False,
}


def looks(curve: Curve) -> tuple[str, str, Any]:
    """Colour, marker and dash of a series."""
    order = curve.order
    return SERIES[order % len(SERIES)], MARKERS[order % len(MARKERS)], DASHES[order % len(DASHES)]


def above(figure: Figure, words: str) -> None:
    """The unit of the vertical axis, where it can be read without turning one's head."""
    figure.text(0.012, 0.985, words, ha="left", va="top", color=MUTED, fontsize=STYLE["font.size"])


def open_marker(colour: str, marker: str) -> dict[str, Any]:
    """The marker of a published figure."""
    return {
        "linestyle": "none",
        "marker": marker,
        "markersize": 4.5,
        "markerfacecolor": PAPER,
        "markeredgecolor": colour,
        "markeredgewidth": 1.2,
        "zorder": 4,
        "clip_on": False,
    }
