"""The evidence behind a report, read back from the stores that its header names."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import pandas as pd

from decouple.claim.published import OWN_ARM, load_table
from decouple.claim.store import DamagedEntryError, read_entry

FINISHED = "finished"
COLUMNS = ("arm", "seed", "step", "metric", "value")


@dataclass(slots=True)
class Stored:
    """What could be read, and what could not."""

    tables: dict[tuple[str, str], pd.DataFrame] = field(default_factory=dict)
    "document and preset to the rows of all runs that finished"
    problems: dict[str, list[str]] = field(default_factory=dict)
    "document to sentences about runs that could not be read"
    named: int = 0
    "how many runs the report names"
    read: int = 0

    def presets(self, stem: str) -> list[str]:
        """Presets of a document of which runs were read."""
        return [preset for document, preset in self.tables if document == stem]


def read_stored(
    runs: Mapping[str, str], folder: Path, arms: Mapping[str, Container[str]]
) -> Stored:
    """Read the runs that a report was judged on, of the arms that are drawn.

    A run that is gone, damaged, or no longer the one that was judged becomes a sentence.

    Args:
        runs: folder of each run, relative to the report, to the sha256 of its table.
        folder: where the report lies.
        arms: document to the arms that are wanted.
    """
    found = Stored()
    rows: dict[tuple[str, str], list[pd.DataFrame]] = {}
    for name, sha256 in runs.items():
        document, preset, arm, run = ("", "", "", *PurePosixPath(name).parts)[-4:]
        found.named += 1
        if arm not in arms.get(document, ()):
            continue
        try:
            entry = read_entry(folder / name)
            if entry.manifest["sha256"] != sha256:
                raise DamagedEntryError(f"{run}: not the run that was judged")
            _check_columns(entry.table, run)
        except DamagedEntryError as error:
            found.problems.setdefault(document, []).append(f"{preset}, {arm}: {error}")
            continue
        status = entry.manifest["status"]
        if status != FINISHED:
            sentence = f"{preset}, {arm}: {run} did not finish: {status}"
            found.problems.setdefault(document, []).append(sentence)
            continue
        found.read += 1
        rows.setdefault((document, preset), []).append(entry.table)
    found.tables = {key: pd.concat(tables, ignore_index=True) for key, tables in rows.items()}
    return found


def _check_columns(table: pd.DataFrame, run: str) -> None:
    """A table that is whole may still be another's: of a fork, or of another version."""
    missing = [name for name in COLUMNS if name not in table.columns]
    if missing:
        raise DamagedEntryError(f"{run}: the table lacks {', '.join(missing)}")
    if table[["seed", "step"]].select_dtypes("number").shape[1] < 2:
        raise DamagedEntryError(f"{run}: seed and step must be numbers")


def read_published(fixtures: Path, stem: str) -> pd.DataFrame:
    """All figures that a document's tables print, as the middle of what their rounding leaves."""
    tables = [load_table(path) for path in sorted((fixtures / "published" / stem).glob("*.csv"))]
    if not tables:
        return pd.DataFrame()
    table = pd.concat(tables, ignore_index=True)
    table["value"] = (table["low"] + table["high"]) / 2
    table["arm"] = table["arm"].fillna(OWN_ARM) if "arm" in table else OWN_ARM
    return table
