"""Configuration, presets and arms of the sequential-cycles experiment; imports no torch."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias, get_args

from decouple.data import CorpusConfig, TokenizerConfig
from decouple.models.gpt2_config import BaseModelConfig

Order: TypeAlias = Literal["sequential", "shuffled", "iid", "same_chunk"]
"""What the cycles train on: chunk after chunk, chunks in random order, windows from everywhere, or
windows of the first chunk in every cycle."""

Part: TypeAlias = Literal["head", "embeddings", "last_block", "all_but_wte", "all_but_last_block"]
"""Parts that can be frozen. `head` is the last block, the final LayerNorm and both embeddings;
`embeddings` and `last_block` (with the final LayerNorm) are the two halves of it."""

Labels: TypeAlias = Literal["next", "random"]
"""The token that follows, or tokens of the same chunk dealt out at random."""

Device: TypeAlias = Literal["cpu", "cuda"]


@dataclass(frozen=True, kw_only=True, slots=True)
class SequentialCyclesConfig:
    """One run: a pretrained GPT-2, the text it is updated on cycle by cycle, and how.

    The defaults are the published run [doc: Experimental Setup] where the document says, and ours
    where it is silent.
    """

    base: BaseModelConfig = field(default_factory=BaseModelConfig)
    """The model that is updated: GPT-2 with 124 M parameters [doc]."""

    corpus: CorpusConfig = field(default_factory=CorpusConfig)
    """Text, cut into one contiguous chunk per cycle; the document's own novel is not public."""

    tokenizer: TokenizerConfig = field(default_factory=lambda: TokenizerConfig(kind="gpt2"))
    """Where GPT-2's vocabulary lies; a base that brings its own vocabulary is read with that."""

    cycles: int = 12
    """Update cycles, one chunk each [doc]; 0 measures the base only."""

    steps_per_cycle: int = 200
    """Optimiser steps in each cycle [doc]."""

    batch: int = 4
    """Windows in a batch [doc]."""

    block: int = 256
    """Positions that are predicted from in a window [doc]."""

    chunk_tokens: int = 29_000
    """Most tokens of a chunk; a longer text loses its beginning. 29,000 lets a cycle of 200 steps
    see its chunk about seven times [ours: as the document's text and steps come to]."""

    learning_rate: float = 5e-5
    """Step size of AdamW, constant [doc]; 0 trains nothing and is the null of every change."""

    weight_decay: float = 0.01
    """Decoupled weight decay of AdamW, torch's default [ours]."""

    frozen: Part | None = None
    """Part of the model that is not updated; `head` in the document's frozen-head variant [doc]."""

    order: Order = "sequential"
    """What the cycles train on [doc: sequential]."""

    labels: Labels = "next"
    """What is to be predicted; `random` leaves nothing to learn but how often a token occurs."""

    gauge_shift: float = 0.0
    """Length, in mean rows of the token embedding, of a vector that the token embeddings gain and
    the position embeddings lose before training: the same function [ours]."""

    held_out_fraction: float = 0.1
    """Part of the tokens, at the end of the text, that is never trained on [ours]."""

    held_out_windows: int = 64
    """Held-out windows at which every measurement is taken, the same for all seeds and cycles."""

    calibration_bins: int = 15
    """Bins of equal width for the expected calibration error (Guo et al. 2017)."""

    generation_cycles: tuple[int, ...] = tuple(range(13))
    """Cycles after which prompts are continued; 0 is the base [ours]."""

    generation_tokens: int = 60
    """Tokens of a continuation, 4 or more [ours]."""

    temperature: float = 0.8
    """Temperature of the sampled continuations; greedy ones are kept too [ours]."""

    checkpoint_every: int = 1
    """Cycles from one checkpoint to the next; five seeds of GPT-2 write 12 GB each time [ours]."""

    group: int = 5
    """Seeds trained together, as one more dimension of every tensor [ours]."""

    threads: int = 1
    """CPU threads within one operation; with the group it fixes the last bits [ours]."""

    device: Device = "cpu"
    """Where the model trains [ours]."""

    def __post_init__(self) -> None:
        """Refuse values no run can have."""
        at_least = {"cycles": 0, "steps_per_cycle": 1, "batch": 1, "block": 1, "group": 1}
        at_least |= {"chunk_tokens": self.block + 1, "held_out_windows": 1, "threads": 1}
        at_least |= {"calibration_bins": 1, "generation_tokens": 4, "checkpoint_every": 1}
        for name, minimum in at_least.items():
            if getattr(self, name) < minimum:
                raise ValueError(f"{name} must be at least {minimum}, got {getattr(self, name)}")
        for name in ("learning_rate", "weight_decay", "gauge_shift"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"{name} must be finite and not negative, got {value}")
        if not (math.isfinite(self.temperature) and self.temperature > 0):
            raise ValueError(f"temperature must be finite and above 0, got {self.temperature}")
        if not 0 < self.held_out_fraction < 1:
            raise ValueError(
                f"held_out_fraction must be between 0 and 1, got {self.held_out_fraction}"
            )
        parts = (None, *get_args(Part))
        for name, choices in (
            ("frozen", parts),
            ("order", get_args(Order)),
            ("labels", get_args(Labels)),
            ("device", get_args(Device)),
        ):
            if getattr(self, name) not in choices:
                listed = ", ".join(str(choice) for choice in choices)
                raise ValueError(f"{name} must be one of {listed}, got {getattr(self, name)!r}")
        chosen = self.generation_cycles
        if list(chosen) != sorted(set(chosen)) or any(
            not 0 <= cycle <= self.cycles for cycle in chosen
        ):
            raise ValueError(
                "generation_cycles must increase and lie between 0 and "
                f"cycles={self.cycles}, got {chosen}"
            )


def published() -> SequentialCyclesConfig:
    """The published scale on GPT-2 itself, five seeds at once on a GPU."""
    return SequentialCyclesConfig(
        corpus=CorpusConfig(words=300_000), checkpoint_every=4, device="cuda"
    )


def stand_in() -> SequentialCyclesConfig:
    """The published scale on a stand-in of GPT-2's size, pretrained on generated text."""
    return replace(published(), base=BaseModelConfig(kind="stand_in", name="gpt2-small"))


def short() -> SequentialCyclesConfig:
    """The published model on a tenth of the steps; never fills the published-scale verdict."""
    return replace(
        published(), steps_per_cycle=20, chunk_tokens=2_900, generation_cycles=(0, 6, 12)
    )


def smoke() -> SequentialCyclesConfig:
    """Small enough for continuous integration: seconds on one CPU core for five seeds."""
    return SequentialCyclesConfig(
        base=BaseModelConfig(kind="stand_in", name="smoke"),
        corpus=CorpusConfig(words=10_000),
        steps_per_cycle=20,
        batch=8,
        block=32,
        chunk_tokens=730,  # a cycle sees its chunk about seven times, as at the published scale
        learning_rate=1e-3,
        held_out_windows=24,
        generation_cycles=(0, 6, 12),
        generation_tokens=24,
    )


PRESETS: dict[str, Callable[[], SequentialCyclesConfig]] = {
    "published": published,
    "stand_in": stand_in,
    "short": short,
    "smoke": smoke,
}
"""Named configurations of the document's full-model arm."""

TIERS = {"gpu": "published", "smoke": "smoke"}
"""Preset that speaks for each tier."""

ARMS: dict[str, Callable[[SequentialCyclesConfig], SequentialCyclesConfig]] = {
    # The document's own two.
    "full_model": lambda config: config,
    "frozen_head": lambda config: replace(config, frozen="head"),
    # The frozen head taken apart, and single parts trained alone.
    "embeddings_frozen": lambda config: replace(config, frozen="embeddings"),
    "last_block_frozen": lambda config: replace(config, frozen="last_block"),
    "wte_only": lambda config: replace(config, frozen="all_but_wte"),
    "last_block_only": lambda config: replace(config, frozen="all_but_last_block"),
    # What the cycles train on.
    "shuffled": lambda config: replace(config, order="shuffled"),
    "iid": lambda config: replace(config, order="iid"),
    "same_chunk": lambda config: replace(config, order="same_chunk"),
    "random_labels": lambda config: replace(config, labels="random"),
    # The same function in other parameters, and no change at all.
    "gauge_shifted": lambda config: replace(config, gauge_shift=2.0),
    "no_updates": lambda config: replace(config, learning_rate=0.0),
}
"""Variants of a configuration, by name."""
