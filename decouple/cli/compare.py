"""`decouple compare`: what became of each claim between two reports or two revisions."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from decouple.claim.compare import Outcome, compare
from decouple.claim.report import Report, read_report
from decouple.claim.spec import TIERS
from decouple.cli.revisions import judge_revision


def add_compare(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to a parser."""
    command = commands.add_parser(
        "compare",
        help="compare two revisions, or two saved reports, claim by claim",
        description="BEFORE and AFTER are JSON reports, git revisions, or . for the tree as it "
        "lies. A revision is judged from its own checkout, in a process of its own, on the same "
        "seeds; runs of experiments that did not change are taken from the store.",
        epilog="examples: decouple compare main . --only routing_collapse; "
        "decouple compare before.json after.json --fail-on broken,weakened",
    )
    command.add_argument("before", metavar="BEFORE")
    command.add_argument("after", metavar="AFTER")
    command.add_argument(
        "--fail-on",
        default=str(Outcome.BROKEN),
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
    command.add_argument("--corpus", type=Path, metavar="FILE", help="a text of yours")
    command.add_argument("--store", type=Path, default=Path("reports/store"))
    command.add_argument("--jobs", type=int, default=1, metavar="N", help="processes that train")
    command.set_defaults(run=_compare)


def _compare(parsed: argparse.Namespace) -> int:
    try:
        fatal = {Outcome(word.strip()) for word in parsed.fail_on.split(",")}
    except ValueError as error:
        raise ValueError(f"--fail-on must name outcomes of {', '.join(Outcome)}: {error}") from None
    before, after = _report(parsed.before, parsed), _report(parsed.after, parsed)
    comparisons = compare(before.records, after.records)
    if not comparisons:
        raise ValueError("no claim was judged in either report: there is nothing to compare")
    for comparison in comparisons:
        if comparison.outcome is not Outcome.HELD:
            print(comparison)
    for outcome in Outcome:
        number = sum(comparison.outcome is outcome for comparison in comparisons)
        if number:
            print(f"{outcome}: {number}")
    return 1 if any(comparison.outcome in fatal for comparison in comparisons) else 0


def _report(name: str, parsed: argparse.Namespace) -> Report:
    if name.endswith(".json"):
        return read_report(Path(name))
    print(f"judging {name}", file=sys.stderr)
    with tempfile.TemporaryDirectory(prefix="decouple-report-") as folder:
        path = judge_revision(
            name,
            root=Path.cwd(),
            store=parsed.store,
            into=Path(folder),
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
        arguments += [f"--decouple-corpus={parsed.corpus.resolve()}"]
    if parsed.jobs > 1:
        arguments += ["-n", str(parsed.jobs)]
    return arguments
