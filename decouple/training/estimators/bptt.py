"""Backpropagation through the steps of the relaxation."""

from typing import NamedTuple

import torch
from torch import Tensor

from decouple.models.equilibrium import EquilibriumTransformer
from decouple.models.equilibrium_config import RelaxationConfig
from decouple.models.equilibrium_relaxation import relative_norm
from decouple.training.estimators.base import Estimate, GradientEstimator
from decouple.training.estimators.config import BPTTConfig
from decouple.training.estimators.cost import Evaluations


class End(NamedTuple):
    """Where the relaxation of some windows ended."""

    loss: Tensor
    """Their part of the mean loss, 0-dimensional."""

    gradients: dict[str, Tensor]
    """Its gradient by parameter name."""

    state: Tensor
    """(b, T, C)."""

    residuals: Tensor
    """(K + 1, b) force residual before each step and at the end."""


class BPTT(GradientEstimator[EquilibriumTransformer]):
    """Differentiate the loss after exactly K Euler steps, all of them.

        z_0 = start(x),     z_{t+1} = z_t + ε F(z_t),     dC(z_K)/dθ

    It is the exact gradient of the K-step network, whether or not that has converged. As K grows it
    goes to the implicit gradient, with an error of O(K · ‖I + εJ‖^K): the last steps see too short
    a past, the first see a state that has not converged.

    Cost in force evaluations: K + 2·K + 1 (residual). Memory: the activations of all K steps, of
    `micro_batch` windows at a time.
    """

    def __init__(self, config: BPTTConfig) -> None:
        self.config = config
        self.relaxation = RelaxationConfig(steps=config.steps, tolerance=0.0)

    def estimate(self, model: EquilibriumTransformer, windows: Tensor) -> Estimate:
        """Estimate loss and gradient on windows (B, T + 1)."""
        parts = torch.split(windows, self.config.micro_batch or len(windows))
        ends = [self._differentiate(model, part, windows[:, 1:].numel()) for part in parts]
        trace = torch.cat([end.residuals for end in ends], dim=-1)  # (K + 1, B)
        gradients = {
            name: torch.stack([end.gradients[name] for end in ends]).sum(0)
            for name in ends[0].gradients
        }
        steps = self.config.steps
        return Estimate(
            loss=torch.stack([end.loss for end in ends]).sum(0),
            gradients=gradients,
            state=torch.cat([end.state for end in ends]),
            residual=trace[-1],
            free_trace=torch.stack([trace.mean(-1), trace.amax(-1)], dim=-1),
            nudged=None,
            evaluations=Evaluations(forces=steps + 1, reversals=steps, heads=1.5),
        )

    def _differentiate(self, model: EquilibriumTransformer, windows: Tensor, tokens: int) -> End:
        """Relax some of the windows and differentiate their part of the mean over all tokens."""
        parameters = dict(model.named_parameters())
        residuals = []
        with torch.enable_grad():
            inputs = model.embed(windows[:, :-1])
            state = model.start(inputs)
            for _ in range(self.config.steps):
                force = model.force(state, inputs)
                residuals.append(relative_norm(force.detach(), state.detach()))
                state = state + model.config.step * force
            loss = model.cost(state, windows[:, 1:]).sum() / tokens
            gradients = torch.autograd.grad(loss, list(parameters.values()))
        with torch.no_grad():
            residuals.append(relative_norm(model.force(state, inputs), state))
        return End(
            loss=loss.detach(),
            gradients=dict(zip(parameters, gradients, strict=True)),
            state=state.detach(),
            residuals=torch.stack(residuals),
        )

    def expected(self, free: int) -> Evaluations:
        """Cost by the formula above; there is no free phase apart from the K steps."""
        steps = self.config.steps
        return Evaluations(forces=steps + 1, reversals=steps, heads=1.5)
