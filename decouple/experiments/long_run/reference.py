"""What the base model says of the text: computed once, shared by all arms and seeds."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from decouple.experiments.long_run.cells import ALL_POSITIONS, TRAINED
from decouple.experiments.long_run.config import LongRunConfig
from decouple.experiments.long_run.observation import observe, tokens_of
from decouple.experiments.long_run.preparation import SUBSPACE, Data
from decouple.metrics.dark_matter import embedding_basis, principal_basis, random_basis
from decouple.metrics.text import lead_positions
from decouple.models.conductor import Conductor
from decouple.models.gpt2_config import base_fingerprint
from decouple.training.ensemble import stack_parameters

KEPT = 2
"""References kept in memory: of a text, and of the same text in ASCII."""


class Positions(NamedTuple):
    """Kinds of positions of some windows, (W, T) boolean each."""

    uncertain: Tensor
    """Where the base model's predictive entropy is in the top tenth (`mask_share`)."""

    certain: Tensor
    """Where it is below its median."""


class Reference(NamedTuple):
    """The base model's view of a run's windows, on the run's device."""

    train: Positions
    """Of all training windows, (W, T)."""

    held_out: Positions
    """Of the held-out windows, (H, T), ranked among themselves."""

    lead: Tensor
    """(H, T) boolean: held-out positions at which a character is left incomplete."""

    loss: float
    """Held-out loss in nats per token."""

    states: Tensor
    """(layers, H, T, C) held-out residual stream after the blocks with a vector."""

    bases: Mapping[tuple[str, int], Tensor]
    """(name in `cells.BASES`, block) to (C, k) orthonormal columns."""


_known: dict[str, Reference] = {}


def look_up(config: LongRunConfig, conductor: Conductor, data: Data) -> Reference:
    """The base model's view, computed the first time that a process asks for it.

    Args:
        config: Configuration of the run.
        conductor: The base model on the device of the run.
        data: The windows.
    """
    decides = (config.blocks, config.components, config.mask_share, config.device, config.threads)
    digest = hashlib.sha256(repr((base_fingerprint(config.base), decides)).encode())
    for windows in (data.train, data.held_out):
        digest.update(repr(windows.shape).encode())
        digest.update(np.ascontiguousarray(windows).data)
    key = digest.hexdigest()
    if key not in _known:
        while len(_known) >= KEPT:
            del _known[next(iter(_known))]
        _known[key] = _compute(config, conductor, data)
    return _known[key]


def _compute(config: LongRunConfig, conductor: Conductor, data: Data) -> Reference:
    base = stack_parameters([conductor], device=config.device)
    train, held_out = (
        torch.from_numpy(windows).to(config.device, torch.int64)
        for windows in (data.train, data.held_out)
    )
    on_train = observe(conductor, base, train, scale=0.0, with_entropy=True)
    seen = observe(conductor, base, held_out, scale=0.0, layers=config.blocks, with_entropy=True)
    tokens = [data.tokenizer.decode_bytes([token]) for token in range(data.tokenizer.vocab_size)]
    lead = np.zeros((len(data.held_out), config.block), dtype=bool)
    for row, window in zip(lead, data.held_out, strict=True):
        row[lead_positions(tokens, window)] = True
    states = seen.states[:, 0]
    return Reference(
        train=rank_positions(on_train.entropy[0], config.mask_share),
        held_out=rank_positions(seen.entropy[0], config.mask_share),
        lead=torch.from_numpy(lead).to(config.device),
        loss=float(seen.loss.double().mean()),
        states=states,
        bases=_bases(config, conductor, states, seen.final[0]),
    )


def rank_positions(entropy: Tensor, share: float) -> Positions:
    """Sort positions by the entropy of the base model's prediction.

    The mask keeps exactly round(share · N) of all N positions, ties in the order of the text.

    Args:
        entropy: (W, T) in nats.
        share: Part of the positions, between 0 and 1, that the mask keeps.
    """
    flat = entropy.flatten()
    order = flat.argsort(descending=True, stable=True)
    uncertain = torch.zeros_like(flat, dtype=torch.bool)
    uncertain[order[: max(1, round(share * len(flat)))]] = True
    certain = torch.zeros_like(uncertain)
    certain[order[(len(flat) + 1) // 2 :]] = True
    return Positions(uncertain.view_as(entropy), certain.view_as(entropy))


def _bases(
    config: LongRunConfig, conductor: Conductor, states: Tensor, final: Tensor
) -> dict[tuple[str, int], Tensor]:
    k, width = config.components, final.shape[-1]
    generator = torch.Generator().manual_seed(SUBSPACE)
    shared = {
        TRAINED: principal_basis(tokens_of(final), k),
        ALL_POSITIONS: principal_basis(tokens_of(final, first=0), k),
        "embedding_basis": embedding_basis(conductor.model.transformer.wte.weight.detach(), k),
        "random_basis": random_basis(width, k, generator).to(final.device),
    }
    bases = {(name, layer): basis for name, basis in shared.items() for layer in config.blocks}
    for layer, own in zip(config.blocks, states, strict=True):
        bases["own_basis", layer] = principal_basis(tokens_of(own), k)
    return bases
