"""Generated text side by side."""

from __future__ import annotations

from dataclasses import dataclass

from decouple.report.figures.data import (
    TRAINED,
    Data,
    NothingToDrawError,
    absent,
    fixed,
    plain,
)
from decouple.report.figures.panels import Samples
from decouple.report.text import unfolded, visible

TEXT_LIMIT = 700
"""Characters of a generation that are shown."""


@dataclass(frozen=True, slots=True)
class TextTable:
    """Generations of one prompt: a row for each step, a column for each arm and seed."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[str, ...]], ...]


def samples(panel: Samples, data: Data) -> tuple[TextTable, ...]:
    """The generations of a panel, one table for each prompt.

    Raises:
        NothingToDrawError: if no run holds text.
    """
    table = data.measured
    if table.empty or panel.text not in table.columns:
        raise NothingToDrawError(absent(panel.title, (panel.metric,), panel.arms, table))
    rows = table[(table["metric"] == panel.metric) & table["arm"].isin(panel.arms)]
    rows = fixed(rows, {"condition": TRAINED, **panel.where}, ())
    rows = rows[rows[panel.text].notna()]
    if rows.empty:
        raise NothingToDrawError(absent(panel.title, (panel.metric,), panel.arms, table))
    if panel.group not in rows.columns:
        rows = rows.assign(**{panel.group: 0})
    shown = [
        (arm, seed)
        for arm in panel.arms
        for seed in sorted(rows.loc[rows["arm"] == arm, "seed"].unique())[: panel.seeds]
    ]
    tables = []
    for group, part in rows.groupby(panel.group):
        texts = {
            (str(arm), int(seed), int(step)): str(text)
            for arm, seed, step, text in zip(
                part["arm"], part["seed"], part["step"], part[panel.text], strict=True
            )
        }
        tables.append(
            TextTable(
                _title(panel.group, plain(group)),
                tuple(f"{panel.names.get(arm, arm)}, seed {seed}" for arm, seed in shown),
                tuple(
                    (
                        f"{panel.x_label} {step}",
                        tuple(_cut(texts.get((arm, seed, step), "")) for arm, seed in shown),
                    )
                    for step in sorted(part["step"].unique())
                ),
            )
        )
    return tuple(tables)


def _cut(text: str) -> str:
    whole = visible(unfolded(text))
    return whole if len(whole) <= TEXT_LIMIT else f"{whole[:TEXT_LIMIT]} …"


def _title(name: str, group: object) -> str:
    return (
        f"{name}: {' '.join(unfolded(group).split())}"
        if isinstance(group, str)
        else f"{name} {group}"
    )
