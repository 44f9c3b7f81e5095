"""The one comparator: records of before against records of after.

The ledger against a run, one saved report against another, one revision against the next: all go
through `compare`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum

from decouple.claim.record import Record, doubts, rounded
from decouple.claim.statistics import MINIMUM_SEEDS, summarise
from decouple.claim.verdict import Verdict

Key = tuple[str, ...]
"""Claim, tier and setting of a record."""


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

    key: Key
    outcome: Outcome
    before: Record | None
    after: Record | None
    difference: float | None = None
    "mean over shared seeds of after − before, in the units of the judged number"
    interval: tuple[float, float] | None = None
    "its t-interval at the support tail"
    redefined: str = ""
    "what of the claim itself changed, so that its verdicts answer different questions"
    notes: tuple[str, ...] = ()
    "what else a reader must know: other seeds, another predicate, doubtful evidence"

    def __str__(self) -> str:
        claim, tier = self.key[:2]
        before = self.before.verdict if self.before else "–"
        after = self.after.verdict if self.after else "–"
        text = f"{self.outcome}: {claim} [{tier}] {before} → {after}"
        if self.difference is not None and self.interval is not None:
            low, high = self.interval
            text += f", difference {self.difference:.3g} [{low:.3g}, {high:.3g}]"
        if self.redefined:
            text += f"; {self.redefined}: another claim"
        return "; ".join([text, *self.notes])


def redefined(before: Record, after: Record) -> str:
    """What of the claim itself changed between two records, or of its setting; or nothing."""
    parts: dict[str, Callable[[Record], object]] = {
        "band": lambda r: [r.band.get(name) for name in ("kind", "low", "high")],
        "arms": lambda r: r.arms,
        "controls": lambda r: [[c["arms"], c.get("separates_by")] for c in r.controls],
    }
    changed = [
        name for name, part in parts.items() if rounded(part(before)) != rounded(part(after))
    ]
    old, new = asdict(before.setting), asdict(after.setting)
    changed += [
        f"{name} ({old[name] or 'none'} → {new[name] or 'none'})"
        for name in old
        if old[name] != new[name]
    ]
    return f"{', '.join(changed)} changed" if changed else ""


def _notes(before: Record, after: Record) -> tuple[str, ...]:
    notes = []
    if before.predicate and after.predicate and before.predicate != after.predicate:
        notes.append("predicate changed")
    seeds = [" ".join(map(str, record.provenance.seeds)) for record in (before, after)]
    if seeds[0] != seeds[1] and all(seeds):
        notes.append(f"seeds {seeds[0]} → {seeds[1]}")
    for side, record in (("before", before), ("after", after)):
        notes += [f"{side}: {label}" for label in doubts(record)]
    return tuple(notes)


def compare(
    before: Iterable[Record], after: Iterable[Record], *, moved: bool = False
) -> list[Comparison]:
    """Compare two sets of records, matched by claim, tier and setting; sorted by key.

    Args:
        before: What was.
        after: What is.
        moved: Match a claim also that each side has once on a tier, under different settings: where
            the corpus was changed, or the experiment cannot say any more what it reads, no claim is
            gone. A ledger may hold one claim under several settings.

    Raises:
        ValueError: if a set holds two records of one key.
    """
    old, new = _by_key(before, "before"), _by_key(after, "after")
    now = _moved(old.keys() - new.keys(), new.keys() - old.keys()) if moved else {}
    return [
        compare_records(old.get(key), new.get(now.get(key, key)))
        for key in sorted({*old, *new} - set(now.values()))
    ]


def _moved(gone: Iterable[Key], come: Iterable[Key]) -> dict[Key, Key]:
    """Old key to new, of claims that either side has once on a tier, under different settings."""
    places: dict[tuple[str, ...], tuple[list[Key], list[Key]]] = {}
    for side, keys in enumerate((gone, come)):
        for key in keys:
            places.setdefault(key[:2], ([], []))[side].append(key)
    return {old[0]: new[0] for old, new in places.values() if len(old) == 1 and len(new) == 1}


def compare_records(before: Record | None, after: Record | None) -> Comparison:
    """Compare one claim's records; either may be missing, not both.

    Of a claim that was redefined, or of evidence that other code made, nothing can be told: a band
    that was widened repairs no result.
    """
    if before is None and after is not None:
        return Comparison(key=after.key, outcome=Outcome.NEW, before=None, after=after)
    if after is None and before is not None:
        return Comparison(key=before.key, outcome=Outcome.GONE, before=before, after=None)
    if before is None or after is None:
        raise ValueError("compare_records must get one record at least, got none")
    outcome = compare_verdicts(before.verdict, after.verdict)
    changed = redefined(before, after)
    doubtful = changed or doubts(before) or doubts(after)
    judged = Verdict(before.verdict).judged or Verdict(after.verdict).judged
    if doubtful and judged and Verdict(after.verdict) is not Verdict.ERROR:
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
        notes=_notes(before, after),
    )


def _by_key(records: Iterable[Record], name: str) -> dict[Key, Record]:
    found: dict[Key, Record] = {}
    for record in records:
        if record.key in found:
            raise ValueError(f"{name} must hold each claim and tier once, got {record.key} twice")
        found[record.key] = record
    return found
