"""Backpropagation through the steps of the relaxation."""

import torch
from torch import Tensor

from decouple.models.equilibrium import EquilibriumTransformer
from decouple.models.equilibrium_config import RelaxationConfig
from decouple.models.equilibrium_relaxation import relative_norm
from decouple.training.estimators.base import Estimate, GradientEstimator
from decouple.training.estimators.config import BPTTConfig
from decouple.training.estimators.cost import Evaluations


class BPTT(GradientEstimator[EquilibriumTransformer]):
    """Differentiate the loss after exactly K Euler steps, all of them.

        z_0 = start(x),     z_{t+1} = z_t + ε F(z_t),     dC(z_K)/dθ

    It is the exact gradient of the K-step network, whether or not that has converged. As K grows it
    goes to the implicit gradient, with an error of O(K · ‖I + εJ‖^K): the last steps see too short
    a past, the first see a state that has not converged.

    Cost in force evaluations: K + 2·K + 1 (residual). Memory: the activations of all K steps.
    """

    def __init__(self, config: BPTTConfig) -> None:
        self.config = config
        self.relaxation = RelaxationConfig(steps=config.steps, tolerance=0.0)

    def estimate(self, model: EquilibriumTransformer, windows: Tensor) -> Estimate:
        """Estimate loss and gradient on windows (B, T + 1)."""
        tokens, targets = windows[:, :-1], windows[:, 1:]
        parameters = dict(model.named_parameters())
        spent = Evaluations()
        residuals = []
        with torch.enable_grad():
            inputs = model.embed(tokens)
            state = model.start(inputs)
            for _ in range(self.config.steps):
                force = model.force(state, inputs)
                residuals.append(relative_norm(force.detach(), state.detach()))
                state = state + model.config.step * force
                spent = spent.plus(forces=1, reversals=1)
            loss = model.cost(state, targets).sum() / targets.numel()
            gradients = torch.autograd.grad(loss, list(parameters.values()))
        with torch.no_grad():
            residuals.append(relative_norm(model.force(state, inputs), state))
        trace = torch.stack(residuals)
        return Estimate(
            loss=loss.detach(),
            gradients=dict(zip(parameters, gradients, strict=True)),
            state=state.detach(),
            residual=residuals[-1],
            free_trace=torch.stack([trace.mean(-1), trace.amax(-1)], dim=-1),
            nudged=None,
            evaluations=spent.plus(forces=1, heads=1.5),
        )

    def expected(self, free: int) -> Evaluations:
        """Cost by the formula above; there is no free phase apart from the K steps."""
        steps = self.config.steps
        return Evaluations(forces=steps + 1, reversals=steps, heads=1.5)
