"""GPT-2 with learnable vectors added to its residual stream [long_run: Experimental Setup]."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from transformers import GPT2LMHeadModel

from decouple.models.gpt2 import stream

VECTORS = "vectors"
"""Name of the parameter that holds the vectors; all others belong to the model."""


class ConductorOutput(NamedTuple):
    """What a forward pass shows."""

    logits: Tensor
    """(B, T, V), or (B, K, V) at the positions asked for."""

    states: tuple[Tensor, ...]
    """(B, T, C) residual stream after each of the blocks asked for, a vector there included."""

    final: Tensor
    """(B, T, C) states after the final LayerNorm, from which the logits are read."""


class Conductor(nn.Module):
    r"""A language model with one vector \(v_b\) added after each of some blocks b.

    \(h_b \leftarrow h_b + s\,v_b\) at every position, with s = 1 unless a scale is given: 0 takes
    the scaffold away, values between anneal it. The vectors are parameters beside the model's, so
    that `torch.func.functional_call` and `vmap` see both.

    Args:
        model: GPT-2 with its head.
        blocks: Blocks, counted from 0, after which a vector is added; increasing.

    Raises:
        ValueError: If a block is not one of the model's, or the blocks do not increase.
    """

    def __init__(self, model: GPT2LMHeadModel, blocks: Sequence[int]) -> None:
        super().__init__()
        layers, width = model.config.n_layer, model.config.n_embd
        if not blocks or list(blocks) != sorted(set(blocks)):
            raise ValueError(f"blocks must be one block or more, increasing, got {tuple(blocks)}")
        if blocks[0] < 0 or blocks[-1] >= layers:
            raise ValueError(
                f"blocks must lie between 0 and {layers - 1}, the last of the model, "
                f"got {tuple(blocks)}"
            )
        self.model = model
        self.blocks = tuple(blocks)
        self.vectors = nn.Parameter(torch.zeros(len(blocks), width))

    def forward(
        self,
        tokens: Tensor,
        scale: float = 1.0,
        *,
        positions: Tensor | None = None,
        layers: Sequence[int] = (),
    ) -> ConductorOutput:
        """Logits and, where asked for, states.

        Args:
            tokens: (B, T) token ids.
            scale: Factor on all vectors; 0 leaves them out altogether.
            positions: (B, K) positions at which logits are needed; None means all. The head is a
                third of GPT-2's arithmetic, and a masked loss reads a tenth of it.
            layers: Blocks whose states are returned, in this order.
        """
        vectors = zip(self.blocks, self.vectors, strict=True)
        injected = {block: scale * vector for block, vector in vectors} if scale else None
        states = stream(self.model, tokens, injected=injected)
        final = states.after  # (B, T, C)
        read = final
        if positions is not None:
            index = positions.unsqueeze(-1).expand(-1, -1, final.shape[-1])
            read = final.gather(1, index)  # (B, K, C)
        logits = self.model.lm_head(read)
        return ConductorOutput(logits, tuple(states.blocks[layer] for layer in layers), final)
