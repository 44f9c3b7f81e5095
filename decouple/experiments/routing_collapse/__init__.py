"""Does a router collapse onto one expert under sequential updates? [document `routing_collapse`].

This module is what the rest of the house may know of the experiment. It imports no torch: only
`run` does, when called.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from decouple.data import corpus_fingerprint, corpus_label, tokenizer_fingerprint
from decouple.experiments.routing_collapse.config import (
    ARMS,
    PRESETS,
    TIERS,
    RoutingCollapseConfig,
)

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
    "RoutingCollapseConfig",
    "data_fingerprint",
    "describe",
    "device",
    "expected_cells",
    "group_size",
    "missing",
    "run",
    "with_inputs",
]

STEM = "routing_collapse"
"""Name of the document everywhere."""

OWN_DATA: frozenset[str] = frozenset()
"""Data fingerprints of the document's own text, which is not public: there are none."""

SEEDS = {"smoke": 10, "short": 10, "published": 10}
"""How many seeds judge a preset."""

CALIBRATION_SEEDS = {"smoke": range(1000, 1040)}
"""Seeds that the size of a preset was chosen on, by preset; they never judge."""

LIBRARIES = ("torch", "numpy", "tokenizers", "tiktoken")
"""Distributions whose versions can change a result."""


def group_size(config: RoutingCollapseConfig) -> int:
    """Number of seeds trained together."""
    return config.group


def device(config: RoutingCollapseConfig) -> Literal["cpu", "cuda"]:
    """Device the run needs."""
    return config.device


def with_inputs(
    config: RoutingCollapseConfig,
    *,
    corpus: str | None,
    tokenizer: str | None,
    base: str | None,
) -> RoutingCollapseConfig:
    """Replace the text by a file of the user's, and say where GPT-2's vocabulary lies.

    Args:
        config: Configuration to change.
        corpus: UTF-8 text file; None keeps the text.
        tokenizer: Folder with the files of GPT-2's vocabulary; None keeps the place, and a
            configuration that trains its own tokenizer has no use for it.
        base: Of no use here: training starts from random weights.
    """
    if corpus is not None:
        config = replace(config, corpus=replace(config.corpus, path=corpus))
    if tokenizer is not None and config.tokenizer.kind == "gpt2":
        config = replace(config, tokenizer=replace(config.tokenizer, path=tokenizer))
    return config


def missing(config: RoutingCollapseConfig) -> str | None:
    """Nothing: the text is generated or there, and tiktoken gets GPT-2's vocabulary by itself."""
    return None


def expected_cells(config: RoutingCollapseConfig) -> dict[str, int]:
    """Metric to the number of cells that a finished run has."""
    measured, layers, experts = config.cycles + 1, config.model.n_layers, config.model.n_experts
    cells = {
        "router_entropy": measured * layers,
        "usage": measured * layers * experts,
        "slot_share": measured * layers * experts,
        "usage_entropy": measured * layers,
        "mutual_information": measured * layers,
        "held_out_loss": measured,
        "head_entropy": measured,
        "output_entropy": measured,
        "parameters": 1,
    }
    if config.cycles:
        interventions = 5  # removal of the dominant, another, all; re-routing; the outlier batch
        cells |= {
            "training_loss": config.cycles,
            "held_out_loss": measured + interventions,
            "head_alignment": experts,
            "recovery_loss": 2 * (1 + len(config.recovery_steps)),
        }
    return cells


def data_fingerprint(config: RoutingCollapseConfig) -> str:
    """Digest of the text and the tokenizer a run reads."""
    parts = (corpus_fingerprint(config.corpus), tokenizer_fingerprint(config.tokenizer))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def describe(config: RoutingCollapseConfig) -> dict[str, str]:
    """What stands in for the document's data, in words: base model, corpus and tokenizer."""
    tokenizers = {
        "bpe": f"byte-level BPE of {config.tokenizer.vocab_size} tokens, trained on the corpus",
        "gpt2": "GPT-2 BPE",
        "bytes": "bytes",
    }
    return {
        "base_model": "none: trained from random initialisation",
        "corpus": corpus_label(config.corpus),
        "tokenizer": tokenizers[config.tokenizer.kind],
    }


def run(
    config: RoutingCollapseConfig,
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
        scratch: Folder for the state of an unfinished run.
        shared: Folder in which trained tokenizers are kept for all runs.
        progress: Called with steps done, steps in all and a note.

    Returns:
        A tidy table with columns document, arm, seed, step (cycle, 0 the untrained model), layer,
        expert, condition, metric, value; and the status of each seed, `finished` or how it ended.
    """
    from decouple.experiments.routing_collapse.runner import run_arm  # noqa: PLC0415

    return run_arm(config, seeds, arm=arm, scratch=scratch, shared=shared, progress=progress)
