"""How much of the hidden states lies outside a few directions: the "dark-matter" ratio.

The document reports a dark-matter ratio, an embedding alignment and a retention without defining
the first two. Here a subspace of k directions, fixed before training starts, stands for what is
visible; dark matter is the share of the centred states' energy outside it. Which k directions is
open, so there are three bases to choose from:

- the leading principal components of the base model's final states (`principal_basis`),
- the leading right singular vectors of the centred output embedding (`embedding_basis`),
- the layer's own leading components, of the base model at that layer (`principal_basis` again),

and a random one of the same size (`random_basis`) as their null. A basis refitted to the trained
model would follow the states and is not meant. States without any preferred direction give
1 − k/C (`isotropic_null`). Further readings, not offered: energy outside of what a linear probe
uses, or outside of what sparse features reconstruct.

Everything is computed in float64, since the differences looked for are a thousandth of the ratio.
"""

import math

import torch
from torch import Tensor

INDEPENDENT = 1e-6
"""Vectors count as dependent if a singular value of their normalised rows is below this."""


def principal_basis(states: Tensor, k: int) -> Tensor:
    """Leading principal directions of some states, as orthonormal columns.

    Eigenvectors of the covariance of H − mean(H) with the k largest eigenvalues; their signs, and
    their order among equal eigenvalues, mean nothing.

    Args:
        states: (..., N, C), N tokens; leading dimensions, such as seeds, are kept.
        k: Number of directions, from 1 to C.

    Returns:
        (..., C, k), float64; all NaN for states that are not all finite, whatever the others are.

    Raises:
        ValueError: If k is out of range.
    """
    _check_k(k, states.shape[-1])
    centred = _centred(states)
    covariance = centred.mT @ centred
    # One matrix that is not finite would end the decomposition of all. In place, so that those of
    # the others keep their layout, and with it their last bits.
    lost = ~covariance.isfinite().flatten(-2).all(-1)[..., None, None]
    covariance.masked_fill_(lost, 0.0)
    vectors: Tensor = torch.linalg.eigh(covariance).eigenvectors  # eigenvalues ascending
    vectors.masked_fill_(lost, math.nan)
    return vectors[..., -k:].flip(-1)


def embedding_basis(embedding: Tensor, k: int) -> Tensor:
    """Leading right singular vectors of the centred output embedding, as orthonormal columns.

    The directions in which logits differ most: the mean row shifts all logits alike and is taken
    out.

    Args:
        embedding: (V, C) output embedding.
        k: Number of directions, from 1 to C.

    Returns:
        (C, k), float64.

    Raises:
        ValueError: If k is out of range.
    """
    return principal_basis(embedding, k)


def random_basis(width: int, k: int, generator: torch.Generator) -> Tensor:
    """Orthonormal columns that span a random subspace, uniform over all of dimension k.

    Args:
        width: C, dimension of the states.
        k: Number of directions, from 1 to C.
        generator: Source of the draw; the result lies on its device.

    Returns:
        (C, k), float64.

    Raises:
        ValueError: If k is out of range.
    """
    _check_k(k, width)
    draw = torch.randn(width, k, dtype=torch.float64, device=generator.device, generator=generator)
    basis: Tensor = torch.linalg.qr(draw).Q
    return basis


def isotropic_null(width: int, k: int) -> float:
    """Dark-matter ratio of states without any preferred direction, 1 − k/C.

    Raises:
        ValueError: If k is out of range.
    """
    _check_k(k, width)
    return 1 - k / width


def dark_matter_ratio(states: Tensor, basis: Tensor) -> Tensor:
    """Share of the centred states' energy outside a subspace, 1 − ‖H̃P‖² / ‖H̃‖².

    H̃ is H with its mean over the tokens taken out. A constant added to all states therefore cannot
    change the ratio: a vector injected after a block shows in deeper layers only.

    Args:
        states: (..., N, C); leading dimensions, such as layers or seeds, are kept.
        basis: (C, k) orthonormal columns; or (..., C, k), one basis for each.

    Returns:
        (...), float64, between 0 and 1; NaN for states that are not all finite, or the same for all
        tokens, whatever the others are.

    Raises:
        ValueError: If the widths differ.
    """
    if basis.shape[-2] != states.shape[-1]:
        raise ValueError(
            f"basis must have one row for each of the {states.shape[-1]} dimensions of the "
            f"states, got {basis.shape[-2]}"
        )
    centred = _centred(states)
    energy = centred.square().sum((-2, -1))
    seen = (centred @ basis.double()).square().sum((-2, -1))
    return 1 - seen / energy


def retention(base: float, with_vectors: float, without_vectors: float) -> float:
    """Part of a rise in dark matter that is still there once the vectors are taken out.

    (without − base) / (with − base), which reproduces the document's figures. It says nothing of
    the vectors by itself: a model that never had any retains 100 %, and so does the first layer
    with a vector, where with = without whatever the weights are.

    Args:
        base: Ratio of the base model.
        with_vectors: Ratio of the trained model with its vectors.
        without_vectors: Ratio of the trained model without them.

    Returns:
        The fraction; NaN where there is no rise to retain, with = base.
    """
    rise = with_vectors - base
    return (without_vectors - base) / rise if rise else math.nan


def subspace_overlap(basis: Tensor, vectors: Tensor) -> Tensor:
    """How far the span of some vectors lies in a subspace: mean squared cosine, ‖VP‖² / m.

    The vectors are first made orthonormal, so that only their span counts: 1 if it lies wholly in
    the subspace, 0 if orthogonal to it, k/C in the mean if it is a random one.

    Args:
        basis: (C, k) orthonormal columns.
        vectors: (m, C), linearly independent.

    Returns:
        A float64 scalar between 0 and 1.

    Raises:
        ValueError: If the widths differ, or the vectors are zero or linearly dependent.
    """
    if basis.shape[0] != vectors.shape[1]:
        raise ValueError(
            f"basis must have one row for each of the {vectors.shape[1]} dimensions of the "
            f"vectors, got {basis.shape[0]}"
        )
    rows = vectors.double()
    lengths = rows.norm(dim=1, keepdim=True)
    if not bool((lengths > 0).all()):
        raise ValueError("vectors must not be zero, got a row of length 0")
    _, spread, directions = torch.linalg.svd(rows / lengths, full_matrices=False)  # (m, C)
    if len(spread) < len(rows) or not bool((spread > INDEPENDENT).all()):
        raise ValueError(
            f"vectors must be linearly independent, got {len(rows)} that span fewer dimensions"
        )
    projections: Tensor = directions @ basis.double()  # (m, k)
    return projections.square().sum() / len(rows)


def embedding_alignment(vectors: Tensor, states: Tensor, base_states: Tensor) -> Tensor:
    """Cosine between each vector and the shift that training gave to the states of its layer.

    cos(v, mean_t h_t − mean_t h⁰_t), both states without any vector added: 1 once the weights add
    by themselves what the vector would add. The document names an embedding alignment and neither
    defines nor reports it; the cosine of a vector with the mean state, or with the nearest token
    embedding, would be other readings.

    Args:
        vectors: (L, C) one vector for each layer.
        states: (L, N, C) of the trained model.
        base_states: (L, N, C) of the base model on the same tokens.

    Returns:
        (L,), float64, between −1 and 1; 0 where the states have not moved.
    """
    shift = states.double().mean(-2) - base_states.double().mean(-2)  # (L, C)
    return torch.cosine_similarity(vectors.double(), shift, dim=-1)


def _centred(states: Tensor) -> Tensor:
    states = states.double()
    return states - states.mean(-2, keepdim=True)


def _check_k(k: int, width: int) -> None:
    if not 1 <= k <= width:
        raise ValueError(f"k must lie in [1, {width}], the width of the states, got {k}")
