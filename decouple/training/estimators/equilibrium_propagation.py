"""Equilibrium propagation with N nudge points and a frozen correction, or none."""

import torch
from torch import Tensor

from decouple.models.equilibrium import EquilibriumTransformer
from decouple.models.equilibrium_linearisation import (
    Linearisation,
    jacobian_product,
    linearise,
    on_complex,
    transposed_product,
)
from decouple.models.equilibrium_relaxation import Relaxation, compiled, relative_norm, sample_norm
from decouple.training.estimators.base import EquilibriumEstimator, NudgedPhase, Response
from decouple.training.estimators.config import EquilibriumPropagationConfig
from decouple.training.estimators.cost import Evaluations
from decouple.training.estimators.nudging import (
    evaluated_points,
    first_harmonic,
    growth,
    nudge_strength,
    phases,
    real_evaluations,
    with_conjugates,
)


class EquilibriumPropagation(EquilibriumEstimator):
    """Relax again under a nudge, once per nudge point, all points in one batch.

    Dynamics of a point, T2 Euler steps from d = 0, with d = z − z⁰ the displacement from where the
    free phase ended and β one of the N strengths on the circle of `nudging`:

        d ← d + ε [ F(z⁰ + d) − β∇C(z⁰ + d) − (J − Jᵀ) d ]        correction `frozen`, J at z⁰
        d ← d + ε [ F(z⁰ + d) − β∇C(z⁰ + d) ]                     correction `none`

    Fixed point, to first order in β: `frozen` Jᵀd = β∇C, which is the adjoint equation; `none`
    J d = β∇C, which is not, unless J is symmetric.

    Error of a = d/β at a converged free phase:
      * nudge: O(β^N);
      * truncation: −(I + εJᵀ)^T2 a, whatever β is (`none`: with J);
      * `none`: J⁻¹∇C in place of J⁻ᵀ∇C, whatever β and T2 are;
      * rounding: about machine epsilon · ‖z‖ / ‖d‖.
    A free phase that ended with residual ρ adds O(ρ), because the nudged phase goes on with it
    while J stays behind, and for N = 1 O(ρ/β), because nothing cancels the drift. Where J − J⁰
    outgrows the contraction of Jᵀ the phase runs away, which ρ does not show and
    `NudgedPhase.growth` does.

    Cost in force evaluations: free phase + 1 (linearisation) + 3·p·T2 (`none`: p·T2) + 1 (adjoint
    residual) + 3 (gradient), where p is 1, 2 and 6 for N = 1, 2 and 4: of four points the last is
    the conjugate of the second, and a complex point counts as two. Memory: the states of the points
    and one linearisation, independent of T1 and T2.
    """

    def __init__(self, config: EquilibriumPropagationConfig) -> None:
        self.config = config
        self.relaxation = config.relaxation
        self.corrected = config.correction == "frozen"

    def respond(
        self, model: EquilibriumTransformer, inputs: Tensor, targets: Tensor, free: Relaxation
    ) -> Response:
        """Find the response (B, T, C) from the displaced states of all points."""
        config, base = self.config, free.state
        _, at = linearise(model, base, inputs)
        cost_gradient = model.cost_gradient(base, targets)
        radius = nudge_strength(base, cost_gradient, config.beta, relative=config.relative)
        circle = phases(config.points, base)
        beta = circle[: evaluated_points(config.points)].view(-1, 1, 1, 1) * radius  # (P, B, 1, 1)
        displacement = torch.zeros_like(beta * base)  # (P, B, T, C)
        step = compiled(nudged_step, base.device.type) if config.compiled else nudged_step
        correction = at if self.corrected else None
        spent = Evaluations(forces=1, heads=1)
        norms = []
        for _ in range(config.steps):
            displacement = step(model, base, inputs, targets, displacement, beta, correction)
            norms.append(sample_norm(displacement) / radius.view(-1))
            spent = spent.plus(**self.step_cost)
        response = first_harmonic(with_conjugates(displacement, config.points), circle) / radius
        mismatch = transposed_product(model, at, response) - cost_gradient
        trace = torch.stack(norms).flatten(1)
        return Response(
            vector=response,
            state=base,
            nudged=NudgedPhase(
                growth=growth(norms),
                adjoint_residual=relative_norm(mismatch, cost_gradient),
                trace=torch.stack([trace.mean(-1), trace.amax(-1)], dim=-1),
            ),
            evaluations=spent.plus(transposed_products=1),
        )

    @property
    def step_cost(self) -> dict[str, int]:
        """Evaluations in one step of all points."""
        real = real_evaluations(self.config.points)
        products = real if self.corrected else 0
        return {
            "forces": real,
            "jacobian_products": products,
            "transposed_products": products,
            "heads": real,
        }

    def expected(self, free: int) -> Evaluations:
        """Cost by the formula above."""
        config = self.config
        real = real_evaluations(config.points) * config.steps
        products = real if config.correction == "frozen" else 0
        return Evaluations(
            forces=free + 1 + real + 1,
            jacobian_products=products,
            transposed_products=products + 1,
            reversals=1,
            heads=1 + real + 1,
        )


def nudged_step(
    model: EquilibriumTransformer,
    base: Tensor,
    inputs: Tensor,
    targets: Tensor,
    displacement: Tensor,
    beta: Tensor,
    at: Linearisation | None,
) -> Tensor:
    """One Euler step of all displacements (P, B, T, C), corrected if a linearisation is given."""
    state = base + displacement
    push = model.force(state, inputs) - beta * model.cost_gradient(state, targets)
    if at is not None:
        push = push - on_complex(lambda vector: antisymmetric(model, at, vector), displacement)
    return displacement + model.config.step * push


def antisymmetric(model: EquilibriumTransformer, at: Linearisation, vector: Tensor) -> Tensor:
    """(J − Jᵀ) v: twice the antisymmetric part of the Jacobian, applied to a real vector."""
    return jacobian_product(model, at, vector) - transposed_product(model, at, vector)
