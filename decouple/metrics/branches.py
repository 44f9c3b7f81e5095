"""How much the branches of a block add, and how its attention spreads.

Statistics are computed in float64, whatever the input.
"""

import torch
from torch import Tensor

from decouple.metrics.language import entropy


def share(branch: Tensor, inputs: Tensor) -> Tensor:
    """Size of a branch's output relative to the block's input, ‖branch‖ / ‖x_in‖.

    Both norms are Euclidean over all tokens of all samples together, so that a token whose input is
    short does not decide the ratio.

    Args:
        branch: Output of attention or of the feed-forward map, any shape.
        inputs: Input x_in of the block, the same shape.

    Returns:
        A float64 scalar, not negative.

    Raises:
        ValueError: If the shapes differ or the input is zero.
    """
    if branch.shape != inputs.shape:
        raise ValueError(
            f"branch must have the shape of inputs={tuple(inputs.shape)}, got {tuple(branch.shape)}"
        )
    length = torch.linalg.vector_norm(inputs.double())
    if length == 0:
        raise ValueError("inputs must not be zero everywhere, or no share of them is defined")
    ratio: Tensor = torch.linalg.vector_norm(branch.double()) / length
    return ratio


def attention_entropy(weights: Tensor) -> Tensor:
    """Mean entropy of the attention of a query, mean over heads and queries of −Σ_s w_s ln w_s.

    Causal attention that is uniform over what it sees has `ln(T!) / T`: 4.56 at T = 256, which is
    the value published for the untrained model.

    Args:
        weights: (..., T, T), each row summing to 1.

    Returns:
        A float64 scalar in nats, between 0 and ln T.
    """
    return entropy(weights.double()).mean()


def rms(vectors: Tensor) -> Tensor:
    """Root mean square of a vector's components, √(mean_c v_c²), averaged over the vectors.

    Args:
        vectors: (..., C).

    Returns:
        A float64 scalar, not negative; 1 for vectors that an RMS norm has normalised.
    """
    return vectors.double().square().mean(-1).sqrt().mean()


def logit_std(scores: Tensor) -> Tensor:
    """Spread of the attention logits over the keys that a query sees.

    Root mean square, over all pairs of a query t and a key s ≤ t, of the deviation from the mean of
    the query's logits: a shift of all of a query's logits changes neither this nor its attention.

    Args:
        scores: (..., T, T) logits before the softmax; those of keys s > t are not read.

    Returns:
        A float64 scalar, 0 where attention is uniform.
    """
    length = scores.shape[-1]
    visible = torch.ones(length, length, dtype=torch.bool, device=scores.device).tril()
    seen = scores.double().masked_fill(~visible, 0.0)
    mean = seen.sum(-1, keepdim=True) / visible.sum(-1, keepdim=True)
    deviation = (seen - mean).masked_fill(~visible, 0.0)
    pairs = deviation.numel() // length**2 * visible.sum()
    return (deviation.square().sum() / pairs).sqrt()
