"""How gradients of the same parameters agree: direction, length, and over batches."""

from collections.abc import Mapping, Sequence
from itertools import combinations

import torch
from torch import Tensor


def flatten(gradients: Mapping[str, Tensor]) -> Tensor:
    """All gradients as one vector in double precision, (P,), in the order of the mapping."""
    return torch.cat([gradient.detach().double().flatten() for gradient in gradients.values()])


def cosine(first: Tensor, second: Tensor) -> float:
    """`a·b / (‖a‖ ‖b‖)` of two vectors (P,), in [−1, 1].

    A vector that is not finite, or zero, has no direction: the cosine with it is 0.
    """
    # Each scaled by its largest entry first: the square of a large finite entry need not be finite.
    lengths = [vector.abs().max() for vector in (first, second)]
    if not all(0 < float(length) < float("inf") for length in lengths):
        return 0.0
    a, b = first / lengths[0], second / lengths[1]
    return float((a @ b) / (a.norm() * b.norm()))


def norm_ratio(first: Tensor, second: Tensor, *, largest: float) -> float:
    """`‖a‖ / ‖b‖` of two vectors (P,), at most `largest`, which also stands for what is no number.

    Raises:
        ValueError: If `largest` is not positive.
    """
    if not largest > 0:
        raise ValueError(f"largest must be positive, got {largest}")
    ratio = float(first.norm() / second.norm())
    return ratio if ratio <= largest else largest


def self_cosines(vectors: Sequence[Tensor]) -> list[float]:
    """Cosine of every pair of gradients (P,), each of another batch; n·(n − 1) / 2 numbers.

    Raises:
        ValueError: If there are fewer than two.
    """
    if len(vectors) < 2:
        raise ValueError(f"vectors must be at least two to make a pair, got {len(vectors)}")
    return [cosine(first, second) for first, second in combinations(vectors, 2)]
