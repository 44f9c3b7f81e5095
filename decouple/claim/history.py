"""The ledger's history: every record that was ever accepted, one CSV file for each document.

A row is added when a record is accepted that reads differently from the one before, or is
withdrawn. Rows are never changed or removed, so that what was refuted, redefined or withdrawn stays
to be seen.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from datetime import date
from pathlib import Path
from typing import Any

from decouple.claim.record import Record
from decouple.claim.writing import write_atomically

FOLDER = "history"
"""Folder of the histories, in that of the ledger."""

WITHDRAWN = "WITHDRAWN"
"""In the place of a verdict, of what was taken off the ledger."""


class HistoryError(ValueError):
    """A history file that cannot be read as one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Accepted:
    """A record as it was accepted; all text, as in the file."""

    accepted: str
    "date, year-month-day"
    claim: str
    tier: str
    preset: str
    base_model: str
    corpus: str
    tokenizer: str
    verdict: str
    estimate: str
    low: str
    high: str
    arms: str
    band: str
    "in words"
    controls: str
    "each with the distance that separates it, where one is stated"
    seeds: str
    "those that judged, separated by spaces"
    code: str
    "fingerprint of the experiment's code"
    why: str
    "what was said when it was accepted"

    @property
    def key(self) -> tuple[str, ...]:
        """As of `Record.key`."""
        return (
            self.claim,
            self.tier,
            self.preset,
            self.base_model,
            self.corpus,
            self.tokenizer,
        )

    @property
    def reading(self) -> tuple[str, ...]:
        """What must differ for a record to be news: other code with the same numbers is none."""
        numbers = (self.estimate, self.low, self.high)
        return (self.verdict, *numbers, self.arms, self.band, self.controls, self.seeds)

    def __str__(self) -> str:
        text = f"{self.accepted} {self.verdict}"
        if self.estimate:
            text += f" {float(self.estimate):.4g}"
        if self.low:
            text += f" [{float(self.low):.4g}, {float(self.high):.4g}]"
        if self.seeds:
            text += f" over {len(self.seeds.split())} seeds"
        if self.band:
            text += f", band {self.band}"
        return f"{text} ({self.why})" if self.why else text


def accepted_record(record: Record, *, on: date, why: str = "") -> Accepted:
    """The row of a record accepted on a day."""
    low, high = record.interval or (None, None)
    setting = record.setting
    return Accepted(
        accepted=on.isoformat(),
        claim=record.claim,
        tier=record.tier,
        preset=setting.preset,
        base_model=setting.base_model,
        corpus=setting.corpus,
        tokenizer=setting.tokenizer,
        verdict=record.verdict,
        estimate=_number(record.estimate),
        low=_number(low),
        high=_number(high),
        arms=" | ".join(record.arms),
        band=str(record.band["words"]),
        controls="; ".join(map(_control, record.controls)),
        seeds=" ".join(map(str, record.provenance.seeds)),
        code=record.provenance.code,
        why=" ".join(why.split()),
    )


def withdrawn_record(record: Record, *, on: date, why: str) -> Accepted:
    """The row that says that there is no such record any more."""
    row = accepted_record(record, on=on, why=why)
    nothing = {"estimate": "", "low": "", "high": "", "band": "", "seeds": "", "code": ""}
    return replace(row, verdict=WITHDRAWN, **nothing)


def read_history(ledger: Path) -> dict[tuple[str, ...], list[Accepted]]:
    """All that was accepted, by key, oldest first; empty if there is none.

    Args:
        ledger: Folder of the ledger.

    Raises:
        HistoryError: If a file is no history; names it.
    """
    found: dict[tuple[str, ...], list[Accepted]] = {}
    for path in sorted((ledger / FOLDER).glob("*.csv")):
        for row in _rows(path):
            found.setdefault(row.key, []).append(row)
    return found


def extend_history(ledger: Path, rows: Iterable[Accepted]) -> None:
    """Add rows to the files of their documents, but for those that read as the one before."""
    new: dict[str, list[Accepted]] = {}
    for row in rows:
        new.setdefault(row.claim.partition("/")[0], []).append(row)
    for stem, candidates in new.items():
        path = ledger / FOLDER / f"{stem}.csv"
        kept = _rows(path) if path.exists() else []
        last = {row.key: row for row in kept}
        for row in candidates:
            before = last.get(row.key)
            if before is None or before.reading != row.reading:
                kept.append(row)
                last[row.key] = row
        _write(path, kept)


def _rows(path: Path) -> list[Accepted]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            expected = [field.name for field in fields(Accepted)]
            if reader.fieldnames != expected:
                raise ValueError(f"columns must be {', '.join(expected)}, got {reader.fieldnames}")
            rows = list(reader)
        for row in rows:
            if None in row or None in row.values():
                raise ValueError(f"a row does not fit its columns: {row}")
            date.fromisoformat(row["accepted"])
        return [Accepted(**row) for row in rows]
    except (OSError, ValueError, csv.Error) as error:
        raise HistoryError(f"{FOLDER}/{path.name}: {error}") from error


def _write(path: Path, rows: Iterable[Accepted]) -> None:
    text = io.StringIO()
    names = [field.name for field in fields(Accepted)]
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(row) for row in rows)
    write_atomically(path, text.getvalue())


def _control(control: Mapping[str, Any]) -> str:
    apart = control.get("separates_by")
    return str(control["arms"]) + ("" if apart is None else f" (by {apart:.8g})")


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.8g}"
