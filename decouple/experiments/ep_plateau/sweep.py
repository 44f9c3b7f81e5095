"""One step of gradient descent at every learning rate, exp2, and back again."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor

from decouple.experiments.ep_plateau.config import EPPlateauConfig
from decouple.experiments.ep_plateau.preparation import READOUT, stream
from decouple.experiments.ep_plateau.rows import Row
from decouple.metrics.gradients import flatten
from decouple.models.equilibrium import EquilibriumTransformer
from decouple.models.equilibrium_config import RelaxationConfig
from decouple.models.equilibrium_relaxation import relax
from decouple.training.contraction import BLOCK_PARAMETERS, jacobian_penalty, rademacher

WORST = 2.0
"""Largest rise of the loss that is recorded, in nats; it stands for what is not finite too."""

RELAXED = 1e-5
"""Force residual at which a block counts as relaxed for the loss after a step."""

Gradients = Mapping[str, Tensor]


@torch.no_grad()
def loss_of(config: EPPlateauConfig, model: EquilibriumTransformer, windows: Tensor) -> float:
    """Mean cross-entropy per token of windows (B, T + 1), in nats.

    The block is relaxed for as many steps as BPTT takes, whatever the estimator of the arm does.
    """
    relaxation = RelaxationConfig(steps=config.triangulation.horizon, tolerance=RELAXED)
    costs = []
    for part in torch.split(windows, config.triangulation.windows_at_once or len(windows)):
        state = relax(model, model.embed(part[:, :-1]), relaxation).state
        costs.append(model.cost(state, part[:, 1:]))
    return float(torch.cat(costs).sum() / windows[:, 1:].numel())


@contextmanager
def stepped(
    model: EquilibriumTransformer, gradients: Gradients, learning_rate: float
) -> Iterator[None]:
    """Within it the weights are `θ − η g`; afterwards they are what they were, bit for bit."""
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    try:
        with torch.no_grad():
            for name, value in model.named_parameters():
                value.sub_(learning_rate * gradients[name].to(value.dtype))
        yield
    finally:
        with torch.no_grad():
            for name, value in model.named_parameters():
                value.copy_(before[name])


def loss_changes(
    config: EPPlateauConfig,
    model: EquilibriumTransformer,
    gradients: Gradients,
    windows: Tensor,
) -> dict[float, float]:
    """Change of the loss on the batch that a gradient was taken on, by learning rate.

    Args:
        config: Configuration of the arm.
        model: The block; as it was afterwards.
        gradients: Direction of the step by parameter name.
        windows: (B, T + 1).
    """
    start = loss_of(config, model, windows)
    changes = {}
    for rate in config.learning_rates:
        with stepped(model, gradients, rate):
            change = loss_of(config, model, windows) - start
        changes[rate] = change if change <= WORST else WORST
    return changes


def with_regulariser(
    config: EPPlateauConfig,
    model: EquilibriumTransformer,
    gradients: Gradients,
    state: Tensor,
    seed: int,
) -> dict[str, Tensor]:
    """The gradient with that of the contraction's regulariser added, at its floor."""
    contraction = config.training.contraction
    assert contraction is not None  # the arms that are swept have one
    generator = torch.Generator(state.device).manual_seed(stream(seed, READOUT))
    probes = rademacher(state, contraction.probes, generator)
    block = [dict(model.named_parameters())[name] for name in BLOCK_PARAMETERS]
    at_once = config.triangulation.windows_at_once or len(state)
    added = dict(gradients)
    for part, signs in zip(
        torch.split(state, at_once), torch.split(probes, at_once, dim=1), strict=True
    ):
        share = len(part) / len(state)  # the penalty is a mean over samples
        pulls = torch.autograd.grad(jacobian_penalty(model, part, signs), block)
        for name, pull in zip(BLOCK_PARAMETERS, pulls, strict=True):
            added[name] = added[name] + contraction.floor * share * pull
    return added


def matched(gradients: Gradients, reference: Gradients) -> dict[str, Tensor]:
    """A gradient at the length of another; one without a finite length becomes zero."""
    length = flatten(gradients).norm()
    scale = flatten(reference).norm() / length
    usable = bool(torch.isfinite(length) and length > 0)
    return {
        name: value * scale.to(value.dtype) if usable else torch.zeros_like(value)
        for name, value in gradients.items()
    }


def sweep_rows(
    changes: Mapping[float, float], metric: str, *, step: int, condition: str
) -> list[Row]:
    """Changes of the loss as rows, at the plateau point."""
    return [
        Row(metric, value, step, point="plateau", condition=condition, learning_rate=rate)
        for rate, value in changes.items()
    ]
