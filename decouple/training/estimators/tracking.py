"""Equilibrium propagation whose correction moves along with the free phase."""

import torch
from torch import Tensor

from decouple.models.equilibrium import EquilibriumTransformer
from decouple.models.equilibrium_linearisation import linearise, transposed_product
from decouple.models.equilibrium_relaxation import Relaxation, compiled, relative_norm, sample_norm
from decouple.training.estimators.base import EquilibriumEstimator, NudgedPhase, Response
from decouple.training.estimators.config import EquilibriumPropagationConfig
from decouple.training.estimators.cost import Evaluations
from decouple.training.estimators.equilibrium_propagation import antisymmetric
from decouple.training.estimators.nudging import (
    evaluated_points,
    first_harmonic,
    growth,
    nudge_strength,
    phases,
    real_evaluations,
    with_conjugates,
)


class TrackingEquilibriumPropagation(EquilibriumEstimator):
    """Let the common mode of the points go on relaxing, and nudge their difference alone.

    The points are `z_k = z̄ + e^{iφ_k} d` with one real displacement d, for N = 2 the pair z̄ ± d.
    T2 Euler steps from z̄ = z⁰, d = 0, with J at the z̄ of the step and H the first harmonic
    `Re[(1/N) Σ_k e^{−iφ_k} ·]` over the points:

        z̄ ← z̄ + ε F(z̄)
        d ← d + ε ( H[ F(z_k) − F(z̄) − β_k ∇C(z_k) ] − (J − Jᵀ) d ),     β_k = r e^{iφ_k}

    For N = 2, H is half the difference. Fixed point: z̄ = z*, Jᵀd = r∇C + O(r^(N+1)).

    Error of a = d/r, at z̄: nudge O(r^N); truncation −(I + εJᵀ)^T2 a; rounding as without tracking.
    What the free phase left over is not fed back into d: it goes on shrinking with T2 as the free
    phase would, where the frozen correction keeps an error of the order of the residual.

    Cost in force evaluations: free phase + T2·(1 + p + 2) + 2 (adjoint residual) + 3 (gradient),
    where p is 1, 2 and 6 for N = 1, 2 and 4. Memory: the points' states and one linearisation.
    """

    def __init__(self, config: EquilibriumPropagationConfig) -> None:
        self.config = config
        self.relaxation = config.relaxation

    def respond(
        self, model: EquilibriumTransformer, inputs: Tensor, targets: Tensor, free: Relaxation
    ) -> Response:
        """Find the response (B, T, C), and the state it belongs to."""
        config, base = self.config, free.state
        radius = nudge_strength(
            base, model.cost_gradient(base, targets), config.beta, relative=config.relative
        )
        circle = phases(config.points, base)
        displacement = torch.zeros_like(base)
        step = compiled(tracking_step, base.device.type) if config.compiled else tracking_step
        real = real_evaluations(config.points)
        spent = Evaluations(heads=1)
        norms = []
        for _ in range(config.steps):
            base, displacement = step(model, base, inputs, targets, displacement, radius, circle)
            norms.append(sample_norm(displacement) / radius.view(-1))
            spent = spent.plus(
                forces=1 + real, jacobian_products=1, transposed_products=1, heads=real
            )
        response = displacement / radius
        _, at = linearise(model, base, inputs)
        cost_gradient = model.cost_gradient(base, targets)
        mismatch = transposed_product(model, at, response) - cost_gradient
        trace = torch.stack(norms)
        return Response(
            vector=response,
            state=base,
            nudged=NudgedPhase(
                growth=growth(norms),
                adjoint_residual=relative_norm(mismatch, cost_gradient),
                trace=torch.stack([trace.mean(-1), trace.amax(-1)], dim=-1),
            ),
            evaluations=spent.plus(forces=1, transposed_products=1, heads=1),
        )

    def expected(self, free: int) -> Evaluations:
        """Cost by the formula above."""
        steps, real = self.config.steps, real_evaluations(self.config.points)
        return Evaluations(
            forces=free + steps * (1 + real) + 1 + 1,
            jacobian_products=steps,
            transposed_products=steps + 1,
            reversals=1,
            heads=steps * real + 3,
        )


def tracking_step(
    model: EquilibriumTransformer,
    base: Tensor,
    inputs: Tensor,
    targets: Tensor,
    displacement: Tensor,
    radius: Tensor,
    circle: Tensor,
) -> tuple[Tensor, Tensor]:
    """One Euler step of common mode and displacement, both (B, T, C)."""
    force, at = linearise(model, base, inputs)
    factors = circle[: evaluated_points(len(circle))].view(-1, 1, 1, 1)
    states = base + factors * displacement  # (P, B, T, C)
    cost_gradient = model.cost_gradient(states, targets)
    push = model.force(states, inputs) - force - factors * radius * cost_gradient
    push = first_harmonic(with_conjugates(push, len(circle)), circle)
    push = push - antisymmetric(model, at, displacement)
    return base + model.config.step * force, displacement + model.config.step * push
