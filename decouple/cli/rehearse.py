"""`decouple rehearse`: would the seeds of a tier decide its claims? On calibration seeds only."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from decouple.claim.evidence import Run
from decouple.claim.judge import judge_runs
from decouple.claim.power import ENOUGH, rehearse
from decouple.claim.runner import Group, Runner, Settings, as_run
from decouple.claim.store import Store
from decouple.claim.verdict import Verdict
from decouple.cli.parsing import (
    Commands,
    add_command,
    add_store_option,
    claims_in,
    file,
    one_of,
    positive,
    stem,
)

DECIDED = (Verdict.SUPPORTED, Verdict.REFUTED, Verdict.VACUOUS)


def add_rehearse(commands: Commands) -> None:
    """Add the command to a parser."""
    command = add_command(
        commands,
        "rehearse",
        summary="power of a document's claims, on calibration seeds",
        description="Would the seeds of a tier decide its claims? Trains calibration seeds, which "
        "never judge, draws judgements from them, and says how often each verdict falls.",
        examples=("decouple rehearse routing_collapse --tier smoke --size 5",),
        statuses={0: "every claim is decided often enough", 1: "some claims are WEAK"},
    )
    command.add_argument("stem", type=stem, metavar="STEM", help="the document")
    command.add_argument(
        "--tier",
        type=one_of(("smoke", "gpu")),
        default="smoke",
        metavar="TIER",
        help="smoke (the default) or gpu",
    )
    command.add_argument(
        "--size", type=positive, metavar="N", help="seeds of a judgement (default: the preset's)"
    )
    command.add_argument(
        "--corpus", type=file, metavar="FILE", help="a text instead of the generated one"
    )
    command.add_argument("--base", metavar="MODEL", help="stand-in:NAME, a folder, or a hub id")
    add_store_option(command)
    command.add_argument(
        "--claims", type=Path, default=Path("claims"), metavar="DIR", help="default: claims"
    )
    command.set_defaults(run=_rehearse)


def _rehearse(parsed: argparse.Namespace) -> int:
    claims = [claim for claim in claims_in(parsed.claims) if claim.stem == parsed.stem]
    runner = Runner(
        Store(parsed.store),
        Settings(corpus=parsed.corpus, base=parsed.base),
        progress=_progress,
    )
    preset = runner.preset(parsed.stem, parsed.tier)
    module = runner.experiment(parsed.stem).module
    seeds = tuple(module.CALIBRATION_SEEDS.get(preset, ()))
    size = parsed.size or module.SEEDS[preset]
    if len(seeds) < 4 * size:
        raise ValueError(
            f"preset {preset!r} must have {4 * size} calibration seeds or more to rehearse {size}, "
            f"got {len(seeds)}"
        )
    # The second half stands in for the next groups, which controls with disjoint seeds read.
    seeds, following = seeds[: len(seeds) // 2], seeds[len(seeds) // 2 :]
    weak = 0
    for claim in claims:
        if parsed.tier not in claim.bands or claim.kind == "exact":
            continue

        def fetch(arm: str, wanted: Sequence[int]) -> dict[int, Run]:
            found = runner.fetch(parsed.stem, preset, arm, wanted)
            return {seed: as_run(entry) for seed, entry in found.items()}

        judged = judge_runs(claim, parsed.tier, fetch, seeds=seeds, next_seeds=following)
        if judged.standing is None or len(judged.standing.values) < size:
            print(f"WEAK   {claim.name}: {judged.verdict} {judged.reason}")
            weak += 1
            continue
        shares = rehearse(judged, claim.bands[parsed.tier], size)
        verdict, share = next(iter(shares.items()))
        enough = verdict in DECIDED and share >= ENOUGH
        weak += not enough
        said = ", ".join(f"{word} {part:.0%}" for word, part in shares.items())
        print(f"{'power ' if enough else 'WEAK  '} {claim.name}: {said}; {judged.reason}")
    return 1 if weak else 0


def _progress(group: Group) -> None:
    print(f"training {group}", file=sys.stderr)
