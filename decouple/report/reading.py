"""A report as pages need it: a header that lacks nothing, records that are whole, and what is not.

A file that is no report is refused by `read_report`. One that is may still have been cut, edited or
written by another version; what is wrong with it becomes sentences, and the rest is shown.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from decouple.claim.figures import Figure
from decouple.claim.record import Record
from decouple.claim.report import ReportError, read_report
from decouple.claim.spec import TIERS
from decouple.report.numbers import MISSING


@dataclass(frozen=True, kw_only=True, slots=True)
class Header:
    """What a session said of itself."""

    made: str
    revision: str
    arguments: tuple[str, ...]
    wall_seconds: float | None
    machine: Mapping[str, str]
    levels: str
    fixtures: str | None
    "folder of the published tables and the ledger, relative to the report"
    runs: Mapping[str, str]
    "folder of each stored run, relative to the report, to the sha256 of its table"
    predicates: Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Reading:
    """A report read back."""

    header: Header
    records: list[Record]
    notes: tuple[str, ...]
    "what is missing or damaged, as sentences"


def read(path: Path) -> Reading:
    """Read a report.

    Raises:
        decouple.claim.report.ReportError: if the file is missing or no report.
    """
    try:
        content = read_report(path)
    except AttributeError as error:  # where an object is expected, something else
        raise ReportError(f"{path.name} is no report: {error}") from error
    notes: list[str] = []

    def part(name: str, made: Callable[[Any], Any], otherwise: Any) -> Any:
        if name not in content.header:
            return otherwise
        try:
            return made(content.header[name])
        except (AttributeError, KeyError, TypeError, ValueError):
            notes.append(f"The report's {name} cannot be read and is left out.")
            return otherwise

    missing = part("problems", lambda found: list(map(_text, found)), [])
    notes += [f"Claims are missing: {problem}." for problem in missing]
    machine = part("machine", lambda found: {k: str(v) for k, v in found.items()}, {})
    parts = ("processor", "cores", "system", "python")
    header = Header(
        made=part("made", _moment, MISSING),
        revision=part("revision", str, MISSING),
        arguments=part("arguments", lambda found: tuple(map(str, found)), ()),
        wall_seconds=part("wall_seconds", float, None),
        machine={name: machine.get(name, MISSING) for name in parts},
        levels=part("levels", str, ""),
        fixtures=part("fixtures", lambda found: None if found is None else _text(found), None),
        runs=part("evidence", _runs, {}),
        predicates=part("predicates", _predicates, {}),
    )
    whole = []
    for position, record in enumerate(content.records):
        try:
            _check(record)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            said = f"{type(error).__name__}: {error}"
            name = f"{record.claim} [{record.tier}]"
            notes.append(f"Record {position + 1}, {name}, is damaged and not shown ({said}).")
        else:
            whole.append(record)
    return Reading(header, whole, tuple(notes))


def _moment(text: str) -> str:
    return f"{datetime.fromisoformat(text).astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _runs(stores: list[Mapping[str, Any]]) -> dict[str, str]:
    return {
        f"{_text(store['store'])}/{name}": _text(sha256)
        for store in stores
        for name, sha256 in store["runs"].items()
    }


def _predicates(found: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        claim: {
            "file": _text(predicate["file"]),
            "line": None if predicate["line"] is None else int(predicate["line"]),
            "text": _text(predicate["text"]),
        }
        for claim, predicate in found.items()
    }


def _check(record: Record) -> None:
    """Raises what is wrong with a record that cannot be shown."""
    if record.tier not in TIERS:
        raise ValueError(f"tier must be one of {', '.join(TIERS)}, got {record.tier!r}")
    stem, _, name = record.claim.partition("/")
    if not (stem and name):
        raise ValueError(f"claim must be document/name, got {record.claim!r}")
    for text in (record.statement, record.reason, record.kind, record.note, record.command):
        _text(text)
    for text in (record.source["section"], *record.source["tables"], *record.arms):
        _text(text)
    if record.source["figure"] is not None:
        Figure.printed(record.source["figure"])
    for text in (record.band["words"], record.band["because"]):
        _text(text)
    for number in (record.band["low"], record.band["high"], record.margin, record.detectable):
        _number(number)
    for control in record.controls:
        for text in ("arms", "why", "verdict", "sentence"):
            _text(control[text])
        if control.get("separation") is not None:
            _text(control["separation"]["sentence"])
            _text(control["separation"]["verdict"])
    for each in ({"estimate": record.estimate, "interval": record.interval}, *record.controls):
        _number(each.get("estimate"))
        ends = each.get("interval")
        if ends is not None and len(ends) != 2:
            raise ValueError(f"interval must have two ends, got {ends}")
        for number in (*(ends or ()), *dict(each.get("values") or {}).values()):
            _number(number)
    for text in (*dict(record.provenance.libraries).values(), *record.provenance.labels):
        _text(text)
    for seed in (*record.provenance.seeds, *record.provenance.calibration):
        int(seed)


def _text(found: Any) -> str:
    if not isinstance(found, str):
        raise TypeError(f"expected a text, got {found!r}")
    return found


def _number(found: Any) -> None:
    """A number, nothing, or the text that stands for one that JSON cannot hold."""
    if found is not None:
        float(found)
