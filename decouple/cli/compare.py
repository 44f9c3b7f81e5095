"""`decouple compare`: what became of each claim between two reports or two revisions."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from decouple.claim.compare import Outcome, compare
from decouple.claim.report import Report, read_report
from decouple.claim.spec import TIERS
from decouple.cli.parsing import (
    Commands,
    add_command,
    add_store_option,
    file,
    folder_to_be,
    one_of,
    positive,
)
from decouple.cli.revisions import judge_revision


def add_compare(commands: Commands) -> None:
    """Add the command to a parser."""
    command = add_command(
        commands,
        "compare",
        summary="compare two revisions, or two saved reports, claim by claim",
        description="BEFORE and AFTER are JSON reports, git revisions, or . for the tree as it "
        "lies. A revision is judged from its own checkout, in a process of its own, on the same "
        "seeds; runs of experiments that did not change are taken from the store.",
        examples=(
            "decouple compare main .",
            "decouple compare main . --only routing_collapse --jobs 2",
            "decouple compare before.json after.json --fail-on broken,weakened",
        ),
        statuses={0: "no claim came out as --fail-on says", 1: "one did"},
    )
    command.add_argument("before", metavar="BEFORE")
    command.add_argument("after", metavar="AFTER")
    command.add_argument(
        "--fail-on",
        type=_outcomes,
        default=frozenset({Outcome.BROKEN}),
        metavar="OUTCOMES",
        help=f"comma-separated, of: {', '.join(Outcome)} (default: broken)",
    )
    command.add_argument(
        "--tier",
        action="append",
        choices=TIERS,
        help="tier to judge revisions on (again for more; default: published and smoke)",
    )
    command.add_argument("--only", metavar="NAMES", help="claims, as pytest's -k selects them")
    command.add_argument("--seeds", metavar="N|LIST", help="how many seeds, or which (0,1,4)")
    command.add_argument("--corpus", type=file, metavar="FILE", help="a text of yours")
    add_store_option(command)
    command.add_argument(
        "--jobs", type=positive, default=1, metavar="N", help="processes that train (default: 1)"
    )
    command.add_argument(
        "--keep",
        type=folder_to_be,
        metavar="DIR",
        help="keep the reports of revisions, in DIR/before and DIR/after",
    )
    command.set_defaults(run=_compare)


def _outcomes(text: str) -> frozenset[Outcome]:
    read = one_of(Outcome)
    return frozenset(Outcome(read(word.strip())) for word in text.split(","))


def _compare(parsed: argparse.Namespace) -> int:
    before = _report(parsed.before, "before", parsed)
    after = _report(parsed.after, "after", parsed)
    comparisons = compare(before.records, after.records)
    if not comparisons:
        raise ValueError("no claim was judged in either report: there is nothing to compare")
    for comparison in comparisons:
        if comparison.outcome is not Outcome.HELD:
            print(comparison)
            if comparison.after is not None and comparison.after.reason:
                print(f"    {comparison.after.reason}")
    for outcome in Outcome:
        number = sum(comparison.outcome is outcome for comparison in comparisons)
        if number:
            print(f"{outcome}: {number}")
    return 1 if any(comparison.outcome in parsed.fail_on for comparison in comparisons) else 0


def _report(name: str, side: str, parsed: argparse.Namespace) -> Report:
    if name.endswith(".json"):
        return read_report(Path(name))
    print(f"judging {name}", file=sys.stderr)
    with tempfile.TemporaryDirectory(prefix="decouple-report-") as folder:
        path = judge_revision(
            name,
            root=Path.cwd(),
            store=parsed.store,
            into=parsed.keep / side if parsed.keep else Path(folder),
            arguments=_arguments(parsed),
        )
        return read_report(path)


def _arguments(parsed: argparse.Namespace) -> list[str]:
    """The same for both sides: anything else would compare different things."""
    arguments = ["-m", " or ".join(parsed.tier or ("published", "smoke"))]
    if parsed.only:
        arguments += ["-k", parsed.only]
    if parsed.seeds:
        arguments += [f"--decouple-seeds={parsed.seeds}"]
    if parsed.corpus:
        arguments += [f"--decouple-corpus={Path(parsed.corpus).resolve()}"]
    if parsed.jobs > 1:
        arguments += ["-n", str(parsed.jobs)]
    return arguments
