"""The one comparator: records of before against records of after.

The ledger against a run, one saved report against another, one revision against the next: all go
through `compare`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum

from decouple.claim.record import Record, rounded
from decouple.claim.statistics import MINIMUM_SEEDS, summarise
from decouple.claim.verdict import Verdict


class Outcome(StrEnum):
    """What became of a claim."""

    BROKEN = "broken"
    WEAKENED = "weakened"
    HELD = "held"
    STRENGTHENED = "strengthened"
    REPAIRED = "repaired"
    CANNOT_TELL = "cannot tell"
    NEW = "new"
    GONE = "gone"


UNCOMFORTABLE = frozenset({Outcome.BROKEN, Outcome.REPAIRED})
"""A flip either way: the record is no longer true. Fails a run that is compared with the ledger."""

DOUBTFUL = frozenset({Outcome.WEAKENED, Outcome.CANNOT_TELL})
"""Reported; fails only under the strict option."""

_RANK = {
    Verdict.SUPPORTED: 1,
    Verdict.CONSISTENT: 1,
    Verdict.INCONCLUSIVE: 0,
    Verdict.REFUTED: -1,
    Verdict.VACUOUS: -1,
    Verdict.CONTRADICTED: -1,
}


def compare_verdicts(before: str, after: str) -> Outcome:
    """What it means that a claim's verdict went from one to the other.

    An ERROR after anything but an ERROR is broken; UNRUN tells nothing. REFUTED and VACUOUS are
    different findings: one becoming the other breaks the record.
    """
    old, new = Verdict(before), Verdict(after)
    if old is new:
        return Outcome.HELD
    if new is Verdict.ERROR:
        return Outcome.BROKEN
    if new is Verdict.UNRUN or not old.judged:
        return Outcome.CANNOT_TELL
    before_rank, after_rank = _RANK[old], _RANK[new]
    if before_rank == after_rank:
        return Outcome.BROKEN
    if after_rank > before_rank:
        if new is Verdict.INCONCLUSIVE:
            return Outcome.CANNOT_TELL
        return Outcome.REPAIRED if before_rank < 0 else Outcome.STRENGTHENED
    return Outcome.BROKEN if after_rank < 0 and before_rank > 0 else Outcome.WEAKENED


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """One claim before and after."""

    key: tuple[str, ...]
    outcome: Outcome
    before: Record | None
    after: Record | None
    difference: float | None = None
    "mean over shared seeds of after − before, in the units of the judged number"
    interval: tuple[float, float] | None = None
    "its t-interval at the support tail"
    redefined: str = ""
    "what of the claim itself changed, so that its verdicts answer different questions"

    def __str__(self) -> str:
        claim, tier = self.key[:2]
        before = self.before.verdict if self.before else "–"
        after = self.after.verdict if self.after else "–"
        text = f"{self.outcome}: {claim} [{tier}] {before} → {after}"
        if self.difference is not None and self.interval is not None:
            low, high = self.interval
            text += f", difference {self.difference:.3g} [{low:.3g}, {high:.3g}]"
        return f"{text}; {self.redefined}: another claim" if self.redefined else text


def redefined(before: Record, after: Record) -> str:
    """What of the claim itself changed between two records: band, arms or controls; or nothing."""
    parts: dict[str, Callable[[Record], object]] = {
        "band": lambda r: [r.band.get(name) for name in ("kind", "low", "high")],
        "arms": lambda r: r.arms,
        "controls": lambda r: [
            [c["arms"], (c["separation"] or {}).get("margin")] for c in r.controls
        ],
    }
    changed = [
        name for name, part in parts.items() if rounded(part(before)) != rounded(part(after))
    ]
    return f"{', '.join(changed)} changed" if changed else ""


def compare(before: Iterable[Record], after: Iterable[Record]) -> list[Comparison]:
    """Compare two sets of records, matched by claim, tier and setting; sorted by key.

    Raises:
        ValueError: if a set holds two records of one key.
    """
    old, new = _by_key(before, "before"), _by_key(after, "after")
    return [compare_records(old.get(key), new.get(key)) for key in sorted({*old, *new})]


def compare_records(before: Record | None, after: Record | None) -> Comparison:
    """Compare one claim's records; either may be missing, not both.

    Of a claim that was redefined nothing can be told: a band that was widened repairs no result.
    """
    if before is None and after is not None:
        return Comparison(key=after.key, outcome=Outcome.NEW, before=None, after=after)
    if after is None and before is not None:
        return Comparison(key=before.key, outcome=Outcome.GONE, before=before, after=None)
    if before is None or after is None:
        raise ValueError("compare_records must get one record at least, got none")
    outcome = compare_verdicts(before.verdict, after.verdict)
    changed = redefined(before, after)
    if changed and Verdict(after.verdict) is not Verdict.ERROR:
        outcome = Outcome.CANNOT_TELL
    difference = interval = None
    shared = [seed for seed in after.values if seed in before.values]
    changes = [after.values[seed] - before.values[seed] for seed in shared]
    if len(shared) >= MINIMUM_SEEDS and all(map(math.isfinite, changes)):
        summary = summarise(changes)
        difference, interval = summary.mean, (summary.low, summary.high)
    return Comparison(
        key=after.key,
        outcome=outcome,
        before=before,
        after=after,
        difference=difference,
        interval=interval,
        redefined=changed,
    )


def _by_key(records: Iterable[Record], name: str) -> dict[tuple[str, ...], Record]:
    found: dict[tuple[str, ...], Record] = {}
    for record in records:
        if record.key in found:
            raise ValueError(f"{name} must hold each claim and tier once, got {record.key} twice")
        found[record.key] = record
    return found
