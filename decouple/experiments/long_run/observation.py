"""What stacked models show on some windows: losses, entropies and states."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.func import functional_call, vmap

from decouple.metrics.language import entropy, token_cross_entropy
from decouple.models.conductor import Conductor
from decouple.training.ensemble import Parameters

NUMBERS_AT_ONCE = 1 << 27
"""Logits that may be held at a time, 512 MiB of them."""


class Observed(NamedTuple):
    """What (W, T + 1) windows show of S models."""

    loss: Tensor
    """(S, W, T) cross-entropy at each position, in nats."""

    entropy: Tensor
    """(S, W, T) entropy of the predicted distribution, in nats; empty unless asked for."""

    states: Tensor
    """(layers, S, W, T, C) residual stream after the blocks asked for."""

    final: Tensor
    """(S, W, T, C) states from which the logits are read; empty unless states are asked for."""


@torch.no_grad()
def observe(
    conductor: Conductor,
    parameters: Parameters,
    windows: Tensor,
    *,
    scale: float,
    layers: Sequence[int] = (),
    with_entropy: bool = False,
) -> Observed:
    """Pass windows through all models, as many at a time as there is room for.

    Args:
        conductor: Architecture.
        parameters: Stacked parameters, (S, ...) by name.
        windows: (W, T + 1) token ids.
        scale: Factor on the vectors; 0 takes them out.
        layers: Blocks whose states are kept.
        with_entropy: Whether entropies are wanted.
    """

    def one(parameters: Parameters, windows: Tensor) -> tuple[Tensor, ...]:
        inputs, targets = windows[:, :-1], windows[:, 1:]
        output = functional_call(conductor, parameters, (inputs, scale), {"layers": layers})
        losses = token_cross_entropy(output.logits, targets)
        certainty = entropy(output.logits.softmax(-1)) if with_entropy else losses[:0]
        if not output.states:
            return losses, certainty, output.final[:0], output.final[:0]
        return losses, certainty, torch.stack(output.states), output.final

    n_models, vocab_size = len(next(iter(parameters.values()))), conductor.model.config.vocab_size
    at_once = max(1, NUMBERS_AT_ONCE // (n_models * windows.shape[1] * vocab_size))
    batched = vmap(one, in_dims=(0, None))
    parts = [batched(parameters, each) for each in torch.split(windows, at_once)]
    loss, certainty, states, final = zip(*parts, strict=True)
    return Observed(
        loss=torch.cat(loss, dim=1),
        entropy=torch.cat(certainty, dim=1),
        states=torch.cat(states, dim=2).transpose(0, 1) if layers else states[0],
        final=torch.cat(final, dim=1),
    )


def tokens_of(states: Tensor, *, first: int = 1) -> Tensor:
    """The states (..., W, T, C) of windows as those of so many tokens, (..., N, C).

    Args:
        states: By window and position.
        first: Position of a window at which to begin. The first position is left out by default:
            it sees nothing but itself, and the heads of a GPT-2 look there when there is nothing to
            look for (Xiao et al. 2023, "attention sinks"). Its state is many times as long as any
            other and nearly the same whatever the token, so that squares summed over all positions
            would say where that one vector points, and little of the rest.
    """
    return states[..., first:, :].flatten(-3, -2)
