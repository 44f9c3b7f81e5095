"""What a run starts from: windows of tokens and an initial model, drawn from its seed alone."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from decouple.data import build_tokenizer, held_out_windows, load_corpus, sample_windows
from decouple.experiments.ep_plateau.config import EPPlateauConfig
from decouple.models.equilibrium import EquilibriumTransformer, build_equilibrium
from decouple.models.equilibrium_config import EquilibriumConfig
from decouple.models.transformer import build_transformer

# Streams of randomness of a seed. Arms of the same seed share them, so that they start from the
# same parameters and see the same windows: differences between arms are paired.
INITIALISATION, ORDER, READOUT = range(3)


@dataclass(frozen=True, slots=True)
class Data:
    """Windows (n, T + 1) of token ids on the device of the run, the same for all seeds."""

    vocab_size: int

    train: Tensor
    """Side by side, without overlap."""

    validation: Tensor
    """(held_out_windows, T + 1) evenly spaced over the held-out end of the text."""

    held_out: np.ndarray
    """(N,) the held-out tokens themselves, from which seeds draw their own batches."""


def prepare(config: EPPlateauConfig, scratch: Path) -> Data:
    """Load the text and cut its tokens into training and held-out windows.

    Args:
        config: Configuration of the run.
        scratch: Folder in which a trained tokenizer is kept.

    Raises:
        ValueError: If the text is too short for a batch and for a held-out window.
    """
    text = load_corpus(config.corpus)
    tokenizer = build_tokenizer(config.tokenizer, text, cache=scratch / "tokenizers")
    tokens = tokenizer.encode(text)
    length = config.model.context
    tail = int(len(tokens) * config.held_out_fraction)
    train, held_out = tokens[: len(tokens) - tail], tokens[len(tokens) - tail :]
    n_windows = (len(train) - 1) // length
    if n_windows < config.training.batch or tail < length + 1:
        raise ValueError(
            f"corpus must give at least {config.training.batch} training windows and one held-out "
            f"window of {length} tokens, got {n_windows} windows and a tail of {tail} tokens"
        )
    offsets = np.arange(n_windows)[:, None] * length + np.arange(length + 1)
    validation = held_out_windows(held_out, n_windows=config.held_out_windows, length=length)
    return Data(
        vocab_size=tokenizer.vocab_size,
        train=torch.from_numpy(train[offsets]).to(config.device),
        validation=torch.from_numpy(validation).to(config.device),
        held_out=held_out,
    )


def readout_batches(config: EPPlateauConfig, data: Data, seed: int) -> Tensor:
    """Held-out batches (n, B, T + 1) of a seed on which gradients are compared; all differ."""
    shape = config.triangulation
    windows = sample_windows(
        data.held_out,
        n_windows=shape.batches * shape.batch,
        length=config.model.context,
        generator=np.random.default_rng([seed, READOUT]),
    )
    batches = torch.from_numpy(windows).to(config.device, torch.int64)
    return batches.view(shape.batches, shape.batch, -1)


def initial_model(config: EPPlateauConfig, vocab_size: int, seed: int) -> nn.Module:
    """Freshly initialised model, drawn on the CPU so that every device starts from the same."""
    generator = torch.Generator().manual_seed(stream(seed, INITIALISATION))
    if not isinstance(config.model, EquilibriumConfig):
        return build_transformer(config.model, vocab_size, generator).to(config.device)
    model = build_equilibrium(config.model, vocab_size, generator)
    with torch.no_grad():
        model.up.mul_(config.start.up_factor)
    return model.to(config.device)


def stream(seed: int, purpose: int) -> int:
    """Seed of one of the independent streams of randomness of a seed."""
    return int(np.random.SeedSequence([seed, purpose]).generate_state(1, np.uint64)[0])


def as_equilibrium(model: nn.Module) -> EquilibriumTransformer:
    """The model, known to be an equilibrium block.

    Raises:
        TypeError: If it is another kind of model.
    """
    if not isinstance(model, EquilibriumTransformer):
        raise TypeError(f"model must be an EquilibriumTransformer, got {type(model).__name__}")
    return model
