"""`decouple compare`: what became of each claim between two reports or two revisions."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from decouple.claim.compare import Comparison, Outcome, compare
from decouple.claim.record import Record
from decouple.claim.report import Report, read_whole
from decouple.claim.spec import TIERS
from decouple.claim.verdict import Verdict
from decouple.cli.parsing import (
    Commands,
    add_command,
    add_store_option,
    file,
    folder,
    folder_to_be,
    one_of,
    positive,
)
from decouple.cli.revisions import judge_revision

REPORT = ".json"

OF_REVISIONS = ("tier", "only", "seeds", "corpus", "tokenizer", "base", "preset", "jobs", "keep")
"""Options that say how revisions are judged."""


def add_compare(commands: Commands) -> None:
    """Add the command to a parser."""
    command = add_command(
        commands,
        "compare",
        summary="compare two revisions, or two saved reports, claim by claim",
        description="BEFORE and AFTER are JSON reports, git revisions, or . for the tree as it "
        "lies. A revision is judged from its own checkout, in a process of its own, on its seeds "
        "from 0 up, paired where both have them; runs of experiments that did not change are "
        "taken from the store.",
        examples=(
            "decouple compare main .",
            "decouple compare main . --only routing_collapse --jobs 2",
            "decouple compare before.json after.json --fail-on broken,weakened",
        ),
        statuses={0: "no claim came out as --fail-on says", 1: "one did"},
    )
    command.add_argument("--all", action="store_true", help="print what was held as well")
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
    command.add_argument(
        "--tokenizer", type=folder, metavar="DIR", help="folder with GPT-2's tokenizer files"
    )
    command.add_argument("--base", metavar="MODEL", help="stand-in:NAME, a folder, or a hub id")
    command.add_argument(
        "--preset", action="append", metavar="TIER=NAME", help="judge a tier on another preset"
    )
    add_store_option(command)
    command.add_argument(
        "--jobs", type=positive, metavar="N", help="processes that train (default: 1)"
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
    names = (parsed.before, parsed.after)
    given = [name for name in OF_REVISIONS if getattr(parsed, name) is not None]
    if given and all(name.endswith(REPORT) for name in names):
        raise ValueError(f"--{given[0]} is for revisions, two reports are compared as they are")
    before, after = (
        _report(name, side, parsed) for name, side in zip(names, ("before", "after"), strict=True)
    )
    comparisons = compare(before.records, after.records, moved=True)
    if not any(_judged(each.before) and _tried(each.after) for each in comparisons):
        raise ValueError("no claim was judged on both sides: there is nothing to compare")
    for line in _lines(comparisons, everything=parsed.all):
        print(line)
    return 1 if any(comparison.outcome in parsed.fail_on for comparison in comparisons) else 0


def _lines(comparisons: Sequence[Comparison], *, everything: bool) -> Iterator[str]:
    """What is not as it was, and why; then how many came out how."""
    told = [each for each in comparisons if each.outcome is not Outcome.HELD or _judged(each.after)]
    for each in told:
        if everything or each.outcome is not Outcome.HELD or each.notes:
            yield str(each)
            if each.after is not None and each.after.reason:
                yield f"    {each.after.reason}"
    for outcome in Outcome:
        number = sum(each.outcome is outcome for each in told)
        if number:
            yield f"{outcome}: {number}"
    if len(told) < len(comparisons):
        yield f"judged on neither side: {len(comparisons) - len(told)}"


def _judged(record: Record | None) -> bool:
    return record is not None and Verdict(record.verdict).judged


def _tried(record: Record | None) -> bool:
    return _judged(record) or (record is not None and record.verdict == Verdict.ERROR)


def _report(name: str, side: str, parsed: argparse.Namespace) -> Report:
    if name.endswith(REPORT):
        return read_whole(Path(name))
    print(f"judging {name}", file=sys.stderr)
    with tempfile.TemporaryDirectory(prefix="decouple-report-") as folder:
        return judge_revision(
            name,
            root=Path.cwd(),
            store=parsed.store,
            into=parsed.keep / side if parsed.keep else Path(folder),
            arguments=_arguments(parsed),
        )


def _arguments(parsed: argparse.Namespace) -> list[str]:
    """The same for both sides: anything else would compare different things."""
    arguments = ["-m", " or ".join(parsed.tier or ("published", "smoke"))]
    if parsed.only:
        arguments += ["-k", parsed.only]
    if parsed.seeds:
        arguments += [f"--decouple-seeds={parsed.seeds}"]
    if parsed.corpus:
        arguments += [f"--decouple-corpus={Path(parsed.corpus).resolve()}"]
    for name in ("tokenizer", "base"):
        value = getattr(parsed, name)
        arguments += [f"--decouple-{name}={value}"] if value else []
    arguments += [f"--decouple-preset={value}" for value in parsed.preset or ()]
    if (parsed.jobs or 1) > 1:
        arguments += ["-n", str(parsed.jobs)]
    return arguments
