"""The documents' own tables, transcribed digit by digit under `fixtures/published/<stem>/`.

A file is CSV with comment lines that name its source, tidy columns (metric, step, layer, …) and
`value` as printed: "0.250" and "0.25" are different figures, since their rounding differs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd

from decouple.claim.evidence import Run
from decouple.claim.figures import Figure

OWN_ARM = "published"
"""The arm that a document reports unless its table names others."""


class MissingTableError(FileNotFoundError):
    """A claim names a table that has not been transcribed."""


def load_table(path: Path) -> pd.DataFrame:
    """One transcribed table with the interval of each figure in `low` and `high`.

    Raises:
        MissingTableError: if there is no such file; names those there are.
        ValueError: if it lacks a source line or a column, or a value is no number.
    """
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in path.parent.glob("*.csv"))) or "none"
        raise MissingTableError(
            f"table must be one of {known} in {path.parent.name}, got {path.stem!r}"
        )
    if not path.read_text(encoding="utf-8").startswith("# source: "):
        raise ValueError(
            f"{path.name} must begin with a line '# source: <section of the document>'"
        )
    table = pd.read_csv(path, comment="#", dtype={"value": str})
    missing = sorted({"metric", "step", "value"} - set(table.columns))
    if missing:
        raise ValueError(f"{path.name} must have the columns metric, step, value; lacks {missing}")
    figures = [Figure.printed(str(text)) for text in table["value"]]
    table["low"] = [figure.low for figure in figures]
    table["high"] = [figure.high for figure in figures]
    return table


def load_tables(folder: Path, names: Iterable[str], arms: Sequence[str]) -> list[Run]:
    """Some tables of one document, as the runs that a predicate takes: one for each arm.

    A table without a column `arm` reports the arm `published`.

    Raises:
        MissingTableError: if one is not there.
        ValueError: if one is malformed, or no table reports one of the arms.
    """
    names = list(names)
    label = f"tables {', '.join(names)}"
    tables = pd.concat([load_table(folder / f"{name}.csv") for name in names], ignore_index=True)
    tables["arm"] = tables["arm"].fillna(OWN_ARM) if "arm" in tables else OWN_ARM
    runs = []
    for arm in arms:
        rows = tables[tables["arm"] == arm]
        if rows.empty:
            known = ", ".join(sorted(set(tables["arm"])))
            raise ValueError(f"{label} must report arm {arm!r}, they have {known}")
        runs.append(Run(rows, label=f"{label}, arm {arm}"))
    return runs
