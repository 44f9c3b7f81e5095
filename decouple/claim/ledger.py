"""The ledger: the committed report of record, one JSON file for each document.

A record in it is the verdict that was last accepted by a person. What a run measures is compared
with it; `propose` shows what would change, and only `write` changes it.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from decouple.claim.compare import Comparison, compare
from decouple.claim.history import accepted_record, extend_history, withdrawn_record
from decouple.claim.record import Record, doubts, rounded
from decouple.claim.verdict import Verdict
from decouple.claim.writing import write_atomically

FORMAT = 1


class LedgerError(ValueError):
    """A ledger file that cannot be read as one."""


def read_ledger(folder: Path) -> list[Record]:
    """All records of a ledger folder; empty if there is no folder.

    Raises:
        LedgerError: if a file is not a ledger; names it.
    """
    records = []
    for path in sorted(folder.glob("*.json")):
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            if data["format"] != FORMAT:
                raise ValueError(f"format must be {FORMAT}, got {data['format']}")
            records += [Record.from_dict(item) for item in data["records"]]
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise LedgerError(f"{path.name}: {error}") from error
    return records


def propose(ledger: Iterable[Record], measured: Iterable[Record]) -> list[Comparison]:
    """What accepting the measured records would change: new ones, and those that read differently.

    Never proposed: what judged nothing (ERROR, UNRUN), stale or mixed evidence, and seeds other
    than 0, 1, 2, …, which somebody may have chosen. What was not measured stays as it is.
    """
    measured = [record for record in measured if _fit_for_record(record)]
    changed = []
    for comparison in compare(ledger, measured):
        before, after = comparison.before, comparison.after
        if after is None:
            continue
        if before is None or _of_record(before) != _of_record(after):
            changed.append(comparison)
    return changed


def write_ledger(
    folder: Path,
    ledger: Iterable[Record],
    accepted: Iterable[Comparison],
    *,
    withdrawn: Collection[str] = (),
    on: date | None = None,
    why: str = "",
) -> None:
    """Write the ledger with the accepted changes, atomically, one file for each document.

    Args:
        folder: Of the ledger.
        ledger: Its records as they stand.
        accepted: What changes.
        withdrawn: Ids of claims whose records are taken off.
        on: The date that goes into the history (default: today, UTC).
        why: What to say of the changes there.

    Raises:
        decouple.claim.history.HistoryError: if the history cannot be read; nothing is written then.
    """
    records = {record.key: record for record in ledger}
    new = [change.after for change in accepted if change.after is not None]
    records |= {record.key: record for record in new}
    off = [record for record in records.values() if record.claim in withdrawn]
    folder.mkdir(parents=True, exist_ok=True)
    day = on or datetime.now(UTC).date()
    # First, as it takes a record twice and holds it once: a crash in between loses nothing.
    rows = [accepted_record(record, on=day, why=why) for record in new]
    rows += [withdrawn_record(record, on=day, why=why) for record in off]
    extend_history(folder, rows)
    stems = {key[0].partition("/")[0] for key in records}
    documents: dict[str, list[dict[str, Any]]] = {stem: [] for stem in sorted(stems)}
    for key in sorted(records):
        if key[0] not in withdrawn:
            documents[key[0].partition("/")[0]].append(_of_record(records[key]))
    for stem, items in documents.items():
        text = json.dumps({"format": FORMAT, "records": items}, indent=1, ensure_ascii=False)
        write_atomically(folder / f"{stem}.json", text + "\n")


def _fit_for_record(record: Record) -> bool:
    seeds = record.provenance.seeds
    return (
        Verdict(record.verdict).judged and seeds == tuple(range(len(seeds))) and not doubts(record)
    )


def _of_record(record: Record) -> dict[str, Any]:
    """What the ledger keeps: numbers to eight digits, lest the last bits of a CPU be news."""
    kept = record.as_dict()
    kept.pop("command")
    return {name: rounded(value) for name, value in kept.items()} | {"command": ""}
