"""The generated parts of the README: figures in prose that no hand has typed.

python -m decouple.report.readme          write them
python -m decouple.report.readme --check  exit 1 if the README does not hold them already
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from decouple.claim.experiment import locate
from decouple.claim.ledger import read_ledger, write_atomically
from decouple.claim.record import Record, Setting, levels_in_words
from decouple.claim.report import count_by_tier
from decouple.claim.spec import TIERS

BLOCK = re.compile(r"(<!-- generated: (?P<name>[a-z-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def render_blocks(text: str, records: Sequence[Record]) -> str:
    """The README's text with each generated block written anew.

    Raises:
        ValueError: if the text names a block that nothing generates; lists those there are.
    """

    def block(match: re.Match[str]) -> str:
        name = match["name"]
        if name not in BLOCKS:
            known = ", ".join(BLOCKS)
            raise ValueError(f"generated block must be one of {known}, got {name!r}")
        return f"{match[1]}{BLOCKS[name](records)}\n{match[3]}"

    return BLOCK.sub(block, text)


def of_the_tier(records: Sequence[Record]) -> list[Record]:
    """The records that fill their tier: its own preset, on the preset's own corpus.

    A shorter run or another text is on record too, and never stands for the tier.
    """
    return [record for record in records if record.setting == _own_setting(record)]


def _own_setting(record: Record) -> Setting:
    if record.tier == "published":
        return record.setting
    experiment = locate(record.claim.partition("/")[0])
    preset = experiment.preset(record.tier)
    config = experiment.module.PRESETS[preset]()
    return Setting(preset=preset, **experiment.module.describe(config))


def _counts(records: Sequence[Record]) -> str:
    lines = ["| document | tier | verdicts of record |", "| --- | --- | --- |"]
    for stem, tiers in count_by_tier(records).items():
        for tier, verdicts in tiers.items():
            said = ", ".join(f"{number} {verdict}" for verdict, number in verdicts.items())
            lines.append(f"| `{stem}` | {tier} | {said} |")
    return "\n".join(lines)


def _findings(records: Sequence[Record]) -> str:
    """One row for each claim: what its own tables say, what a run here says."""
    by_claim: dict[str, dict[str, Record]] = {}
    for record in records:
        by_claim.setdefault(record.claim, {})[record.tier] = record
    tiers = [tier for tier in TIERS if any(tier in found for found in by_claim.values())]
    lines = [
        "| claim | published figure | " + " | ".join(tiers) + " |",
        "| --- " * (2 + len(tiers)) + "|",
    ]
    for name in sorted(by_claim):
        found = by_claim[name]
        figure = next(iter(found.values())).source["figure"] or "–"
        cells = [_cell(found.get(tier)) for tier in tiers]
        lines.append(f"| {name} | {figure} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(record: Record | None) -> str:
    if record is None:
        return "–"
    if record.estimate is None or record.interval is None:
        return record.verdict
    low, high = record.interval
    return f"{record.verdict} {record.estimate:.3g} [{low:.3g}, {high:.3g}]"


def _levels(records: Sequence[Record]) -> str:
    return levels_in_words() + "."


BLOCKS: dict[str, Callable[[Sequence[Record]], str]] = {
    "counts": _counts,
    "findings": _findings,
    "levels": _levels,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Write or check the generated parts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing, exit 1 if stale")
    parser.add_argument("--readme", type=Path, default=Path("README.md"))
    parser.add_argument("--ledger", type=Path, default=Path("fixtures/ledger"))
    parsed = parser.parse_args(arguments)
    before = parsed.readme.read_text(encoding="utf-8")
    after = render_blocks(before, of_the_tier(read_ledger(parsed.ledger)))
    if parsed.check:
        return int(before != after)
    write_atomically(parsed.readme, after)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
