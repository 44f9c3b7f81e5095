"""The Jacobian of the equilibrium block, and its transpose, as products that cost one force each.

`linearise` evaluates the force once and keeps what its derivative needs. Each product then reuses
it: no second evaluation of the force, no graph of operations to walk, and plain tensors that a
compiled step can take as arguments. Automatic differentiation gives the same products, at twice the
arithmetic; the tests hold the two together.

A norm has a symmetric Jacobian: with n = P z · s (P subtracts the mean where the norm does, s is
the factor), `dn = s (P dz − n · mean(n · P dz))`. The same line serves both directions.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from decouple.models.equilibrium import (
    GELU_CUBIC,
    GELU_SLOPE,
    Attended,
    EquilibriumTransformer,
    activate,
    linear,
    merge_heads,
    normalise,
)


class Linearisation(NamedTuple):
    """What the Jacobian at one real state (..., T, C) is made of."""

    normed: Tensor
    """(..., T, C) the normalised state."""

    scale: Tensor
    """(..., T, 1) the factor that normalised it."""

    attended: Attended
    """Queries, keys, values and weights of the attention."""

    slope: Tensor
    """(..., T, 4C) derivative of the activation."""


def linearise(
    model: EquilibriumTransformer, state: Tensor, inputs: Tensor
) -> tuple[Tensor, Linearisation]:
    """Force (..., T, C) at a real state, and all that its Jacobian there needs."""
    normed, scale = normalise(state, centred=model.config.norm == "layer")
    attended = model.attend(normed)
    hidden = linear(normed, model.up)
    feed_forward = linear(activate(hidden, model.config.activation), model.down)
    force = inputs - model.config.decay * state + (model.mix(attended) + feed_forward)
    slope = activation_slope(hidden, model.config.activation)
    return force, Linearisation(normed, scale, attended, slope)


def jacobian_product(model: EquilibriumTransformer, at: Linearisation, vector: Tensor) -> Tensor:
    """Directional derivative J v of the force (..., T, C), v real; leading dimensions broadcast."""
    query, key, value, query_scale, key_scale, weights = at.attended
    normed = _norm_product(at.normed, at.scale, vector, centred=model.config.norm == "layer")
    projected = linear(normed, model.query_key_value).chunk(3, dim=-1)
    d_query, d_key, d_value = (model.split_heads(part) for part in projected)
    d_query = _norm_product(query, query_scale, d_query, centred=False)
    d_key = _norm_product(key, key_scale, d_key, centred=False)
    d_scores = d_query @ key.transpose(-2, -1) + query @ d_key.transpose(-2, -1)
    d_weights = _softmax_product(weights, d_scores * model.temperature)
    mixed = linear(merge_heads(d_weights @ value + weights @ d_value), model.attention_out)
    feed_forward = linear(at.slope * linear(normed, model.up), model.down)
    return mixed + feed_forward - model.config.decay * vector


def transposed_product(model: EquilibriumTransformer, at: Linearisation, vector: Tensor) -> Tensor:
    """Product Jᵀ v (..., T, C) of the transposed Jacobian of the force, v real."""
    query, key, value, query_scale, key_scale, weights = at.attended
    mixed = model.split_heads(linear(vector, model.attention_out.T))
    d_value = weights.transpose(-2, -1) @ mixed
    d_weights = mixed @ value.transpose(-2, -1)
    d_scores = _softmax_product(weights, d_weights) * model.temperature
    d_query = _norm_product(query, query_scale, d_scores @ key, centred=False)
    d_key = _norm_product(key, key_scale, d_scores.transpose(-2, -1) @ query, centred=False)
    projected = torch.cat([merge_heads(part) for part in (d_query, d_key, d_value)], dim=-1)
    normed = linear(projected, model.query_key_value.T)
    normed = normed + linear(at.slope * linear(vector, model.down.T), model.up.T)
    branches = _norm_product(at.normed, at.scale, normed, centred=model.config.norm == "layer")
    return branches - model.config.decay * vector


def on_complex(product: Callable[[Tensor], Tensor], vector: Tensor) -> Tensor:
    """Apply a product with a real matrix to a real or complex vector."""
    if not vector.is_complex():
        return product(vector)
    parts = product(torch.stack([vector.real, vector.imag]))
    return torch.complex(parts[0], parts[1])


def activation_slope(x: Tensor, name: str) -> Tensor:
    """Derivative of the activation at a real x."""
    if name == "silu":
        gate = x.sigmoid()
        return gate * (1 + x * (1 - gate))
    square = x * x
    bend = (GELU_SLOPE * x * (1 + GELU_CUBIC * square)).tanh()
    inner = GELU_SLOPE * (1 + 3 * GELU_CUBIC * square)
    return 0.5 * (1 + bend) + 0.5 * x * (1 - bend * bend) * inner


def _norm_product(normed: Tensor, scale: Tensor, vector: Tensor, *, centred: bool) -> Tensor:
    if centred:
        vector = vector - vector.mean(-1, keepdim=True)
    return scale * (vector - normed * (normed * vector).mean(-1, keepdim=True))


def _softmax_product(weights: Tensor, vector: Tensor) -> Tensor:
    return weights * (vector - (weights * vector).sum(-1, keepdim=True))
