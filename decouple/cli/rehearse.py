"""`decouple rehearse`: would the seeds of a tier decide its claims? On calibration seeds only."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from decouple.claim.evidence import Run
from decouple.claim.judge import judge_runs
from decouple.claim.load import load_claims
from decouple.claim.power import ENOUGH, rehearse
from decouple.claim.runner import Group, Runner, Settings, as_run
from decouple.claim.store import Store
from decouple.claim.verdict import Verdict

DECIDED = (Verdict.SUPPORTED, Verdict.REFUTED, Verdict.VACUOUS)


def add_rehearse(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to a parser."""
    command = commands.add_parser(
        "rehearse",
        help="power of a document's claims, on calibration seeds",
        epilog="example: decouple rehearse routing_collapse --tier smoke --size 5",
    )
    command.add_argument("stem", help="the document")
    command.add_argument("--tier", choices=("smoke", "gpu"), default="smoke")
    command.add_argument("--size", type=int, help="seeds of a judgement (default: the preset's)")
    command.add_argument("--corpus", metavar="FILE", help="a text instead of the generated one")
    command.add_argument("--base", metavar="MODEL", help="stand-in:NAME, a folder, or a hub id")
    command.add_argument("--store", type=Path, default=Path("reports/store"))
    command.add_argument("--claims", type=Path, default=Path("claims"))
    command.set_defaults(run=_rehearse)


def _rehearse(parsed: argparse.Namespace) -> int:
    runner = Runner(
        Store(parsed.store),
        Settings(corpus=parsed.corpus, base=parsed.base),
        session="rehearse",
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
    for claim in load_claims(parsed.claims / f"test_{parsed.stem}.py"):
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
