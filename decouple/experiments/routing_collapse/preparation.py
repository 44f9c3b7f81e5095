"""What a run starts from: tokens, windows and initial models, each drawn from its seed alone."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from decouple.data import (
    build_tokenizer,
    held_out_windows,
    load_corpus,
    sample_windows,
    split_chunks,
)
from decouple.experiments.routing_collapse.config import RoutingCollapseConfig
from decouple.models.moe import MoETransformer, build_moe
from decouple.training.cycles import order_windows

# Streams of randomness of a seed. Arms of the same seed share them, so that they start from the
# same parameters and see the same windows: differences between arms are paired.
INITIALISATION, WINDOWS, ORDER, OUTLIER = range(4)


class Data(NamedTuple):
    """Tokens of a run, before any seed has drawn from them."""

    vocab_size: int
    chunks: tuple[np.ndarray, ...]
    held_out: np.ndarray
    """(held_out_windows, context + 1)."""


def prepare(config: RoutingCollapseConfig, shared: Path) -> Data:
    """Load the text and cut its tokens into training chunks and held-out windows.

    Args:
        config: Configuration of the run.
        shared: Folder in which a trained tokenizer is kept for all runs that read the same text.
    """
    text = load_corpus(config.corpus)
    tokenizer = build_tokenizer(config.tokenizer, text, cache=shared / "tokenizers")
    chunks = split_chunks(
        tokenizer.encode(text),
        n_chunks=max(config.cycles, 1),
        held_out_fraction=config.held_out_fraction,
        minimum=config.model.context + 1,
    )
    return Data(
        vocab_size=tokenizer.vocab_size,
        chunks=chunks.train,
        held_out=held_out_windows(
            chunks.held_out, n_windows=config.held_out_windows, length=config.model.context
        ),
    )


def training_windows(config: RoutingCollapseConfig, data: Data, seeds: Sequence[int]) -> np.ndarray:
    """Every training window of every seed, (S, cycles, steps, B, T + 1), in the arm's order."""
    shape = (config.steps_per_cycle, config.batch, config.model.context + 1)
    windows = np.empty((len(seeds), config.cycles, *shape), dtype=np.int32)
    for position, seed in enumerate(seeds):
        for cycle in range(config.cycles):
            drawn = sample_windows(
                data.chunks[cycle],
                n_windows=config.steps_per_cycle * config.batch,
                length=config.model.context,
                generator=np.random.default_rng([seed, WINDOWS, cycle]),
            )
            windows[position, cycle] = drawn.reshape(shape)
    return order_windows(
        windows, config.order, [np.random.default_rng([seed, ORDER]) for seed in seeds]
    )


def initial_models(
    config: RoutingCollapseConfig, vocab_size: int, seeds: Sequence[int]
) -> list[MoETransformer]:
    """Freshly initialised models, drawn on the CPU so that every device starts from the same."""
    models = []
    for seed in seeds:
        entropy = np.random.SeedSequence([seed, INITIALISATION]).generate_state(1, np.uint64)
        generator = torch.Generator().manual_seed(int(entropy[0]))
        models.append(build_moe(config.model, vocab_size, generator))
    return models


def outlier_windows(config: RoutingCollapseConfig, data: Data, seeds: Sequence[int]) -> np.ndarray:
    """One batch of uniformly random tokens for each seed, (S, B, T + 1)."""
    shape = (config.batch, config.model.context + 1)
    return np.stack(
        [
            np.random.default_rng([seed, OUTLIER]).integers(data.vocab_size, size=shape)
            for seed in seeds
        ]
    )
