"""`decouple`: list, show, ledger, store, compare, report, rehearse, run, pretrain, data.

Exit status: 0 done and nothing to object to, 1 something to object to (changes proposed, damaged
entries, a comparison that fails, a claim without power), 2 the call itself was wrong.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from decouple.claim.ledger import propose, read_ledger, write_ledger
from decouple.claim.report import read_report
from decouple.claim.runner import RunFailedError, UnrunError
from decouple.cli.claims import add_list, add_show
from decouple.cli.compare import add_compare
from decouple.cli.data import add_data
from decouple.cli.pretrain import add_pretrain
from decouple.cli.rehearse import add_rehearse
from decouple.cli.report import add_report
from decouple.cli.run import add_run
from decouple.cli.store import add_store


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="decouple",
        description="Published findings about neural-network training, kept honest.",
        epilog="Claims are judged with pytest: pytest -m smoke claims/",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    add_list(commands)
    add_show(commands)
    _add_ledger(commands)
    add_store(commands)
    add_compare(commands)
    add_report(commands)
    add_rehearse(commands)
    add_pretrain(commands)
    add_data(commands)
    add_run(commands)
    parsed = parser.parse_args(arguments)
    try:
        status: int = parsed.run(parsed)
    except (OSError, ValueError, LookupError, UnrunError, RunFailedError) as error:
        print(f"decouple: {error}", file=sys.stderr)
        return 2
    return status


def _add_ledger(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    command = commands.add_parser(
        "ledger",
        help="show what the last report would change in the ledger; --write to accept",
        epilog="example: decouple ledger --only routing_collapse/deepest-top-share --write",
    )
    command.add_argument("--report", type=Path, default=Path("reports/claims.json"))
    command.add_argument("--ledger", type=Path, default=Path("fixtures/ledger"))
    command.add_argument("--only", metavar="CLAIM", action="append", help="these claims only")
    command.add_argument("--write", action="store_true", help="accept the changes shown")
    command.set_defaults(run=_ledger)


def _ledger(parsed: argparse.Namespace) -> int:
    ledger = read_ledger(parsed.ledger)
    changes = propose(ledger, read_report(parsed.report).records)
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
    write_ledger(parsed.ledger, ledger, changes)
    print(f"{len(changes)} change(s) written to {parsed.ledger}")
    return 0
