"""What was weighed: the settings, seeds and devices behind the verdicts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from decouple.claim.record import Record, Setting
from decouple.report.figures import DOCUMENTS
from decouple.report.numbers import span


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was weighed for one document on one tier; a row of the table at the front."""

    stem: str
    title: str
    tier: str
    setting: Setting
    seeds: str
    device: str


def weighed(records: Sequence[Record], stems: Sequence[str]) -> list[Evidence]:
    """One row for each document, tier and setting, in the order of the page."""
    grouped: dict[tuple[str, str, Setting], list[Record]] = {}
    for record in records:
        key = (record.claim.partition("/")[0], record.tier, record.setting)
        grouped.setdefault(key, []).append(record)
    return [
        Evidence(
            key[0],
            DOCUMENTS[key[0]].title if key[0] in DOCUMENTS else key[0],
            *key[1:],
            seeds=_joined(span(record.provenance.seeds) for record in group),
            device=_joined(record.provenance.device for record in group),
        )
        for key, group in sorted(grouped.items(), key=lambda item: stems.index(item[0][0]))
    ]


def _joined(texts: Iterable[str]) -> str:
    return ", ".join(dict.fromkeys(filter(None, texts)))
