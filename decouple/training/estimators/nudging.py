"""Nudges: how strong, at which phases, and how displacements become a response.

The strengths of N nudge points lie on a circle, β_k = r e^{iφ_k} with φ_k = 2πk/N. The state is an
analytic function of β, so the discrete Fourier sum over the circle returns its first Taylor
coefficient with an error of order r^N:

    a = dz/dβ = Re[ (1/(N r)) Σ_k e^{−iφ_k} (z(β_k) − z(0)) ] + O(r^N).

N = 1 is the one-sided estimate, N = 2 the symmetric difference. Source: Laborieux and Zenke 2022
(arXiv 2209.00530).
"""

import math

import torch
from torch import Tensor

from decouple.models.equilibrium_relaxation import sample_norm


def phases(points: int, like: Tensor) -> Tensor:
    """Phase factors e^{iφ_k} (N,) of the nudge points; real where all of them are.

    Args:
        points: N.
        like: Real tensor whose precision and device are taken over.
    """
    steps = torch.arange(points, dtype=like.dtype, device=like.device)  # made where it is used
    if points <= 2:
        return 1 - 2 * steps
    return torch.polar(torch.ones_like(steps), 2 * math.pi / points * steps)


def evaluated_points(points: int) -> int:
    """Points that have to be followed: the others are conjugates of these."""
    return points // 2 + 1


def real_evaluations(points: int) -> int:
    """Real force evaluations that one evaluation at all points costs: 1, 2, 6 for N = 1, 2, 4."""
    return points if points <= 2 else 2 * evaluated_points(points)


def with_conjugates(displacements: Tensor, points: int) -> Tensor:
    """All points (N, ...) from those that were followed, in the order of `phases`."""
    missing = points - len(displacements)
    return torch.cat([displacements, displacements[1 : 1 + missing].flip(0).conj()])


def nudge_strength(state: Tensor, cost_gradient: Tensor, beta: float, *, relative: bool) -> Tensor:
    """Radius r (B, 1, 1) of the nudges of each sample.

    Args:
        state: z* (B, T, C).
        cost_gradient: ∇C (B, T, C), of the cost summed over tokens.
        beta: The strength asked for.
        relative: Whether `beta` is ‖r∇C‖ / ‖z*‖ rather than r itself.
    """
    if not relative:
        return state.new_full((len(state), 1, 1), beta)
    strength = beta * sample_norm(state) / sample_norm(cost_gradient)
    return strength[:, None, None]


def first_harmonic(displacements: Tensor, factors: Tensor) -> Tensor:
    """First Fourier coefficient `Re[(1/N) Σ_k e^{−iφ_k} d_k]` of displacements (N, ...)."""
    weights = (factors.conj() / len(factors)).view(-1, *[1] * (displacements.ndim - 1))
    total = (weights * displacements).sum(0)
    return total.real if total.is_complex() else total


def growth(trace: list[Tensor]) -> Tensor:
    """‖d‖ at the end over ‖d‖ halfway (B,), the larger over the points, from norms (..., B)."""
    ratio = trace[-1] / trace[(len(trace) - 1) // 2]
    return ratio.view(-1, ratio.shape[-1]).amax(0)
