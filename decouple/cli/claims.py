"""`decouple list` and `decouple show`: the claims there are, and their verdicts of record."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path

from decouple.claim.history import Accepted, read_history
from decouple.claim.ledger import read_ledger
from decouple.claim.record import Record
from decouple.claim.spec import TIERS, Claim
from decouple.claim.verdict import Verdict
from decouple.cli.parsing import Commands, add_command, claims_in, folder, one_of

NO_RECORD = "–"
NEAR = 5
"""How many claims of a similar name an error lists."""


def add_list(commands: Commands) -> None:
    """Add the command `list` to a parser."""
    command = add_command(
        commands,
        "list",
        summary="claims and their verdicts of record",
        description="One line for each claim and tier: the verdict of record, the tier, the "
        f"claim. {NO_RECORD} stands for none on record.",
        examples=(
            "decouple list",
            "decouple list routing_collapse --tier smoke --verdict REFUTED",
        ),
    )
    command.add_argument("stem", nargs="?", help="only this document")
    command.add_argument(
        "--tier",
        type=one_of(TIERS),
        metavar="TIER",
        help=f"only this tier, of: {', '.join(TIERS)}",
    )
    command.add_argument(
        "--verdict",
        type=one_of(Verdict),
        metavar="VERDICT",
        help=f"only those of this verdict, of: {', '.join(Verdict)}",
    )
    _add_folders(command)
    command.set_defaults(run=_list)


def add_show(commands: Commands) -> None:
    """Add the command `show` to a parser."""
    command = add_command(
        commands,
        "show",
        summary="one claim: statement, source, bands, controls, records",
        description="All that is declared of a claim, and what is on record of it.",
        examples=("decouple show routing_collapse/deepest-top-share",),
    )
    command.add_argument("claim", help="the claim's id, as `decouple list` prints it")
    _add_folders(command)
    command.set_defaults(run=_show)


def _add_folders(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--claims", type=Path, default=Path("claims"), metavar="DIR", help="default: claims"
    )
    command.add_argument(
        "--ledger",
        type=folder,
        default=Path("fixtures/ledger"),
        metavar="DIR",
        help="default: fixtures/ledger",
    )


def _list(parsed: argparse.Namespace) -> int:
    claims = claims_in(parsed.claims)
    stems = sorted({claim.stem for claim in claims})
    if parsed.stem is not None and parsed.stem not in stems:
        raise LookupError(f"stem must be one of {', '.join(stems)}, got {parsed.stem!r}")
    records = read_ledger(parsed.ledger)
    for claim in claims:
        if parsed.stem in (None, claim.stem):
            for tier in claim.tiers:
                verdicts = [r.verdict for r in _of(records, claim, tier)] or [NO_RECORD]
                for verdict in verdicts:
                    if parsed.tier in (None, tier) and parsed.verdict in (None, verdict):
                        print(f"{verdict:12} {tier:9} {claim.id}")
    return 0


def _show(parsed: argparse.Namespace) -> int:
    claims = {claim.id: claim for claim in claims_in(parsed.claims)}
    if parsed.claim not in claims:
        raise LookupError(f"claim must be one of {_near(parsed.claim, claims)}")
    records, past = read_ledger(parsed.ledger), read_history(parsed.ledger)
    for line in _description(claims[parsed.claim], records, past):
        print(line)
    return 0


def _description(
    claim: Claim, records: list[Record], past: Mapping[tuple[str, ...], Sequence[Accepted]]
) -> Iterator[str]:
    yield claim.id
    yield from textwrap.wrap(claim.statement, 96)
    yield f"kind:      {claim.kind}"
    tables = f"; tables: {', '.join(claim.source.tables)}" if claim.source.tables else ""
    yield f"where:     {claim.source.section}{tables}"
    if claim.source.figure:
        yield f"published: {claim.source.figure}"
    yield f"arms:      {', '.join(claim.arms)}"
    for control in claim.controls:
        margin = "" if control.margin is None else f", by {control.margin:g} or more"
        yield f"control:   {control.name}{margin}: {control.why}"
    if claim.note:
        yield from textwrap.wrap(f"note:      {claim.note}", 96, subsequent_indent=" " * 11)
    for tier in claim.tiers:
        band = claim.bands[tier]
        yield f"{tier}: {band.words} ({band.because})"
        for record in _of(records, claim, tier):
            yield f"    on record: {record.verdict}: {record.reason}"
            for entry in past.get(record.key, ()):
                yield f"        {entry}"


def _of(records: list[Record], claim: Claim, tier: str) -> list[Record]:
    return [record for record in records if (record.claim, record.tier) == (claim.id, tier)]


def _near(wanted: str, claims: Iterable[str]) -> str:
    """The ids that are like the one asked for, and what was asked for."""
    name = wanted.rpartition("/")[2]
    near = [each for each in claims if name and name in each][:NEAR]
    near = near or get_close_matches(wanted, claims, n=NEAR)
    listed = f"{', '.join(near)} …" if near else "those that `decouple list` prints"
    return f"{listed}, got {wanted!r}"
