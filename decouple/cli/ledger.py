"""`decouple ledger`: what the last report would change on record, and accepting it."""

from __future__ import annotations

import argparse
from pathlib import Path

from decouple.claim.ledger import propose, read_ledger, write_ledger
from decouple.claim.record import Record
from decouple.claim.report import read_report
from decouple.cli.parsing import Commands, add_command, folder_to_be
from decouple.cli.report import REPORT, report_file


def add_ledger(commands: Commands) -> None:
    """Add the command `ledger` to a parser."""
    command = add_command(
        commands,
        "ledger",
        summary="show what the last report would change in the ledger; --write to accept",
        description="The ledger is the committed report of record. Verdicts of the last session "
        "that differ from it, or are not in it, are proposed; nothing is written without --write.",
        examples=(
            "decouple ledger",
            "decouple ledger --only routing_collapse/deepest-top-share --write "
            "--why 'longer warm-up'",
        ),
        statuses={0: "nothing to change, or written", 1: "changes proposed, none made"},
    )
    command.add_argument(
        "--report", type=Path, default=REPORT, metavar="FILE", help=f"default: {REPORT}"
    )
    command.add_argument(
        "--ledger",
        type=folder_to_be,
        default=Path("fixtures/ledger"),
        metavar="DIR",
        help="default: fixtures/ledger",
    )
    command.add_argument(
        "--only", metavar="CLAIM", action="append", help="this claim only (again for more)"
    )
    command.add_argument(
        "--withdraw",
        metavar="CLAIM",
        action="append",
        default=[],
        help="take the records of this claim off, which the history goes on to show",
    )
    command.add_argument("--write", action="store_true", help="accept the changes shown")
    command.add_argument("--why", default="", metavar="TEXT", help="for the history")
    command.set_defaults(run=_ledger)


def _ledger(parsed: argparse.Namespace) -> int:
    ledger = read_ledger(parsed.ledger)
    if parsed.withdraw:
        return _withdraw(parsed, ledger)
    changes = propose(ledger, read_report(report_file(parsed.report)).records)
    if parsed.only:
        unknown = set(parsed.only) - {change.key[0] for change in changes}
        if unknown:
            raise LookupError(f"--only names no proposed change: {', '.join(sorted(unknown))}")
        changes = [change for change in changes if change.key[0] in parsed.only]
    for change in changes:
        print(change)
    if not parsed.write:
        print(f"{len(changes)} change(s) proposed, none made; --write accepts them")
        return 1 if changes else 0
    write_ledger(parsed.ledger, ledger, changes, why=parsed.why)
    print(f"{len(changes)} change(s) written to {parsed.ledger}")
    return 0


def _withdraw(parsed: argparse.Namespace, ledger: list[Record]) -> int:
    unknown = set(parsed.withdraw) - {record.claim for record in ledger}
    if unknown:
        raise LookupError(f"--withdraw names no claim on record: {', '.join(sorted(unknown))}")
    if not parsed.why.strip():
        raise ValueError("--withdraw needs --why: the history says why a claim was taken off")
    records = [record for record in ledger if record.claim in parsed.withdraw]
    for record in records:
        print(f"withdrawn: {record.claim} [{record.tier}] {record.verdict}")
    if not parsed.write:
        print(f"{len(records)} record(s) to withdraw, none withdrawn; --write does it")
        return 1
    write_ledger(parsed.ledger, ledger, [], withdrawn=parsed.withdraw, why=parsed.why)
    return 0
