"""The generated parts of README and documentation: figures in prose that no hand has typed.

python -m decouple.report.prose          write them
python -m decouple.report.prose --check  exit 1 if the pages do not hold them already
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from decouple.claim.experiment import locate
from decouple.claim.ledger import read_ledger
from decouple.claim.record import Record, Setting, levels_in_words
from decouple.claim.report import count_by_tier
from decouple.claim.simulation import SEEDS, false_rates, shapes
from decouple.claim.spec import TIERS
from decouple.claim.writing import write_atomically

BLOCK = re.compile(r"(<!-- generated: (?P<name>[a-z_ -]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def render_blocks(text: str, records: Sequence[Record]) -> str:
    """A page's text with each generated block written anew.

    A block is named by what generates it and, where that is about one document, its stem.

    Raises:
        ValueError: if the text names a block that nothing generates; lists those there are.
    """

    def block(match: re.Match[str]) -> str:
        name, _, stem = match["name"].partition(" ")
        if name not in BLOCKS:
            known = ", ".join(BLOCKS)
            raise ValueError(f"generated block must be one of {known}, got {name!r}")
        own = [record for record in records if record.claim.startswith(f"{stem}/") or not stem]
        return f"{match[1]}{BLOCKS[name](own)}\n{match[3]}"

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
        lines.append(f"| {name.partition('/')[2]} | {figure} | " + " | ".join(cells) + " |")
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


def _simulation(records: Sequence[Record]) -> str:
    """Rates of wrong verdicts by shape and number of seeds."""
    lines = [
        "| shape of the number over seeds | "
        + " | ".join(f"wrongly {kind}, n = {n}" for kind in ("SUPPORTED", "REFUTED") for n in SEEDS)
        + " |",
        "| --- " * (1 + 2 * len(SEEDS)) + "|",
    ]
    for shape in shapes():
        rates = [false_rates(shape, n) for n in SEEDS]
        cells = [f"{rate:.2%}" for kind in zip(*rates, strict=True) for rate in kind]
        name = shape.name if shape.promised else f"*{shape.name}, outside the promise*"
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


BLOCKS: dict[str, Callable[[Sequence[Record]], str]] = {
    "counts": _counts,
    "findings": _findings,
    "levels": _levels,
    "simulation": _simulation,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Write or check the generated parts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing, exit 1 if stale")
    parser.add_argument("--root", type=Path, default=Path())
    parsed = parser.parse_args(arguments)
    records = of_the_tier(read_ledger(parsed.root / "fixtures" / "ledger"))
    stale = 0
    for page in pages(parsed.root):
        before = page.read_text(encoding="utf-8")
        after = render_blocks(before, records)
        stale += before != after
        if before != after and not parsed.check:
            write_atomically(page, after)
    return 1 if parsed.check and stale else 0


def pages(root: Path) -> list[Path]:
    """The pages that may hold generated blocks: the README and the documentation."""
    return [root / "README.md", *sorted((root / "docs").rglob("*.md"))]


if __name__ == "__main__":
    raise SystemExit(main())
