"""The adjoint equation, relaxed as the state is: equilibrium propagation at vanishing nudge."""

import torch
from torch import Tensor

from decouple.models.equilibrium import EquilibriumTransformer
from decouple.models.equilibrium_linearisation import Linearisation, linearise, transposed_product
from decouple.models.equilibrium_relaxation import (
    AllStopped,
    Relaxation,
    compiled,
    relative_norm,
    sample_norm,
)
from decouple.training.estimators.base import EquilibriumEstimator, NudgedPhase, Response
from decouple.training.estimators.config import AdjointConfig
from decouple.training.estimators.cost import Evaluations
from decouple.training.estimators.nudging import growth


class Adjoint(EquilibriumEstimator):
    """Solve Jᵀa = ∇C by the iteration that a nudged phase follows in the limit β → 0.

    From a = 0, at most T2 steps, each sample until ‖Jᵀa − ∇C‖ ≤ tolerance · ‖∇C‖:

        a ← a + ε ( Jᵀa − ∇C ),     J and ∇C at the end of the free phase

    Fixed point: Jᵀa = ∇C. The iteration contracts where the free phase does, as I + εJᵀ has the
    eigenvalues of I + εJ.

    Error of a: truncation −(I + εJᵀ)^T2 a, and nothing else: no nudge, no difference of nearly
    equal states, hence no loss of digits. A free phase that ended with residual ρ adds O(ρ).

    Cost in force evaluations: free phase + 1 (linearisation) + T2 + 1 (residual) + 3 (gradient).
    Memory: one response and one linearisation, independent of T1 and T2.
    """

    def __init__(self, config: AdjointConfig) -> None:
        self.config = config
        self.relaxation = config.relaxation

    def respond(
        self, model: EquilibriumTransformer, inputs: Tensor, targets: Tensor, free: Relaxation
    ) -> Response:
        """Find the response (B, T, C)."""
        config = self.config
        _, at = linearise(model, free.state, inputs)
        cost_gradient = model.cost_gradient(free.state, targets)
        step = compiled(adjoint_step, inputs.device.type) if config.compiled else adjoint_step
        response = torch.zeros_like(free.state)
        moving = torch.ones(len(inputs), dtype=torch.bool, device=inputs.device)
        all_stopped = AllStopped(config.tolerance)
        spent = Evaluations(forces=1, heads=1)
        norms = []
        for _ in range(config.steps):
            response, moving = step(model, at, cost_gradient, response, moving, config.tolerance)
            norms.append(sample_norm(response))
            spent = spent.plus(transposed_products=1)
            if all_stopped(moving):
                break
        mismatch = transposed_product(model, at, response) - cost_gradient
        trace = torch.stack(norms)
        return Response(
            vector=response,
            state=free.state,
            nudged=NudgedPhase(
                growth=growth(norms),
                adjoint_residual=relative_norm(mismatch, cost_gradient),
                trace=torch.stack([trace.mean(-1), trace.amax(-1)], dim=-1),
            ),
            evaluations=spent.plus(transposed_products=1),
        )

    def expected(self, free: int) -> Evaluations:
        """Cost by the formula above."""
        return Evaluations(
            forces=free + 2, transposed_products=self.config.steps + 1, reversals=1, heads=2
        )


def adjoint_step(
    model: EquilibriumTransformer,
    at: Linearisation,
    cost_gradient: Tensor,
    response: Tensor,
    moving: Tensor,
    tolerance: float,
) -> tuple[Tensor, Tensor]:
    """One Euler step of the samples whose adjoint has not settled yet."""
    mismatch = transposed_product(model, at, response) - cost_gradient
    moving = moving & ~(relative_norm(mismatch, cost_gradient) <= tolerance)
    stepped = response + model.config.step * mismatch
    return torch.where(moving[:, None, None], stepped, response), moving
