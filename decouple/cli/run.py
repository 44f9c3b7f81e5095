"""`decouple run`: train arms and keep their evidence, whether or not a claim asks for them."""

from __future__ import annotations

import argparse
import sys

from decouple.claim.runner import Group, Runner, Settings
from decouple.claim.store import Store
from decouple.cli.parsing import (
    Commands,
    add_command,
    add_store_option,
    file,
    folder,
    positive,
    stem,
)


def add_run(commands: Commands) -> None:
    """Add the command to a parser."""
    command = add_command(
        commands,
        "run",
        summary="train arms of an experiment into the store",
        description="Trains what the store does not hold yet, whether or not a claim asks for it. "
        "An interrupted call is taken up again.",
        examples=(
            "decouple run routing_collapse --preset smoke --arm iid --seeds 5",
            "decouple run long_run --preset short --corpus book.txt",
        ),
    )
    command.add_argument("stem", type=stem, metavar="STEM", help="the document")
    command.add_argument("--preset", required=True, metavar="NAME", help="what size of run")
    command.add_argument(
        "--arm",
        action="append",
        metavar="NAME",
        help="this arm (again for more; default: all)",
    )
    command.add_argument(
        "--seeds",
        type=positive,
        metavar="N",
        help="how many seeds, from 0 (default: the preset's)",
    )
    command.add_argument(
        "--corpus", type=file, metavar="FILE", help="a text instead of the generated one"
    )
    command.add_argument(
        "--tokenizer", type=folder, metavar="DIR", help="folder with GPT-2's tokenizer files"
    )
    command.add_argument("--base", metavar="MODEL", help="stand-in:NAME, a folder, or a hub id")
    add_store_option(command)
    command.set_defaults(run=_run)


def _run(parsed: argparse.Namespace) -> int:
    tokenizer = str(parsed.tokenizer) if parsed.tokenizer else None
    settings = Settings(corpus=parsed.corpus, tokenizer=tokenizer, base=parsed.base)
    runner = Runner(Store(parsed.store), settings, progress=_progress)
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
