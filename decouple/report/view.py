"""What a page shows, put together from a report, its stored evidence and the ledger."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from decouple.claim.compare import compare_records, redefined
from decouple.claim.ledger import read_ledger
from decouple.claim.record import Record, Setting
from decouple.claim.report import Report
from decouple.report.figures import DOCUMENTS
from decouple.report.illustrate import Illustration, arms_drawn, illustrate
from decouple.report.numbers import interval, number, span
from decouple.report.stored import Stored, read_published, read_stored
from decouple.report.strips import Plot, Strip, forest, plot

Ledger = Mapping[tuple[str, ...], Record]


@dataclass(frozen=True, slots=True)
class JudgedTier:
    """One record as the page shows it."""

    record: Record
    forest: Strip | None
    plot: Plot | None
    place: float
    "how far inside the band, in the units of the forest plot; for sorting"
    ledger: str
    "what the ledger says of it"


@dataclass(frozen=True, slots=True)
class JudgedClaim:
    """A claim with its tiers."""

    id: str
    anchor: str
    first: Record
    "any of its records: what they share is read from it"
    tiers: tuple[JudgedTier, ...]
    predicate: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class DocumentView:
    """A document with its figures and claims."""

    stem: str
    title: str
    about: str
    counts: Mapping[str, Mapping[str, int]]
    presets: tuple[tuple[str, tuple[Illustration, ...]], ...]
    "preset to figures"
    notes: tuple[str, ...]
    "what could not be read or drawn"
    claims: tuple[JudgedClaim, ...]


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was weighed for one document on one tier; a row of the table at the front."""

    stem: str
    tier: str
    setting: Setting
    seeds: str
    device: str


@dataclass(frozen=True, slots=True)
class PageView:
    """All that the page shows."""

    header: Mapping[str, Any]
    records: Sequence[Record]
    documents: tuple[DocumentView, ...]
    evidence: tuple[Evidence, ...]
    named: int
    "runs that the report names"
    drawn: int
    "runs that the figures show"
    notes: tuple[str, ...]


def page_view(content: Report, folder: Path, *, strict: bool) -> PageView:
    """Put a page together.

    Args:
        content: the report.
        folder: where it lies; the paths in it are relative to that.
        strict: raise what goes wrong in drawing a figure, in place of saying it on the page.
    """
    stored = read_stored(content.header, folder, arms_drawn())
    fixtures = content.header.get("fixtures")
    fixtures = None if fixtures is None else folder / fixtures
    ledger, said = _ledger(fixtures)
    stems = dict.fromkeys(record.claim.partition("/")[0] for record in content.records)
    ordered = [stem for stem in DOCUMENTS if stem in stems]
    ordered += [stem for stem in stems if stem not in DOCUMENTS]
    return PageView(
        header=content.header,
        records=content.records,
        documents=tuple(
            _document(stem, content, stored, fixtures, ledger, strict=strict) for stem in ordered
        ),
        evidence=tuple(_evidence(content.records)),
        named=stored.named,
        drawn=stored.read,
        notes=(said,) if said else (),
    )


def _ledger(fixtures: Path | None) -> tuple[Ledger | None, str]:
    """The records of the ledger by key; or None, and why it cannot be read."""
    if fixtures is None or not (fixtures / "ledger").is_dir():
        return None, "The ledger is not where the report says; claims are shown without it."
    try:
        return {record.key: record for record in read_ledger(fixtures / "ledger")}, ""
    except ValueError as error:
        return None, f"The ledger could not be read: {error}"


def _document(
    stem: str,
    content: Report,
    stored: Stored,
    fixtures: Path | None,
    ledger: Ledger | None,
    *,
    strict: bool,
) -> DocumentView:
    known = DOCUMENTS.get(stem)
    notes = list(stored.problems.get(stem, ()))
    presets: list[tuple[str, tuple[Illustration, ...]]] = []
    if known is None:
        notes.append("No figures are declared for this document.")
    else:
        published, said = _published(fixtures, stem)
        notes += [said] if said else []
        for preset in stored.presets(stem):
            table = stored.tables[stem, preset]
            drawn = illustrate(known, preset, table, published, strict=strict)
            presets.append((preset, tuple(drawn)))
        if not presets:
            notes.append("No stored run of this document was read, so there are no trajectories.")
    return DocumentView(
        stem,
        known.title if known else stem,
        known.about if known else "",
        content.header["counts"].get(stem, {}),
        tuple(presets),
        tuple(notes),
        tuple(_claims(stem, content, ledger)),
    )


def _published(fixtures: Path | None, stem: str) -> tuple[pd.DataFrame, str]:
    """The document's own figures; or none, and why they cannot be read."""
    try:
        if fixtures is None:
            raise FileNotFoundError("the report does not say where they lie")
        return read_published(fixtures, stem), ""
    except (OSError, ValueError) as error:
        return pd.DataFrame(), f"The document's own figures could not be read: {error}"


def _claims(stem: str, content: Report, ledger: Ledger | None) -> list[JudgedClaim]:
    """The claims of a document in the order of its file."""
    predicates = content.header.get("predicates") or {}
    grouped: dict[str, list[Record]] = {}
    for record in content.records:
        if record.claim.partition("/")[0] == stem:
            grouped.setdefault(record.claim, []).append(record)

    def line(name: str) -> tuple[int, str]:
        return predicates.get(name, {}).get("line") or 0, name

    return [
        JudgedClaim(
            name,
            f"claim-{name.replace('/', '-')}",
            grouped[name][0],
            tuple(_tier(record, ledger) for record in grouped[name]),
            predicates.get(name),
        )
        for name in sorted(grouped, key=line)
    ]


def _tier(record: Record, ledger: Ledger | None) -> JudgedTier:
    strip = forest(record)
    return JudgedTier(record, strip, plot(record), _depth(strip), _of_record(record, ledger))


def _depth(strip: Strip | None) -> float:
    """How far inside the band the estimate is drawn, negative outside; for sorting."""
    if strip is None or strip.estimate is None:
        return -100.0
    left, width = strip.band
    return min(strip.estimate - left, left + width - strip.estimate)


def _of_record(record: Record, ledger: Ledger | None) -> str:
    if ledger is None:
        return "not read"
    before = ledger.get(record.key)
    if before is None:
        return "not on record"
    was = " ".join(
        filter(None, (before.verdict, number(before.estimate), interval(before.interval)))
    )
    changed = redefined(before, record)
    if changed:
        return f"{changed} since it was recorded as {was}: another claim"
    return f"{compare_records(before, record).outcome}; on record: {was}"


def _evidence(records: Sequence[Record]) -> list[Evidence]:
    """One row for each document, tier and setting, in the order of the records."""
    grouped: dict[tuple[str, str, Setting], list[Record]] = {}
    for record in records:
        key = (record.claim.partition("/")[0], record.tier, record.setting)
        grouped.setdefault(key, []).append(record)
    return [
        Evidence(
            *key,
            seeds=_joined(span(record.provenance.seeds) for record in group),
            device=_joined(record.provenance.device for record in group),
        )
        for key, group in grouped.items()
    ]


def _joined(texts: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(filter(None, texts)))
