"""Why does equilibrium propagation plateau at C = 512? [document `ep_plateau`].

This module is what the rest of the house may know of the experiment. It imports no torch: only
`run` does, when called.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from decouple.data import corpus_fingerprint, corpus_label, tokenizer_fingerprint
from decouple.experiments.ep_plateau.arms import ARMS
from decouple.experiments.ep_plateau.cells import expected_cells
from decouple.experiments.ep_plateau.config import EPPlateauConfig
from decouple.experiments.ep_plateau.presets import PRESETS, TIERS

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
    "EPPlateauConfig",
    "data_fingerprint",
    "describe",
    "device",
    "expected_cells",
    "group_size",
    "missing",
    "run",
    "with_inputs",
]

STEM = "ep_plateau"
"""Name of the document everywhere."""

OWN_DATA: frozenset[str] = frozenset()
"""Data fingerprints of the document's own text: TinyStories as a whole is not at hand."""

SEEDS = {"smoke": 5, "minutes": 3, "short": 3, "published": 3}
"""How many seeds judge a preset."""

CALIBRATION_SEEDS = {"smoke": range(1000, 1040)}
"""Seeds that the size of a preset was chosen on, by preset; they never judge."""

LIBRARIES = ("torch", "numpy", "tokenizers")
"""Distributions whose versions can change a result."""


def group_size(config: EPPlateauConfig) -> int:
    """Number of seeds trained together: each run trains alone."""
    return 1


def device(config: EPPlateauConfig) -> Literal["cpu", "cuda"]:
    """Device the run needs."""
    return config.device


def with_inputs(
    config: EPPlateauConfig,
    *,
    corpus: str | None,
    tokenizer: str | None,
    base: str | None,
) -> EPPlateauConfig:
    """Replace the text by a file of the user's.

    Args:
        config: Configuration to change.
        corpus: UTF-8 text file; None keeps the text.
        tokenizer: Ignored: the tokenizer is trained on the text.
        base: Ignored: every model is trained from random initialisation.
    """
    del tokenizer, base
    if corpus is None:
        return config
    return replace(config, corpus=replace(config.corpus, path=corpus))


def missing(config: EPPlateauConfig) -> str | None:
    """Nothing is needed that could be missing: no weights and no tokenizer files."""
    return None


def data_fingerprint(config: EPPlateauConfig) -> str:
    """Digest of the text and the tokenizer a run reads."""
    parts = (corpus_fingerprint(config.corpus), tokenizer_fingerprint(config.tokenizer))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def describe(config: EPPlateauConfig) -> dict[str, str]:
    """What stands in for the document's data, in words: base model, corpus and tokenizer."""
    tokens = config.tokenizer.vocab_size
    return {
        "base_model": "none: trained from random initialisation",
        "corpus": corpus_label(config.corpus),
        "tokenizer": f"byte-level BPE of {tokens:,} tokens, trained on the corpus",
    }


def run(
    config: EPPlateauConfig,
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
        seeds: Replicates, one after another.
        arm: Name of the arm, recorded in the table.
        scratch: Folder for caches and for the state of unfinished runs.
        shared: Folder that all arms of the document share; it holds trained weights that several
            of them begin with, and may vanish at any time.
        progress: Called with steps done, steps in all and a note.

    Returns:
        A tidy table with the columns of `rows.Row` behind document, arm and seed; and the status of
        each seed, `finished` or how it ended.
    """
    from decouple.experiments.ep_plateau.runner import run_arm  # noqa: PLC0415

    return run_arm(config, seeds, arm=arm, scratch=scratch, shared=shared, progress=progress)
