"""Plain backpropagation, for the baseline."""

import torch
import torch.nn.functional as F
from torch import Tensor

from decouple.models.equilibrium_config import RelaxationConfig
from decouple.models.transformer import Transformer
from decouple.training.estimators.base import Estimate, GradientEstimator
from decouple.training.estimators.cost import Evaluations


class Backpropagation(GradientEstimator[Transformer]):
    """Exact gradient of a feed-forward model.

    There is no fixed point, hence no residual and no nudged phase. Cost: one forward pass and two
    backward, 3 for each block in units of a force evaluation of the same shape. Memory: the
    activations of all blocks.
    """

    relaxation = RelaxationConfig(steps=1)  # never asked for: there is nothing to relax

    def estimate(self, model: Transformer, windows: Tensor) -> Estimate:
        """Estimate loss and gradient on windows (B, T + 1)."""
        parameters = dict(model.named_parameters())
        with torch.enable_grad():
            logits = model(windows[:, :-1])
            loss = F.cross_entropy(logits.flatten(0, 1), windows[:, 1:].flatten().long())
            gradients = torch.autograd.grad(loss, list(parameters.values()))
        layers = model.config.n_layers
        return Estimate(
            loss=loss.detach(),
            gradients=dict(zip(parameters, gradients, strict=True)),
            state=None,
            residual=loss.new_zeros(len(windows)),
            free_trace=loss.new_zeros(0, 2),
            nudged=None,
            evaluations=Evaluations(forces=layers, reversals=layers, heads=1.5),
        )

    def expected(self, free: int) -> Evaluations:
        """Cost of one block; a deeper model costs as many times this, its head apart."""
        return Evaluations(forces=1, reversals=1, heads=1.5)
