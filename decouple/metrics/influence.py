"""How far a change of the input reaches into the state, and where in a window the loss is made.

Statistics are computed in float64, whatever the input.
"""

from typing import NamedTuple

import torch
from torch import Tensor


class Influence(NamedTuple):
    """What a change of the input at one position does to the state at others."""

    raw: Tensor
    """‖Δz_q‖ / δ at each query."""

    relative: Tensor
    """The same over ‖z_q‖: comparable between models whose states differ in size."""


def influence(base: Tensor, perturbed: Tensor, size: Tensor) -> Influence:
    """Influence of a change of the input on the state, by finite difference.

    `raw = ‖z'_q − z_q‖ / δ` and `relative = raw / ‖z_q‖`, with z' the state under an input changed
    by a vector of length δ.

    Args:
        base: z_q (..., C), states at the queries.
        perturbed: z'_q (..., C), the same states under the changed input.
        size: δ (...), or what broadcasts to it.

    Returns:
        Raw and relative influence, (...) each, float64.

    Raises:
        ValueError: If the shapes differ or a change has no length.
    """
    if base.shape != perturbed.shape:
        raise ValueError(
            f"perturbed must have the shape of base={tuple(base.shape)}, "
            f"got {tuple(perturbed.shape)}"
        )
    if not bool((size > 0).all()):
        raise ValueError(f"size must be positive, got {size.min().item():g}")
    change = torch.linalg.vector_norm(perturbed.double() - base.double(), dim=-1)
    raw = change / size.double()
    return Influence(raw, raw / torch.linalg.vector_norm(base.double(), dim=-1))


def change_on_halving(whole: Tensor, half: Tensor) -> Tensor:
    """Largest relative difference of a finite difference to the same with half the step.

    `max |whole − half| / |half|`, 0 where both are 0: small only where the step is short enough for
    the curvature and long enough for the arithmetic.

    Args:
        whole: Values (...) at the full step.
        half: The same at half of it.

    Returns:
        A float64 scalar.
    """
    whole, half = whole.double(), half.double()
    difference = (whole - half).abs()
    return torch.where(difference == 0, 0.0, difference / half.abs()).amax()


def binned_loss(losses: Tensor, bins: int) -> Tensor:
    """Mean loss of the tokens in each of several equal bins of positions.

    Args:
        losses: (n, T), one value per token.
        bins: Number of bins, a divisor of T.

    Returns:
        (bins,) float64; bin i starts at position i·T/bins.

    Raises:
        ValueError: If the bins would not be equal.
    """
    length = losses.shape[-1]
    if bins < 1 or length % bins:
        raise ValueError(f"bins must divide the {length} positions, got {bins}")
    return losses.double().reshape(-1, bins, length // bins).mean((0, 2))
