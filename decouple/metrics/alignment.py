"""How states line up with the rows of the output embedding."""

import torch.nn.functional as F
from torch import Tensor


def head_alignment(
    states: Tensor, embedding: Tensor, targets: Tensor, *, centred: bool = True
) -> Tensor:
    """Mean cosine between a state and the embedding of its target token.

    Centred: mean_t cos(h_t, W[y_t] − mean_v W[v]); raw: mean_t cos(h_t, W[y_t]). With a tied head
    one vector can be added to every row of W, and taken from every position, without changing the
    function. The raw cosine can be moved anywhere by that, its sign included, and so says nothing
    about the model alone; the centred one stays where it is.

    The target may be the token that follows, the one that the model predicts or the one it reads,
    and the state that before or after the final LayerNorm: the caller says which.

    Args:
        states: (..., N, D); leading dimensions, such as experts or layers, are kept.
        embedding: (V, D) output embedding W.
        targets: (N,) token ids y.
        centred: Whether the mean row is taken from the embedding.

    Returns:
        (...), between −1 and 1.
    """
    directions = embedding[targets]  # (N, D)
    if centred:
        directions = directions - embedding.mean(0)
    return F.cosine_similarity(states, directions, dim=-1).mean(-1)
