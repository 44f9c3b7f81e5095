"""The residual stream of GPT-2, written out over a mapping of parameters.

The same function as `GPT2LMHeadModel.forward`, which a test holds to rounding, without what a
library's forward pass does besides: at the size of the smoke stand-in that is half of the time. It
maps over stacked parameters with `vmap` and can be differentiated twice.
"""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

PREFIX = "transformer."
"""What the names of all parameters begin with."""


def states_after_blocks(
    parameters: Mapping[str, Tensor],
    tokens: Tensor,
    *,
    layers: int,
    heads: int,
    epsilon: float,
    injected: Mapping[int, Tensor],
) -> list[Tensor]:
    """States of the residual stream after each block (Radford et al. 2019, section 2.3).

    x₀ = W[token] + P[position]; in each block x ← x + Attn(LN x), then x ← x + MLP(LN x), and what
    is injected after it is added.

    Args:
        parameters: By name, as in `GPT2LMHeadModel.named_parameters()`.
        tokens: (B, T) token ids.
        layers: Number of blocks L.
        heads: Attention heads H.
        epsilon: Added to variances in LayerNorm.
        injected: Block index to what is added to the stream after that block.

    Returns:
        L tensors (B, T, C).
    """
    length = tokens.shape[1]
    causal = torch.full((length, length), -torch.inf, device=tokens.device).triu(1)  # (T, T)
    positions = parameters[f"{PREFIX}wpe.weight"][:length]
    x = F.embedding(tokens, parameters[f"{PREFIX}wte.weight"]) + positions  # (B, T, C)
    states = []
    for index in range(layers):
        block = f"{PREFIX}h.{index}."
        x = x + _attention(
            parameters, block, _norm(parameters, f"{block}ln_1", x, epsilon), heads, causal
        )
        hidden = _linear(
            parameters, f"{block}mlp.c_fc", _norm(parameters, f"{block}ln_2", x, epsilon)
        )
        x = x + _linear(parameters, f"{block}mlp.c_proj", F.gelu(hidden, approximate="tanh"))
        if index in injected:
            x = x + injected[index]
        states.append(x)
    return states


def final_norm(parameters: Mapping[str, Tensor], x: Tensor, epsilon: float) -> Tensor:
    """The LayerNorm before the head; any shape (..., C)."""
    return _norm(parameters, f"{PREFIX}ln_f", x, epsilon)


def _attention(
    parameters: Mapping[str, Tensor], block: str, x: Tensor, heads: int, causal: Tensor
) -> Tensor:
    width = x.shape[-1] // heads
    mixed = _linear(parameters, f"{block}attn.c_attn", x)  # (B, T, 3C)
    query, key, value = (
        mixed.reshape(*x.shape[:-1], 3, heads, width).permute(2, 0, 3, 1, 4).unbind(0)
    )
    scores = (query * width**-0.5) @ key.transpose(-1, -2) + causal.to(x.dtype)  # (B, H, T, T)
    read = scores.softmax(-1) @ value  # (B, H, T, C / H)
    return _linear(parameters, f"{block}attn.c_proj", read.transpose(1, 2).flatten(2))


def _linear(parameters: Mapping[str, Tensor], name: str, x: Tensor) -> Tensor:
    return x @ parameters[f"{name}.weight"] + parameters[f"{name}.bias"]


def _norm(parameters: Mapping[str, Tensor], name: str, x: Tensor, epsilon: float) -> Tensor:
    weight, bias = parameters[f"{name}.weight"], parameters[f"{name}.bias"]
    return F.layer_norm(x, (x.shape[-1],), weight, bias, epsilon)
