"""`decouple pretrain`: make a stand-in for the released GPT-2."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from tqdm import tqdm

from decouple.claim.fingerprint import code_fingerprint
from decouple.claim.runner import RunFailedError
from decouple.cli.parsing import Commands, add_command, folder, folder_to_be, one_of
from decouple.experiments.stand_in import STAND_INS, StandInConfig, make_stand_in, stand_in_cache


def add_pretrain(commands: Commands) -> None:
    """Add the command to a parser."""
    command = add_command(
        commands,
        "pretrain",
        summary="pretrain a stand-in for GPT-2 on generated text",
        description="Pretrains a stand-in for GPT-2 on generated text: smoke takes two minutes on "
        "one CPU core, gpt2-small some minutes on a GPU. An interrupted call is taken up again.",
        examples=(
            "decouple pretrain gpt2-small",
            "decouple pretrain smoke --into fixtures/stand_in/smoke --force",
        ),
    )
    command.add_argument(
        "name",
        type=one_of(STAND_INS),
        metavar="NAME",
        help=f"the stand-in, of: {', '.join(STAND_INS)}",
    )
    command.add_argument(
        "--into", type=folder_to_be, metavar="DIR", help="where to (default: this user's cache)"
    )
    command.add_argument(
        "--tokenizer", type=folder, metavar="DIR", help="folder with GPT-2's tokenizer files"
    )
    command.add_argument("--force", action="store_true", help="replace a folder that is there")
    command.set_defaults(run=_pretrain)


def _pretrain(parsed: argparse.Namespace) -> int:
    config = _with_tokenizer(parsed.name, STAND_INS[parsed.name](), parsed.tokenizer)
    into = parsed.into or stand_in_cache(parsed.name)
    if into.exists() and not parsed.force:
        raise FileExistsError(f"{into} is there already; --force replaces it")
    with tqdm(total=config.training.steps, unit="step", file=sys.stderr) as bar:

        def progress(done: int, _total: int, note: str) -> None:
            bar.set_postfix_str(note, refresh=False)
            bar.update(done - bar.n)

        try:
            manifest = make_stand_in(
                parsed.name,
                config,
                into,
                code=code_fingerprint("decouple.experiments.stand_in"),
                force=parsed.force,
                progress=progress,
            )
        except RuntimeError as error:  # there is no GPU, or training diverged
            raise RunFailedError(str(error)) from error
    print(
        f"stand-in {parsed.name!r} is in {into}: {manifest['parameters']:,} parameters, held-out "
        f"loss {manifest['held_out_loss']:.3f} nats per token, "
        f"{manifest['unigram_cross_entropy']:.3f} by token frequencies alone"
    )
    return 0


def _with_tokenizer(name: str, config: StandInConfig, tokenizer: Path | None) -> StandInConfig:
    if tokenizer is None:
        return config
    if config.tokenizer.kind != "gpt2":
        raise ValueError(f"--tokenizer is for stand-ins with GPT-2's vocabulary, got it for {name}")
    return replace(config, tokenizer=replace(config.tokenizer, path=str(tokenizer)))
