"""What a run starts from: the text as windows, and in what order each seed sees them."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from decouple.data import (
    Tokenizer,
    build_tokenizer,
    held_out_windows,
    load_corpus,
    split_chunks,
)
from decouple.experiments.base_model import tokenizer_for
from decouple.experiments.long_run.config import LongRunConfig

# Streams of randomness of a seed. Arms of the same seed share them, so that they see the same
# windows in the same order from the same vectors: differences between arms are paired.
VECTORS, ORDER, LABELS, MASK, SAMPLING, SUBSPACE = range(6)

_IN_ASCII = {
    "“": '"', "”": '"', "„": '"', "«": '"', "»": '"', "‘": "'", "’": "'", "‚": "'", "′": "'",
    "—": "--", "–": "-", "‐": "-", "‑": "-", "−": "-", "…": "...", "•": "*", "×": "x",
    "æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE", "ß": "ss", "ø": "o", "Ø": "O", "£": "L",
}  # fmt: skip


class Data(NamedTuple):
    """Text and tokens of a run, before any seed has drawn from them."""

    text: str
    tokenizer: Tokenizer
    train: np.ndarray
    """(W, T + 1) windows of an epoch."""

    held_out: np.ndarray
    """(H, T + 1) windows of the end of the text, the same in every arm."""


def prepare(config: LongRunConfig, shared: Path) -> Data:
    """Load the text and cut its tokens into training and held-out windows.

    Args:
        config: Configuration of the run.
        shared: Folder in which a trained tokenizer is kept for all runs that read the same text.

    Raises:
        ValueError: The text is too short.
    """
    text = load_corpus(config.corpus)
    chosen = tokenizer_for(config.base, config.tokenizer)
    tokenizer = build_tokenizer(chosen, text, cache=shared / "tokenizers")
    chunks = split_chunks(
        tokenizer.encode(text),
        n_chunks=1,
        held_out_fraction=config.held_out_fraction,
        minimum=config.block + 1,
    )
    train = chunks.train[0]
    if config.ascii_corpus:
        train = tokenizer.encode(to_ascii(tokenizer.decode(train)))
    fitting = (len(train) - 1) // config.block
    if fitting < max(config.batch, config.windows or 0):
        raise ValueError(
            f"corpus must hold {max(config.batch, config.windows or 0)} training windows of "
            f"block={config.block} tokens, got text for {fitting}"
        )
    return Data(
        text=text,
        tokenizer=tokenizer,
        train=held_out_windows(train, n_windows=config.windows or fitting, length=config.block),
        held_out=held_out_windows(
            chunks.held_out, n_windows=config.held_out_windows, length=config.block
        ),
    )


def to_ascii(text: str) -> str:
    """The text without any character beyond ASCII.

    Quotes, dashes and ligatures are spelled as typewriters do, accents are dropped, and what has no
    such spelling is left out.
    """
    plain = "".join(_IN_ASCII.get(character, character) for character in text)
    return unicodedata.normalize("NFKD", plain).encode("ascii", "ignore").decode("ascii")


def window_order(config: LongRunConfig, n_windows: int, seeds: Sequence[int]) -> np.ndarray:
    """Indices of the windows of every batch, (phases, S, epochs, steps, B).

    Each epoch is a permutation of its own; the windows that fill no batch are left out of it.
    Phase A has its own epochs, so that an arm without it sees phase B in the same order.

    Args:
        config: Configuration of the run.
        n_windows: Windows W of an epoch.
        seeds: Seeds of the group.
    """
    epochs = max(config.epochs_a, config.epochs_b)
    steps = n_windows // config.batch
    order = np.empty((2, len(seeds), epochs, steps, config.batch), dtype=np.int64)
    for phase, position, epoch in np.ndindex(2, len(seeds), epochs):
        generator = np.random.default_rng([seeds[position], ORDER, phase, epoch])
        permuted = generator.permutation(n_windows)[: steps * config.batch]
        order[phase, position, epoch] = permuted.reshape(steps, config.batch)
    return order


def training_mask(config: LongRunConfig, uncertain: np.ndarray, seeds: Sequence[int]) -> np.ndarray:
    """Positions that count in the loss of each seed, (S, W, T) or (1, W, T) if all share them.

    Args:
        config: Configuration of the run.
        uncertain: (W, T) boolean, the positions at which the base is least sure.
        seeds: Seeds of the group.
    """
    if config.mask == "all":
        return np.ones((1, *uncertain.shape), dtype=bool)
    if config.mask == "entropy":
        return uncertain[None]
    return np.stack(
        [
            np.random.default_rng([seed, MASK])
            .permutation(uncertain.ravel())
            .reshape(uncertain.shape)
            for seed in seeds
        ]
    )


def training_labels(config: LongRunConfig, train: np.ndarray, seeds: Sequence[int]) -> np.ndarray:
    """What is to be predicted at each position, (S, W, T) or (1, W, T) if all share it.

    Random labels are the text's own tokens dealt out anew: as frequent as before, of no context,
    and the same at a position in every epoch.
    """
    labels = train[:, 1:]
    if config.labels == "next":
        return labels[None]
    return np.stack(
        [
            np.random.default_rng([seed, LABELS]).permutation(labels.ravel()).reshape(labels.shape)
            for seed in seeds
        ]
    )


def initial_vectors(config: LongRunConfig, width: int, seeds: Sequence[int]) -> np.ndarray:
    """Normal draws, (S, vectors, C), float32."""
    shape = (len(config.blocks), width)
    return np.stack(
        [
            np.random.default_rng([seed, VECTORS]).normal(0.0, config.vector_std, shape)
            for seed in seeds
        ]
    ).astype(np.float32)


def measured_windows(n_windows: int, most: int) -> np.ndarray:
    """Indices of at most so many windows, spread evenly over all."""
    count = min(n_windows, most)
    return np.arange(count) * (n_windows - 1) // max(count - 1, 1)
