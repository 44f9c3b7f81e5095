"""`decouple run`: train arms and keep their evidence, whether or not a claim asks for them."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from decouple.claim.runner import Group, Runner, Settings
from decouple.claim.store import Store


def add_run(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to a parser."""
    command = commands.add_parser(
        "run",
        help="train arms of an experiment into the store",
        epilog="example: decouple run routing_collapse --preset smoke --arm iid --seeds 5",
    )
    command.add_argument("stem", help="the document")
    command.add_argument("--preset", required=True)
    command.add_argument("--arm", action="append", help="this arm (again for more; default: all)")
    command.add_argument("--seeds", type=int, help="how many seeds (default: the preset's)")
    command.add_argument("--corpus", metavar="FILE", help="a text instead of the generated one")
    command.add_argument("--tokenizer", metavar="DIR", help="folder with GPT-2's tokenizer files")
    command.add_argument("--base", metavar="MODEL", help="stand-in:NAME, a folder, or a hub id")
    command.add_argument("--store", type=Path, default=Path("reports/store"))
    command.set_defaults(run=_run)


def _run(parsed: argparse.Namespace) -> int:
    settings = Settings(corpus=parsed.corpus, tokenizer=parsed.tokenizer, base=parsed.base)
    runner = Runner(Store(parsed.store), settings, session="run", progress=_progress)
    experiment = runner.experiment(parsed.stem)
    preset = experiment.preset("", parsed.preset)
    seeds = range(parsed.seeds or experiment.module.SEEDS[preset])
    arms = parsed.arm or list(experiment.module.ARMS)
    for arm in arms:
        runner.config(parsed.stem, preset, arm)  # an unknown arm is refused before any is trained
    for arm in arms:
        entries = runner.fetch(parsed.stem, preset, arm, seeds)
        statuses = sorted({entry.manifest["status"] for entry in entries.values()})
        print(f"{arm}: {len(entries)} seed(s), {', '.join(statuses)}")
    return 0


def _progress(group: Group) -> None:
    print(f"training {group}", file=sys.stderr)
