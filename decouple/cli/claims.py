"""`decouple list` and `decouple show`: the claims there are, and their verdicts of record."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Iterator
from pathlib import Path

from decouple.claim.ledger import read_ledger
from decouple.claim.load import load_claims
from decouple.claim.record import Record
from decouple.claim.spec import TIERS, Claim
from decouple.claim.verdict import Verdict

NO_RECORD = "–"


def add_list(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command `list` to a parser."""
    command = commands.add_parser(
        "list",
        help="claims and their verdicts of record",
        epilog="example: decouple list routing_collapse --tier smoke --verdict REFUTED",
    )
    command.add_argument("stem", nargs="?", help="only this document")
    command.add_argument("--tier", choices=TIERS, help="only this tier")
    command.add_argument(
        "--verdict", choices=list(Verdict), metavar="VERDICT", help="only those of this verdict"
    )
    _add_folders(command)
    command.set_defaults(run=_list)


def add_show(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command `show` to a parser."""
    command = commands.add_parser(
        "show",
        help="one claim: statement, source, bands, controls, records",
        epilog="example: decouple show routing_collapse/deepest-top-share",
    )
    command.add_argument("claim", help="the claim's id")
    _add_folders(command)
    command.set_defaults(run=_show)


def _add_folders(command: argparse.ArgumentParser) -> None:
    command.add_argument("--claims", type=Path, default=Path("claims"))
    command.add_argument("--ledger", type=Path, default=Path("fixtures/ledger"))


def _list(parsed: argparse.Namespace) -> int:
    claims = _claims(parsed.claims)
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
    claims = {claim.id: claim for claim in _claims(parsed.claims)}
    if parsed.claim not in claims:
        near = [name for name in claims if parsed.claim.partition("/")[2] in name] or list(claims)
        raise LookupError(f"claim must be one of {', '.join(near)}, got {parsed.claim!r}")
    for line in _description(claims[parsed.claim], read_ledger(parsed.ledger)):
        print(line)
    return 0


def _description(claim: Claim, records: list[Record]) -> Iterator[str]:
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


def _of(records: list[Record], claim: Claim, tier: str) -> list[Record]:
    return [record for record in records if (record.claim, record.tier) == (claim.id, tier)]


def _claims(folder: Path) -> list[Claim]:
    files = sorted(folder.glob("test_*.py"))
    if not files:
        raise FileNotFoundError(f"--claims must be a folder with claims files, got {folder}")
    return [claim for file in files for claim in load_claims(file)]
