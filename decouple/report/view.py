"""What a page shows, put together from a report, its stored evidence and the ledger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from decouple.claim.history import Accepted
from decouple.claim.record import Record
from decouple.claim.report import count_by_tier
from decouple.report.evidence import Evidence, weighed
from decouple.report.figures import DOCUMENTS
from decouple.report.illustrate import Illustration, arms_drawn, illustrate
from decouple.report.reading import Header, Reading
from decouple.report.recorded import Ledger, read_recorded
from decouple.report.stored import Stored, read_published, read_stored
from decouple.report.strips import Plot, Strip, forest, plot
from decouple.report.text import identifier


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
    history: tuple[Accepted, ...]
    "what it said before, oldest first; its last line is what it says now"


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
    anchor: str
    title: str
    about: str
    counts: Mapping[str, Mapping[str, int]]
    presets: tuple[tuple[str, tuple[Illustration, ...]], ...]
    "preset to figures"
    notes: tuple[str, ...]
    "what could not be read or drawn"
    claims: tuple[JudgedClaim, ...]
    arms: Mapping[str, str]
    "arms to words"


@dataclass(frozen=True, slots=True)
class PageView:
    """All that the page shows."""

    header: Header
    records: Sequence[Record]
    documents: tuple[DocumentView, ...]
    evidence: tuple[Evidence, ...]
    named: int
    "runs that the report names"
    drawn: int
    "runs that the figures show"
    notes: tuple[str, ...]


def page_view(content: Reading, folder: Path, *, strict: bool) -> PageView:
    """Put a page together.

    Args:
        content: the report.
        folder: where it lies; the paths in it are relative to that.
        strict: raise what goes wrong in drawing a figure, in place of saying it on the page.
    """
    stored = read_stored(content.header.runs, folder, arms_drawn())
    fixtures = None if content.header.fixtures is None else folder / content.header.fixtures
    ledger = read_recorded(fixtures)
    stems = dict.fromkeys(record.claim.partition("/")[0] for record in content.records)
    ordered = [stem for stem in DOCUMENTS if stem in stems]
    ordered += [stem for stem in stems if stem not in DOCUMENTS]
    return PageView(
        header=content.header,
        records=content.records,
        documents=tuple(
            _document(stem, content, stored, fixtures, ledger, strict=strict) for stem in ordered
        ),
        evidence=tuple(weighed(content.records, ordered)),
        named=stored.named,
        drawn=stored.read,
        notes=(*content.notes, *filter(None, (ledger.problem,))),
    )


def _document(
    stem: str,
    content: Reading,
    stored: Stored,
    fixtures: Path | None,
    ledger: Ledger,
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
        identifier(stem),
        known.title if known else stem,
        known.about if known else "",
        count_by_tier(content.records).get(stem, {}),
        tuple(presets),
        tuple(notes),
        tuple(_claims(stem, content, ledger)),
        known.arms if known else {},
    )


def _published(fixtures: Path | None, stem: str) -> tuple[pd.DataFrame, str]:
    """The document's own figures; or none, and why they cannot be read."""
    try:
        if fixtures is None:
            raise FileNotFoundError("the report does not say where they lie")
        return read_published(fixtures, stem), ""
    except (OSError, ValueError) as error:
        return pd.DataFrame(), f"The document's own figures could not be read: {error}"


def _claims(stem: str, content: Reading, ledger: Ledger) -> list[JudgedClaim]:
    """The claims of a document in the order of its file."""
    predicates = content.header.predicates
    grouped: dict[str, list[Record]] = {}
    for record in content.records:
        if record.claim.partition("/")[0] == stem:
            grouped.setdefault(record.claim, []).append(record)

    def line(name: str) -> tuple[int, str]:
        return predicates.get(name, {}).get("line") or 0, name

    return [
        JudgedClaim(
            name,
            f"claim-{identifier(name)}",
            grouped[name][0],
            tuple(_tier(record, ledger) for record in grouped[name]),
            predicates.get(name),
        )
        for name in sorted(grouped, key=line)
    ]


def _tier(record: Record, ledger: Ledger) -> JudgedTier:
    strip = forest(record)
    return JudgedTier(
        record,
        strip,
        plot(record),
        _depth(strip),
        ledger.says(record),
        ledger.history(record),
    )


def _depth(strip: Strip | None) -> float:
    """How far inside the band the estimate is drawn, negative outside; for sorting."""
    if strip is None or strip.estimate is None:
        return -100.0
    left, width = strip.band
    return min(strip.estimate - left, left + width - strip.estimate)
