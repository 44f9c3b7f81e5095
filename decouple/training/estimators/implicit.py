"""Exact implicit differentiation with the dense Jacobian."""

import torch
from torch import Tensor

from decouple.models.equilibrium import EquilibriumTransformer
from decouple.models.equilibrium_relaxation import Relaxation, relative_norm
from decouple.training.estimators.base import EquilibriumEstimator, Response, Solution
from decouple.training.estimators.config import ImplicitConfig
from decouple.training.estimators.cost import Evaluations


class Implicit(EquilibriumEstimator):
    """Solve for fixed point and adjoint with the dense Jacobian of each sample.

        z ← z − J(z)⁻¹ F(z) until the residual no longer falls (Newton),     a = J⁻ᵀ ∇C

    Exact up to rounding: the referee of all others, if it found what it looked for, which
    `Estimate.solution` says: Newton's method may end anywhere from a start that is too far, and a
    Jacobian may be singular. The Jacobian comes from automatic differentiation, not from the
    products that the other estimators use. The host waits for the device at every Newton step.

    Cost in force evaluations: free phase + (n + 1)·T·C transposed products + n + 1, n the Newton
    steps tried, + 3 (gradient), and O((T·C)³) for each solution. Memory O(B·(T·C)²).
    """

    def __init__(self, config: ImplicitConfig) -> None:
        self.config = config
        self.relaxation = config.relaxation

    def respond(
        self, model: EquilibriumTransformer, inputs: Tensor, targets: Tensor, free: Relaxation
    ) -> Response:
        """Find the response (B, T, C) at the fixed point that Newton's method ends in.

        Raises:
            ValueError: If T·C is larger than the configuration allows.
        """
        size = inputs.shape[-2] * inputs.shape[-1]
        if size > self.config.largest:
            raise ValueError(
                f"tokens must have T·C at most largest={self.config.largest} "
                f"for a dense Jacobian, got {size}"
            )
        state, force = free.state, model.force(free.state, inputs)
        spent = Evaluations(forces=1, heads=1)
        for _ in range(self.config.newton_steps):
            newton = solve(dense_jacobian(model, state, inputs), force.flatten(1))
            candidate = state - newton.view_as(state)
            candidate_force = model.force(candidate, inputs)
            spent = spent.plus(forces=1, transposed_products=size)
            # Also the way out once rounding is all that is left.
            if (
                not relative_norm(candidate_force, candidate).max()
                < relative_norm(force, state).max()
            ):
                break
            state, force = candidate, candidate_force
        transposed = dense_jacobian(model, state, inputs).transpose(1, 2)
        cost_gradient = model.cost_gradient(state, targets)
        response = solve(transposed, cost_gradient.flatten(1)).view_as(state)
        mismatch = (transposed @ response.flatten(1).unsqueeze(-1)).view_as(state) - cost_gradient
        solution = Solution(
            residual=relative_norm(force, state),
            adjoint_residual=relative_norm(mismatch, cost_gradient),
            tolerance=self.config.tolerance,
        )
        spent = spent.plus(transposed_products=size)
        return Response(response, state, None, spent, solution)

    def expected(self, free: int) -> Evaluations:
        """Cost without Newton's steps and the Jacobians, which depend on the size and the start."""
        return Evaluations(forces=free + 2, reversals=1, heads=2)


def solve(matrices: Tensor, right: Tensor) -> Tensor:
    """Solutions (B, n) of `matrices` (B, n, n) · x = `right` (B, n); NaN where there is none."""
    found, failed = torch.linalg.solve_ex(matrices, right)
    solutions: Tensor = torch.where(failed[:, None] == 0, found, torch.nan)
    return solutions


def dense_jacobian(model: EquilibriumTransformer, state: Tensor, inputs: Tensor) -> Tensor:
    """Jacobian (B, T·C, T·C) of the force of each sample, by automatic differentiation."""
    size = state.shape[-2] * state.shape[-1]
    jacobian: Tensor = torch.func.vmap(torch.func.jacrev(model.force))(
        state.detach(), inputs.detach()
    )
    return jacobian.detach().reshape(len(state), size, size)
