"""How states line up with the rows of the output embedding."""

import torch.nn.functional as F
from torch import Tensor


def head_alignment(states: Tensor, embedding: Tensor, targets: Tensor) -> Tensor:
    """Mean cosine between a state and the embedding of its target token.

    mean_t cos(h_t, W[y_t] − mean_v W[v]). The embedding is centred because with a tied head the
    same vector can be added to every row of W, and taken from every position, without changing the
    function: the raw cosine with W[y_t] can be moved anywhere by that, its sign included.

    Args:
        states: (..., N, D); leading dimensions, such as experts or layers, are kept.
        embedding: (V, D) output embedding W.
        targets: (N,) token ids y.

    Returns:
        (...), between −1 and 1.
    """
    directions = embedding[targets] - embedding.mean(0)  # (N, D)
    return F.cosine_similarity(states, directions, dim=-1).mean(-1)
