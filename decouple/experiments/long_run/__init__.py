"""Does what a model says come apart from what it holds inside? [document `long_run`].

This module is what the rest of the house may know of the experiment. It imports no torch: only
`run` does, when called.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from decouple.experiments import gpt2_protocol
from decouple.experiments.gpt2_protocol import (
    LIBRARIES,
    data_fingerprint,
    describe,
    device,
    group_size,
    missing,
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
    config = gpt2_protocol.with_inputs(config, corpus=corpus, tokenizer=tokenizer, base=base)
    if base is not None and missing_base(config.base) is None:
        config = on_shape(config, base_shape(config.base))
    return config


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
