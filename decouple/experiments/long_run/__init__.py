"""Does what a model says come apart from what it holds inside? [document `long_run`].

This module is what the rest of the house may know of the experiment. It imports no torch: only
`run` does, when called.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from decouple.experiments.base_model import (
    describe_inputs,
    inputs_fingerprint,
    missing_inputs,
    on_base,
)
from decouple.experiments.long_run.cells import expected_cells
from decouple.experiments.long_run.config import (
    ARMS,
    PRESETS,
    TIERS,
    LongRunConfig,
    on_shape,
)
from decouple.models.gpt2_config import base_shape, missing_base

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    import pandas as pd

__all__ = [
    "ARMS",
    "CALIBRATION_SEEDS",
    "LIBRARIES",
    "OWN_DATA",
    "PRESETS",
    "SEEDS",
    "STEM",
    "TIERS",
    "LongRunConfig",
    "data_fingerprint",
    "describe",
    "device",
    "expected_cells",
    "group_size",
    "missing",
    "run",
    "with_inputs",
]

STEM = "long_run"
"""Name of the document everywhere."""

OWN_DATA: frozenset[str] = frozenset()
"""Data fingerprints of the document's own text, which is not public: there are none."""

SEEDS = {"smoke": 5, "short": 5, "stand_in": 5, "published": 5}
"""How many seeds judge a preset."""

CALIBRATION_SEEDS = {"smoke": range(1000, 1020)}
"""Seeds that the size of a preset was chosen on, by preset; they never judge."""

LIBRARIES = ("torch", "transformers", "numpy", "tokenizers", "tiktoken")
"""Distributions whose versions can change a result."""


def group_size(config: LongRunConfig) -> int:
    """Number of seeds trained together."""
    return config.group


def device(config: LongRunConfig) -> Literal["cpu", "cuda"]:
    """Device the run needs."""
    return config.device


def with_inputs(
    config: LongRunConfig, *, corpus: str | None, tokenizer: str | None, base: str | None
) -> LongRunConfig:
    """Replace the text, the place of GPT-2's vocabulary, or the base by the user's.

    A base of another shape moves the vectors with it, see `on_shape`.

    Args:
        config: Configuration to change.
        corpus: UTF-8 text file; None keeps the text.
        tokenizer: Folder with the files of GPT-2's vocabulary; None keeps the place.
        base: `stand-in:NAME`, a folder, or a hub id; None keeps the base.
    """
    if corpus is not None:
        config = replace(config, corpus=replace(config.corpus, path=corpus))
    model, chosen = on_base(config.base, config.tokenizer, given=base, folder=tokenizer)
    config = replace(config, base=model, tokenizer=chosen)
    if base is not None and missing_base(model) is None:
        config = on_shape(config, base_shape(model))
    return config


def missing(config: LongRunConfig) -> str | None:
    """None if weights and tokenizer are on this machine, else a sentence on how to get them."""
    return missing_inputs(config.base, config.tokenizer)


def data_fingerprint(config: LongRunConfig) -> str:
    """Digest of the text, the tokenizer and the weights a run reads."""
    return inputs_fingerprint(config.corpus, config.tokenizer, config.base)


def describe(config: LongRunConfig) -> dict[str, str]:
    """What stands in for the document's data, in words: base model, corpus and tokenizer."""
    return describe_inputs(config.corpus, config.tokenizer, config.base)


def run(
    config: LongRunConfig,
    seeds: Sequence[int],
    *,
    arm: str,
    scratch: Path,
    shared: Path,
    progress: Callable[[int, int, str], None] | None = None,
) -> tuple[pd.DataFrame, dict[int, str]]:
    """Train and measure one arm.

    Args:
        config: Configuration of the arm, that is `ARMS[arm](preset)`.
        seeds: Replicates; trained together in groups of `config.group`.
        arm: Name of the arm, recorded in the table.
        scratch: Folder for the state of unfinished runs.
        shared: Folder for what all runs of the document may read, such as a trained tokenizer.
        progress: Called with steps done, steps in all and a note.

    Returns:
        A tidy table with columns document, arm, seed, step (epoch of phase B, 0 the base), layer
        (block, counted from 0), vectors (`with` or `without`), prompt, text, condition (see
        `cells`), metric, value; and the status of each seed, `finished` or how it ended.
    """
    from decouple.experiments.long_run.runner import run_arm  # noqa: PLC0415

    return run_arm(config, seeds, arm=arm, scratch=scratch, shared=shared, progress=progress)
