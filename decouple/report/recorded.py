"""What the ledger says of a record, now and before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from decouple.claim.compare import compare_records
from decouple.claim.history import Accepted, read_history
from decouple.claim.ledger import read_ledger
from decouple.claim.record import Record
from decouple.report.numbers import interval, number


@dataclass(frozen=True, slots=True)
class Ledger:
    """The ledger, as far as it could be read."""

    records: Mapping[tuple[str, ...], Record] = field(default_factory=dict)
    past: Mapping[tuple[str, ...], Sequence[Accepted]] = field(default_factory=dict)
    problem: str = ""
    "why it could not be read"

    def says(self, record: Record) -> str:
        """What became of the record, in words."""
        if self.problem:
            return "not read"
        before = self.records.get(record.key)
        if before is None:
            return "not on record"
        was = " ".join(
            filter(None, (before.verdict, number(before.estimate), interval(before.interval)))
        )
        comparison = compare_records(before, record)
        if comparison.redefined:
            return f"{comparison.redefined} since it was recorded as {was}: another claim"
        return f"{comparison.outcome}; on record: {was}"

    def history(self, record: Record) -> tuple[Accepted, ...]:
        """All that was ever accepted for it, oldest first."""
        return tuple(self.past.get(record.key, ()))


def read_recorded(fixtures: Path | None) -> Ledger:
    """The ledger below a folder of fixtures."""
    folder = None if fixtures is None else fixtures / "ledger"
    if folder is None or not folder.is_dir():
        problem = "The ledger is not where the report says; claims are shown without it."
        return Ledger(problem=problem)
    try:
        records = {record.key: record for record in read_ledger(folder)}
        return Ledger(records, read_history(folder))
    except ValueError as error:
        return Ledger(problem=f"The ledger could not be read: {error}")
