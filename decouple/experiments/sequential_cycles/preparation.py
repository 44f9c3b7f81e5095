"""What a run starts from: the base, tokens and windows, each drawn from its seed alone."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from transformers import GPT2LMHeadModel

from decouple.data import (
    Tokenizer,
    build_tokenizer,
    held_out_windows,
    load_corpus,
    sample_windows,
    split_chunks,
)
from decouple.experiments.base_model import tokenizer_for
from decouple.experiments.sequential_cycles.config import SequentialCyclesConfig
from decouple.metrics.alignment import head_alignment
from decouple.models.gpt2 import apply_gauge_shift, final_states, load_base
from decouple.models.gpt2_config import BaseShape, base_shape, head_modules
from decouple.training.cycles import order_windows

# Streams of randomness of a seed. Arms of the same seed share them, so that they see the same
# windows in the same order wherever they can: differences between arms are paired.
WINDOWS, ORDER, LABELS, SAMPLING, POSITIONS = range(5)


class Data(NamedTuple):
    """Text and tokens of a run, before any seed has drawn from them."""

    text: str
    tokenizer: Tokenizer
    chunks: tuple[np.ndarray, ...]
    tail: np.ndarray
    """(N,) the end of the text, which is never trained on."""

    held_out: np.ndarray
    """(held_out_windows, block + 1), evenly spaced over the tail."""


def prepare(config: SequentialCyclesConfig, shared: Path) -> Data:
    """Load the text and cut its tokens into training chunks and held-out windows.

    Args:
        config: Configuration of the run.
        shared: Folder in which a trained tokenizer is kept for all runs that read the same text.
    """
    text = load_corpus(config.corpus)
    chosen = tokenizer_for(config.base, config.tokenizer)
    tokenizer = build_tokenizer(chosen, text, cache=shared / "tokenizers")
    n_chunks = max(config.cycles, 1)
    # The end of the book is held out and the last chunk runs up to it, however long the book.
    most = int(n_chunks * config.chunk_tokens / (1 - config.held_out_fraction))
    chunks = split_chunks(
        tokenizer.encode(text)[-most:],
        n_chunks=n_chunks,
        held_out_fraction=config.held_out_fraction,
        minimum=config.block + 1,
    )
    return Data(
        text=text,
        tokenizer=tokenizer,
        chunks=chunks.train,
        tail=chunks.held_out,
        held_out=held_out_windows(
            chunks.held_out, n_windows=config.held_out_windows, length=config.block
        ),
    )


def training_pairs(config: SequentialCyclesConfig, data: Data, seeds: Sequence[int]) -> np.ndarray:
    """Every batch of every seed as tokens and labels, (S, cycles, steps, B, 2, T)."""
    shape = (config.steps_per_cycle, config.batch, config.block + 1)
    windows = np.empty((len(seeds), config.cycles, *shape), dtype=np.int32)
    for position, seed in enumerate(seeds):
        for cycle in range(config.cycles):
            drawn = sample_windows(
                data.chunks[0 if config.order == "same_chunk" else cycle],
                n_windows=config.steps_per_cycle * config.batch,
                length=config.block,
                generator=np.random.default_rng([seed, WINDOWS, cycle]),
            )
            windows[position, cycle] = drawn.reshape(shape)
    if config.order in ("shuffled", "iid"):
        generators = [np.random.default_rng([seed, ORDER]) for seed in seeds]
        windows = order_windows(windows, config.order, generators)
    labels = windows[..., 1:]
    if config.labels == "random":
        labels = _deal_out(labels, seeds)
    return np.stack([windows[..., :-1], labels], axis=-2)


def drawn_windows(config: SequentialCyclesConfig, data: Data, seeds: Sequence[int]) -> np.ndarray:
    """Held-out windows of each seed's own, (S, W, T + 1).

    All seeds start from one base and are measured at the same windows, so that their baseline is
    one number. How much of it is the choice of windows shows only where each seed has its own.
    """
    return np.stack(
        [
            sample_windows(
                data.tail,
                n_windows=config.held_out_windows,
                length=config.block,
                generator=np.random.default_rng([seed, POSITIONS]),
            )
            for seed in seeds
        ]
    )


def _deal_out(labels: np.ndarray, seeds: Sequence[int]) -> np.ndarray:
    """The labels of each cycle in random order: as frequent as before, and of no context."""
    dealt = np.empty_like(labels)
    for position, seed in enumerate(seeds):
        for cycle, own in enumerate(labels[position]):
            generator = np.random.default_rng([seed, LABELS, cycle])
            dealt[position, cycle] = generator.permutation(own.ravel()).reshape(own.shape)
    return dealt


def frozen_modules(config: SequentialCyclesConfig, shape: BaseShape) -> tuple[str, ...]:
    """Names of the modules that are not updated, as `stack_parameters` takes them.

    Args:
        config: Configuration of the run.
        shape: Shape of the base.
    """
    last_block = str(shape.layers - 1)
    earlier = tuple(str(block) for block in range(shape.layers - 1))
    return {
        None: (),
        "head": head_modules(shape),
        "embeddings": ("wte", "wpe"),
        "last_block": (last_block, "ln_f"),
        "all_but_wte": ("h", "ln_f", "wpe"),
        "all_but_last_block": ("wte", "wpe", *earlier),
    }[config.frozen]


def starting_model(config: SequentialCyclesConfig, data: Data) -> GPT2LMHeadModel:
    """The base, in the gauge that the arm asks for.

    Raises:
        ValueError: If the windows are longer than what the base can read.
    """
    context = base_shape(config.base).context
    if config.block > context:
        raise ValueError(
            f"block must be at most the base's context of {context}, got {config.block}"
        )
    model = load_base(config.base)
    if config.gauge_shift:
        apply_gauge_shift(model, opposing_shift(model, data.held_out, config.gauge_shift))
    return model


@torch.no_grad()
def opposing_shift(model: GPT2LMHeadModel, held_out: np.ndarray, length: float) -> Tensor:
    """A vector (C,) that, added to every token embedding, turns the raw alignment the other way.

    It lies along the mean final state, against the sign that the alignment has.

    Args:
        model: The base.
        held_out: (W, T + 1) token ids of the held-out windows.
        length: Its length, in mean lengths of a row of the embedding.
    """
    windows = torch.from_numpy(held_out).long()
    states = final_states(model, windows[:, :-1]).after.flatten(0, 1)  # (N, C)
    embedding = model.transformer.wte.weight
    alignment = head_alignment(states, embedding, windows[:, 1:].flatten(), centred=False)
    mean = states.mean(0)
    reach = length * embedding.norm(dim=1).mean() / mean.norm()
    shift: Tensor = -alignment.sign() * reach * mean
    return shift
