"""The report of a session: one JSON file, from which every other form is rendered."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from decouple.claim.device import machine
from decouple.claim.record import Record, counts, levels_in_words
from decouple.claim.spec import TIERS
from decouple.claim.trace import Trace
from decouple.claim.verdict import Verdict
from decouple.claim.writing import write_atomically

FORMAT = 1
NAME = "claims.json"


class ReportError(ValueError):
    """A report file that cannot be read as one."""


@dataclass(frozen=True, slots=True)
class Report:
    """A report as read back."""

    header: dict[str, Any]
    records: list[Record]


def write_report(
    folder: Path,
    records: Sequence[Record],
    *,
    root: Path,
    wall_seconds: float,
    arguments: Sequence[str],
    trace: Trace | None = None,
) -> Path:
    """Write `claims.json`, atomically; returns its path.

    Args:
        folder: where it goes.
        records: what was judged.
        root: the project whose revision is recorded.
        wall_seconds: how long the session took.
        arguments: what the session was called with.
        trace: which runs were read, and what the predicates compute.
    """
    ordered = sorted(
        records, key=lambda r: (r.claim.partition("/")[0], TIERS.index(r.tier), r.claim)
    )
    data = {
        "format": FORMAT,
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "revision": _revision(root),
        "arguments": list(arguments),
        "wall_seconds": round(wall_seconds, 2),
        "machine": machine(),
        "levels": levels_in_words(),
        "counts": count_by_tier(records),
        **(trace or Trace()).header(folder),
        "records": [record.as_dict() for record in ordered],
    }
    path = folder / NAME
    write_atomically(path, json.dumps(data, indent=1, ensure_ascii=False) + "\n")
    return path


def read_report(path: Path) -> Report:
    """Read a report back.

    Raises:
        ReportError: if the file is missing or is no report of this format; says which.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if data["format"] != FORMAT:
            raise ValueError(f"format must be {FORMAT}, got {data['format']}")
        records = [Record.from_dict(item) for item in data.pop("records")]
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise ReportError(f"{path.name} is no report: {error}") from error
    return Report(data, records)


def read_whole(path: Path) -> Report:
    """Read a report to compare with.

    Raises:
        ReportError: also if claims that were selected are not in it: nothing is known of them.
    """
    report = read_report(path)
    problems = report.header.get("problems")
    if problems:
        raise ReportError(f"{path.name} is not whole: {'; '.join(map(str, problems))}")
    return report


def count_by_tier(records: Sequence[Record]) -> dict[str, dict[str, dict[str, int]]]:
    """Document to tier to verdict to how many."""
    table: dict[str, dict[str, dict[str, int]]] = {}
    for stem in sorted({record.claim.partition("/")[0] for record in records}):
        for tier in TIERS:
            verdicts = [
                r.verdict for r in records if r.tier == tier and r.claim.startswith(f"{stem}/")
            ]
            if verdicts:
                table.setdefault(stem, {})[tier] = counts(verdicts)
    return table


def summary_lines(results: Sequence[tuple[Record, str]]) -> list[str]:
    """The terminal summary: a line for each claim that does not hold, then counts.

    Args:
        results: each record with what it meant for the test run.
    """
    lines = []
    for record, fate in results:
        if not Verdict(record.verdict).holds:
            lines.append(f"{record.verdict:12} {record.claim} [{record.tier}] ({fate})")
            lines.append(f"{'':12} {record.reason}")
        lines += [f"{'':12} note: {label}" for label in record.provenance.labels]
    records = [record for record, _ in results]
    for stem, tiers in count_by_tier(records).items():
        for tier, verdicts in tiers.items():
            said = ", ".join(f"{number} {verdict}" for verdict, number in verdicts.items())
            lines.append(f"{stem} [{tier}]: {said}")
    lines.append(levels_in_words())
    return lines


def _revision(root: Path) -> str:
    try:
        said = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12"],
            cwd=root,
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return said.stdout.strip()
