"""Drawing with Matplotlib: one set of axes a figure, so that a page can flow them.

Seeds are thin lines, their mean a thick one, the document's own figures open markers. Series differ
in dash and marker too, not by colour alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes as MatplotlibAxes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from decouple.report.figures.data import Axes, Curve, Drawing
from decouple.report.figures.panels import Lines
from decouple.report.figures.style import HEIGHT, STYLE, WIDTH, above, looks, open_marker
from decouple.report.figures.svg import inline
from decouple.report.text import label


def draw_lines(panel: Lines, drawing: Drawing, *, name: str) -> list[str]:
    """One SVG for each set of axes of a panel."""
    limits = panel.y_limits or (_common_limits(panel, drawing) if panel.common_y else None)
    draw = _draw_named if panel.x_scale == "category" else _draw_axes
    return [
        draw(panel, axes, limits, name=f"{name}-{position}")
        for position, axes in enumerate(drawing.axes)
    ]


def _draw_axes(panel: Lines, shown: Axes, limits: tuple[float, float] | None, *, name: str) -> str:
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, HEIGHT))
        snapshots = _labels(shown) if panel.x_scale == "rank" else []
        bottom = 0.23 if snapshots else 0.175  # ticks of two lines
        axes = figure.add_axes((0.155, bottom, 0.825, 0.9 - bottom))
        above(figure, panel.y_label)
        for curve in shown.curves:
            _draw_curve(axes, curve, snapshots)
        if limits is not None:
            axes.set_ylim(limits)
        if panel.y_scale == "linear":
            axes.yaxis.set_major_locator(MaxNLocator(5))
        elif panel.y_scale == "symlog":
            axes.set_yscale("symlog", linthresh=0.01)
            axes.yaxis.set_major_formatter(_plain)
        else:
            _logarithmic(axes.set_yscale, axes.yaxis)
        axes.set_xlabel(panel.x_label)
        if snapshots:
            axes.set_xticks(range(len(snapshots)), [_tick(each) for each in snapshots])
            axes.set_xlim(-0.35, len(snapshots) - 0.65)
        elif panel.x_scale == "log":
            _logarithmic(axes.set_xscale, axes.xaxis)
        else:
            axes.xaxis.set_major_locator(MaxNLocator(7, integer=True))
        title = f"{panel.title}: {shown.title}" if shown.title else panel.title
        return inline(figure, name=name, title=title, description=_in_words(panel, shown))


def _draw_curve(axes: MatplotlibAxes, curve: Curve, snapshots: Sequence[Any]) -> None:
    colour, marker, dash = looks(curve)
    x = [snapshots.index(each) if snapshots else each for each in curve.x]
    # All seeds in one line with gaps between them: an artist each would take most of the time.
    thin_x = [*x, math.nan] * len(curve.seeds)
    thin_y = [value for seed in curve.seeds for value in (*seed, math.nan)]
    alone = "." if len(x) == 1 else ""
    axes.plot(thin_x, thin_y, color=colour, alpha=0.3, linewidth=0.7, marker=alone)
    alone = marker if len(x) == 1 else ""
    axes.plot(
        x, curve.mean, color=colour, linewidth=1.6, linestyle=dash, marker=alone, markersize=3.5
    )
    at = [(snapshots.index(each) if snapshots else each, value) for each, value in curve.points]
    if at:
        axes.plot(*zip(*at, strict=True), **open_marker(colour, marker))


def _draw_named(panel: Lines, shown: Axes, limits: tuple[float, float] | None, *, name: str) -> str:
    """Names down the side and the values along: seeds as dots, their mean as a mark."""
    labels = sorted(_labels(shown), key=[*panel.names, *_labels(shown)].index)
    words = [label(panel.names.get(each, each)) for each in labels]
    with mpl.rc_context(STYLE | {"axes.grid.axis": "x"}):
        height = 0.55 + 0.27 * len(labels)
        figure = Figure(figsize=(WIDTH * 1.45, height))
        axes = figure.add_axes((0.34, 0.45 / height, 0.63, 1 - 0.5 / height))
        for position, curve in enumerate(shown.curves):
            colour, marker, _ = looks(curve)
            aside = 0.34 * ((position + 0.5) / len(shown.curves) - 0.5)
            places = [labels.index(each) + aside for each in curve.x]
            values = [value for seed in curve.seeds for value in seed]
            axes.plot(values, places * len(curve.seeds), color=colour, alpha=0.3, linestyle="none",
                      marker="o", markersize=3, markeredgewidth=0)  # fmt: skip
            axes.plot(curve.mean, places, color=colour, linestyle="none", marker=marker,
                      markersize=4.5)  # fmt: skip
            at = [(value, labels.index(each) + aside) for each, value in curve.points]
            if at:
                axes.plot(*zip(*at, strict=True), **open_marker(colour, marker))
        axes.set_yticks(range(len(labels)), words)
        axes.set_ylim(len(labels) - 0.5, -0.5)
        if limits is not None:
            axes.set_xlim(limits)
        if panel.y_scale == "log":
            _logarithmic(axes.set_xscale, axes.xaxis)
        axes.set_xlabel(panel.y_label)
        title = f"{panel.title}: {shown.title}" if shown.title else panel.title
        return inline(figure, name=name, title=title, description=_in_words(panel, shown))


def _logarithmic(set_scale: Callable[[str], None], axis: Axis) -> None:
    """A logarithmic axis with plain numbers: the usual labels are mathematical markup."""
    set_scale("log")
    low, high = axis.get_view_interval()
    if high < 5 * low:  # hardly more than a linear axis
        axis.set_major_locator(MaxNLocator(4))
    elif high < 50 * low:  # tens alone would leave one number, or none
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(_plain)


def _plain(value: float, _: float) -> str:
    return f"{value:g}"


def _labels(shown: Axes) -> list[Any]:
    """Every place along the horizontal axis at which something is, in the order of the curves."""
    labels = dict.fromkeys(each for curve in shown.curves for each in curve.x)
    labels |= dict.fromkeys(each for curve in shown.curves for each, _ in curve.points)
    return list(labels)


def _common_limits(panel: Lines, drawing: Drawing) -> tuple[float, float] | None:
    values = [
        value
        for axes in drawing.axes
        for curve in axes.curves
        for value in [*(v for seed in curve.seeds for v in seed), *(v for _, v in curve.points)]
        if math.isfinite(value) and (panel.y_scale != "log" or value > 0)
    ]
    if not values:
        return None
    low, high = min(values), max(values)
    if panel.y_scale == "log":
        room = max(1.2, (high / low) ** 0.06)
        return low / room, high * room
    if panel.y_scale == "symlog":
        return low * (1.5 if low < 0 else 0.7), high * (1.5 if high > 0 else 0.7)
    room = 0.05 * (high - low) or abs(high) * 0.05 or 1.0
    return low - room, high + room


def _in_words(panel: Lines, shown: Axes) -> str:
    """What the axes show, for those who do not see them: where each mean begins and ends."""
    said = []
    for curve in shown.curves:
        there = [(x, y) for x, y in zip(curve.x, curve.mean, strict=True) if math.isfinite(y)]
        if there:
            (first, start), (last, end) = there[0], there[-1]
            said.append(f"{curve.label}: {start:.3g} at {first}, {end:.3g} at {last}")
        if curve.points:
            (first, start), (last, end) = curve.points[0], curve.points[-1]
            said.append(f"document: {start:.3g} at {first}, {end:.3g} at {last}")
    means = "Geometric means" if panel.y_scale == "log" else "Means"
    return f"{panel.y_label} by {panel.x_label}. {means} over seeds. {'; '.join(said)}."


def _tick(snapshot: Any) -> str:
    return label(str(snapshot).replace("_", " ")).replace(" ", "\n", 1)
