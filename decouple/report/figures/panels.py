"""What a document's figures are made of: declarations that hold no drawing code."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import pandas as pd

Scale = Literal["linear", "log", "rank", "category"]
"""Of the horizontal axis. `rank`: the places of the sorted values, evenly spaced, for snapshots
whose steps differ from scale to scale; `category`: names, which go down the side, in the order of
the panel's `names`."""

Names = Mapping[str, str]
"""Names in the evidence to the words that a reader sees."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Lines:
    """A measured number along a coordinate: seeds, their mean, and the published points."""

    name: str
    "unique within the document"
    title: str
    metrics: tuple[str, ...]
    y_label: str
    x: tuple[str, ...] = ("step",)
    "coordinates along the horizontal axis; more than one only on the scale `rank`"
    x_label: str = "cycle"
    x_scale: Scale = "linear"
    y_scale: Literal["linear", "log", "symlog"] = "linear"
    "`symlog`: logarithmic either way from zero, linear within a hundredth of it"
    y_limits: tuple[float, float] | None = None
    "values beyond are counted, not drawn; None shows all"
    arms: tuple[str, ...] = ("published",)
    "drawn in this order"
    series: tuple[str, ...] = ("arm",)
    "what colours tell apart: arm, metric or coordinates"
    facet: str | None = None
    "arm, metric or coordinate that each get axes of their own"
    common_y: bool = True
    "whether all axes share one vertical range"
    where: Mapping[str, str | int | float] = field(default_factory=dict)
    "coordinates held fixed, where the metric has them; `condition` is `trained` unless named"
    document_length: float | None = None
    "x at which the document's run ends; its points are drawn at their share of the run"
    at_last: bool = False
    "only the last step of each run"
    names: Names = field(default_factory=dict)
    note: str = ""
    "a sentence under the figure"


@dataclass(frozen=True, kw_only=True, slots=True)
class Heat:
    """Shares by row and step; what takes the shares is ranked within each seed, then averaged."""

    name: str
    title: str
    metric: str
    rows: str = "layer"
    rank: str = "expert"
    "exchangeable coordinate: 1st is the one with the greatest value at the last step"
    x: str = "step"
    x_label: str = "cycle"
    y_label: str = "layer, expert by final rank"
    value_label: str = "softmax mass"
    arms: tuple[str, ...] = ("published",)
    names: Names = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Samples:
    """Generated text side by side: a row for each step, a column for each arm and seed."""

    name: str
    title: str
    metric: str = "continuation"
    text: str = "text"
    "column that holds it"
    group: str = "prompt"
    "coordinate that gets a table of its own"
    x_label: str = "cycle"
    arms: tuple[str, ...] = ("published",)
    seeds: int = 2
    "how many seeds of each arm are shown"
    where: Mapping[str, str | int | float] = field(default_factory=dict)
    names: Names = field(default_factory=dict)
    note: str = ""


Derivation = Callable[[pd.DataFrame], pd.DataFrame]
"""From the evidence of a document to the rows of one more metric."""

Panel = Lines | Heat | Samples


@dataclass(frozen=True, kw_only=True, slots=True)
class Document:
    """A document's name in full, and its figures."""

    stem: str
    title: str
    about: str
    "one sentence"
    arms: Names
    "what is drawn, in words; each arm has the same colour in all figures"
    panels: tuple[Panel, ...]
    derived: Mapping[str, Derivation] = field(default_factory=dict)
    "metrics that are computed from the evidence where it does not hold them"

    def __post_init__(self) -> None:
        names = [panel.name for panel in self.panels]
        if len(set(names)) < len(names):
            raise ValueError(f"{self.stem}: names of panels must differ, got {names}")
        strangers = {arm for panel in self.panels for arm in panel.arms} - {*self.arms}
        if strangers:
            raise ValueError(
                f"{self.stem}: arms must list every arm that is drawn, lacks {sorted(strangers)}"
            )
