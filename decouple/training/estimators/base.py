"""What all gradient estimators share: the interface, and how a response becomes a gradient.

For an equilibrium F(z*, θ) = 0 and a cost C(z*), with J = ∂F/∂z at z*,

    dC/dθ = −aᵀ ∂F/∂θ + ∂C/∂θ,     Jᵀ a = ∇C.

Every estimator but the two that backpropagate finds the response a = dz/dβ of the state to a nudge
−β∇C, each in its own way; the rest is one reverse differentiation of one force, and the direct
gradient of the head.
"""

from abc import ABC, abstractmethod
from typing import Generic, NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from decouple.models.equilibrium import EquilibriumTransformer
from decouple.models.equilibrium_config import RelaxationConfig
from decouple.models.equilibrium_relaxation import Relaxation, relax
from decouple.training.estimators.cost import Evaluations

Model = TypeVar("Model", bound=nn.Module)


class NudgedPhase(NamedTuple):
    """How the phase behaved that found the response: what the free residual cannot tell."""

    growth: Tensor
    """(B,) ‖d‖ at the end over ‖d‖ halfway: 1 when settled, up to about 2 while still on the way
    to a contractive fixed point, large when running away."""

    adjoint_residual: Tensor
    """(B,) ‖Jᵀa − ∇C‖ / ‖∇C‖ at the state the gradient is read from."""

    trace: Tensor
    """(T2, 2) mean and worst ‖d‖/β at each step."""


class Solution(NamedTuple):
    """How the equations were solved that an estimate rests on, where they are solved outright."""

    residual: Tensor
    """(B,) force residual ‖F‖ / ‖z‖ where the search for the fixed point ended."""

    adjoint_residual: Tensor
    """(B,) ‖Jᵀa − ∇C‖ / ‖∇C‖ there."""

    tolerance: float
    """Largest of either with which an equation counts as solved."""

    @property
    def solved(self) -> Tensor:
        """(B,) whether both are; what is not a number is not."""
        return (self.residual <= self.tolerance) & (self.adjoint_residual <= self.tolerance)

    def status(self) -> str:
        """`solved`, or which equation was not and by how much; waits for the device."""
        for values, words in (
            (self.residual, "not converged: force residual"),
            (self.adjoint_residual, "adjoint not solved: residual"),
        ):
            worst = values.nan_to_num(nan=torch.inf, posinf=torch.inf).max().item()
            if not worst <= self.tolerance:
                return f"{words} {worst:.3g} is above {self.tolerance:g}"
        return "solved"


class Estimate(NamedTuple):
    """A gradient and all that says whether to trust it."""

    loss: Tensor
    """Mean cross-entropy per token at the state, in nats, 0-dimensional."""

    gradients: dict[str, Tensor]
    """Gradient of the loss by parameter name."""

    state: Tensor | None
    """(B, T, C) state the gradient was read from; None where the model has none."""

    residual: Tensor
    """(B,) force residual ‖F‖ / ‖z‖ at the end of the free phase; 0 where there is none."""

    free_trace: Tensor
    """(evaluations, 2) mean and worst force residual along the free phase."""

    nudged: NudgedPhase | None
    """The phase that found the response, where one was iterated."""

    evaluations: Evaluations
    """What it cost."""

    solution: Solution | None = None
    """How exactly the equations were solved, where they are solved outright."""


class GradientEstimator(ABC, Generic[Model]):
    """One way to estimate the gradient of the mean cross-entropy per token."""

    relaxation: RelaxationConfig
    """Free phase with which the model is used while this estimator trains it."""

    @abstractmethod
    def estimate(self, model: Model, windows: Tensor) -> Estimate:
        """Estimate loss and gradient on a batch.

        Args:
            model: Left as it is, its `.grad` fields included.
            windows: (B, T + 1) token ids: each position predicts the next.
        """

    @abstractmethod
    def expected(self, free: int) -> Evaluations:
        """Cost by the formula in the docstring of the class, where no phase stops early.

        Args:
            free: Evaluations in the free phase, T1 + 1 of them if it takes all its steps.
        """


class Response(NamedTuple):
    """What an equilibrium estimator finds between the free phase and the gradient."""

    vector: Tensor
    """(B, T, C) response a = dz/dβ."""

    state: Tensor
    """(B, T, C) where the gradient is to be read."""

    nudged: NudgedPhase | None
    """How the search behaved."""

    evaluations: Evaluations
    """What the search cost."""

    solution: Solution | None = None
    """How exactly it ended, where equations are solved outright."""


class EquilibriumEstimator(GradientEstimator[EquilibriumTransformer]):
    """Free phase, response, one reverse differentiation: memory does not grow with T1 or T2."""

    @abstractmethod
    def respond(
        self, model: EquilibriumTransformer, inputs: Tensor, targets: Tensor, free: Relaxation
    ) -> Response:
        """Find the response.

        Args:
            model: The block.
            inputs: x (B, T, C), detached.
            targets: (B, T) next-token ids.
            free: Where the free phase ended.
        """

    def estimate(self, model: EquilibriumTransformer, windows: Tensor) -> Estimate:
        """Estimate loss and gradient on windows (B, T + 1)."""
        tokens, targets = windows[:, :-1], windows[:, 1:]
        with torch.no_grad():
            inputs = model.embed(tokens)
            free = relax(model, inputs, self.relaxation)
            response = self.respond(model, inputs, targets, free)
        loss, gradients = read_gradient(model, windows, response.state, response.vector)
        return Estimate(
            loss=loss,
            gradients=gradients,
            state=response.state,
            residual=free.residual,
            free_trace=free.trace,
            nudged=response.nudged,
            evaluations=response.evaluations.plus(
                forces=free.evaluations + 1, reversals=1, heads=1
            ),
            solution=response.solution,
        )


def read_gradient(
    model: EquilibriumTransformer, windows: Tensor, state: Tensor, response: Tensor
) -> tuple[Tensor, dict[str, Tensor]]:
    """Mean loss at a state, and its gradient from the response of the state.

    The cost is the sum over tokens, as the response belongs to; the mean is taken at the end, where
    a division costs no precision. The state is held fixed, so the cost itself reaches the head only
    and the force everything else.

    Args:
        model: The block.
        windows: (B, T + 1) token ids.
        state: z (B, T, C).
        response: a (B, T, C).

    Returns:
        Loss, 0-dimensional, and gradients by parameter name.
    """
    tokens, targets = windows[:, :-1], windows[:, 1:]
    state, response = state.detach(), response.detach()
    parameters = dict(model.named_parameters())
    with torch.enable_grad():
        cost = model.cost(state, targets).sum()
        force = model.force(state, model.embed(tokens))
        surrogate = cost - (response * force).sum()
        gradients = torch.autograd.grad(surrogate, list(parameters.values()))
    named = zip(parameters, gradients, strict=True)
    return cost.detach() / targets.numel(), {n: g / targets.numel() for n, g in named}
