"""What a claim is: one finding, written once, judged on every tier that can speak to it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from decouple.claim.bands import Band
from decouple.claim.evidence import Run
from decouple.claim.figures import Figure, Value

Kind = Literal["shape", "figure", "exact"]
Tier = Literal["published", "smoke", "gpu"]
TIERS: tuple[Tier, ...] = ("published", "smoke", "gpu")

Predicate = Callable[..., Value]
"""Takes one `Run` per arm of the claim and returns a number, or a sequence for an order band."""

_ID = re.compile(r"[a-z][a-z0-9_]*/[a-z0-9][a-z0-9-]*")
_ARM = re.compile(r"[A-Za-z0-9_.-]+(:[A-Za-z0-9_.-]+)?")


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """Where the document says it."""

    section: str
    "heading in the document, or `ours` for a claim that stands beside the document's own"
    figure: str | None = None
    "the published number as prose prints it, such as 0.935 or 79%; None where it gives none"
    tables: tuple[str, ...] = ()
    "fixtures the predicate reads on the published tier; empty if no table speaks to the claim"
    transcribed: bool = False
    "the number and its band come from the very cell that would be read: judging that is no test"

    def __post_init__(self) -> None:
        if self.figure is not None:
            Figure.printed(self.figure)  # refuses what is not a number

    @property
    def printed(self) -> Figure | None:
        """The interval that the prose figure's rounding leaves."""
        return None if self.figure is None else Figure.printed(self.figure)


@dataclass(frozen=True, kw_only=True, slots=True)
class Control:
    """Arms put in the place of the claim's own, on which the claim must not hold."""

    arms: tuple[str, ...]
    "as many as the claim has; `arm:condition` reads an intervention on that arm"
    why: str
    "what is removed, so that the claim has no reason to hold"
    margin: float | None = None
    "paired difference (claim's arm − control, towards the band) that separates; None: only REFUTED"
    blocks: tuple[int, ...] = ()
    "block of seeds that each arm reads, 0 the claim's own; none given: all read the claim's own"

    def __post_init__(self) -> None:
        _check_arms(self.arms)
        if self.margin is not None and not self.margin > 0:
            raise ValueError(f"margin must be > 0 or None, got {self.margin}")
        if self.blocks and (len(self.blocks) != len(self.arms) or min(self.blocks) < 0):
            raise ValueError(
                f"blocks must be a number from 0 for each of {len(self.arms)} arms, "
                f"got {self.blocks}"
            )
        reads = list(zip(self.arms, self.blocks, strict=False))
        if any(self.blocks) and len(set(reads)) < len(reads):
            raise ValueError(f"blocks must tell equal arms apart, got {self.blocks}: {self.arms}")

    @property
    def name(self) -> str:
        """The arms in one string, for tables and messages."""
        return " | ".join(self.arms) + (" (disjoint seeds)" if any(self.blocks) else "")

    @property
    def seeds_of(self) -> tuple[int, ...]:
        """The block of seeds that each arm reads."""
        return self.blocks or (0,) * len(self.arms)


def control(*arms: str, why: str, margin: float | None = None) -> Control:
    """An arm (or as many as the claim compares) from which the claimed mechanism is removed."""
    return Control(arms=arms, why=why, margin=margin)


def null(*arms: str, margin: float | None = None, blocks: tuple[int, ...] | None = None) -> Control:
    """The null of a claim that compares arms: nothing differs between its sides but the seeds.

    Args:
        arms: The arm on both sides of a claim that compares two; for others, one for each side.
        margin: As of `control`.
        blocks: Block of seeds that each side reads (default: 0, 1, 2, …).
    """
    sides = arms * 2 if len(arms) == 1 else arms
    return Control(
        arms=sides,
        why="the same arm on both sides" if len(arms) == 1 else "sides differ by seeds alone",
        margin=margin,
        blocks=tuple(range(len(sides))) if blocks is None else blocks,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """One finding: statement, source, predicate, a band for each tier, and controls."""

    id: str
    "`<stem>/<name>`"
    statement: str
    "the finding in our own words"
    kind: Kind
    "shape: holds on any corpus and base; figure: tied to the document's own; exact: arithmetic"
    source: Source
    predicate: Predicate
    arms: tuple[str, ...] = ("published",)
    "the runs handed to the predicate, paired by seed"
    bands: dict[Tier, Band]
    "the band of each tier that can speak to the claim"
    controls: tuple[Control, ...] = ()
    note: str = ""
    "what a reader must know beside the verdict, such as: true by construction"

    def __post_init__(self) -> None:
        if not _ID.fullmatch(self.id):
            raise ValueError(
                f"id must read <stem>/<name-in-lower-case>, such as 'routing_collapse/"
                f"deepest-top-share', got {self.id!r}"
            )
        if not self.statement.strip():
            raise ValueError(f"{self.id}: statement must say the finding in words, got nothing")
        if not self.bands:
            raise ValueError(f"{self.id}: bands must name one tier at least, got none")
        _check_arms(self.arms)
        if self.kind == "exact" and self.controls:
            raise ValueError(f"{self.id}: an exact claim is arithmetic and has no controls")
        judged_on_runs = [tier for tier in self.bands if tier != "published"]
        if self.kind != "exact" and judged_on_runs and not self.controls:
            raise ValueError(
                f"{self.id}: a claim of kind {self.kind} must name a control on which it fails"
            )
        for each in self.controls:
            if len(each.arms) != len(self.arms):
                raise ValueError(
                    f"{self.id}: control {each.name} must have {len(self.arms)} arms like the "
                    f"claim, got {len(each.arms)}"
                )

    @property
    def stem(self) -> str:
        """The document's stem."""
        return self.id.partition("/")[0]

    @property
    def name(self) -> str:
        """The claim's name within its document."""
        return self.id.partition("/")[2]

    @property
    def tiers(self) -> tuple[Tier, ...]:
        """The tiers that can speak to the claim, in the order published, smoke, gpu."""
        return tuple(tier for tier in TIERS if tier in self.bands)


def claim(
    id: str,
    statement: str,
    *,
    source: Source,
    band: Band,
    smoke: Band | Literal[True] | None = None,
    published: Band | None = None,
    kind: Kind = "shape",
    arms: tuple[str, ...] = ("published",),
    controls: tuple[Control, ...] | list[Control] = (),
    note: str = "",
) -> Callable[[Predicate], Claim]:
    """Turn a predicate into a claim; pytest collects one item for each of its tiers.

    Args:
        id: `<stem>/<name>`.
        statement: the finding in our own words.
        source: where the document says it. The claim gets a published tier if the source names
            tables and is not transcribed.
        band: what the number must satisfy at the published scale: on the gpu tier, and on the
            published tier unless `published` is given.
        smoke: the band on the smoke tier; True for the same one; None if a small run cannot speak
            to the claim.
        published: another band for the document's own tables.
        kind: shape, figure or exact.
        arms: the runs that the predicate takes, paired by seed.
        controls: arms on which the claim must not hold; none only for exact claims.
        note: what a reader must know beside the verdict.

    Raises:
        ValueError: if a part contradicts another; the message names the claim and the part.
    """
    bands: dict[Tier, Band] = {}
    if source.tables and not source.transcribed:
        bands["published"] = published or band
    if smoke is not None:
        bands["smoke"] = band if smoke is True else smoke
    bands["gpu"] = band

    def decorate(predicate: Predicate) -> Claim:
        return Claim(
            id=id,
            statement=statement,
            kind=kind,
            source=source,
            predicate=predicate,
            arms=arms,
            bands=bands,
            controls=tuple(controls),
            note=note,
        )

    return decorate


def split_arm(reference: str) -> tuple[str, str | None]:
    """`arm:condition` as (arm, condition); the condition is None if the reference names none."""
    arm, _, condition = reference.partition(":")
    return arm, condition or None


def view(run: Run, reference: str) -> Run:
    """The run as an arm reference reads it: as trained, or under the condition it names."""
    condition = split_arm(reference)[1]
    return run if condition is None else run.under(condition)


def _check_arms(arms: Any) -> None:
    if not isinstance(arms, tuple) or not arms:
        raise ValueError(f"arms must be a tuple of one arm or more, got {arms!r}")
    for reference in arms:
        if not isinstance(reference, str) or not _ARM.fullmatch(reference):
            raise ValueError(f"arm must read 'arm' or 'arm:condition', got {reference!r}")
