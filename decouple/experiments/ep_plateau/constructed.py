"""The plateau point of a small run, made on purpose: a block at which a correction may collapse.

A run of some steps never gets to the document's plateau. From its trained weights a block is made
that has what is suspected there: attention that couples positions strongly, hence a Jacobian far
from symmetric; a head that fits, so that the loss is a trained model's; an Euler step close to the
largest under which the free phase converges; a free phase that stops as early as the gate allows;
and a nudge as strong as an estimator that tracks the free phase can take. The recipe is the same
for all seeds, and nothing of it looks at what the frozen correction does.
"""

import copy
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from decouple.experiments.ep_plateau.config import EPPlateauConfig
from decouple.models.equilibrium import EquilibriumTransformer
from decouple.models.equilibrium_config import RelaxationConfig
from decouple.models.equilibrium_relaxation import relax
from decouple.training.estimators.config import EquilibriumPropagationConfig
from decouple.training.estimators.tracking import TrackingEquilibriumPropagation

STEPS = tuple(tenths / 10 for tenths in range(15, 1, -1))
"""Euler steps ε that are tried for the largest under which the free phase converges."""

HEADS = tuple(2 ** (quarters / 4) for quarters in range(-20, 5))
"""Factors on the head that are tried for the one with the least loss."""

NUDGES = tuple(0.01 * 1.25**rung for rung in range(16))
"""Relative strengths β that are tried, from 0.01 to 0.28, for the largest that tracking takes."""

CONVERGED = 1e-5
"""Force residual at which the free phase has converged."""


class NoPointError(RuntimeError):
    """The recipe makes no point from these weights: the block does not converge at all."""


@dataclass(frozen=True, slots=True)
class Plateau:
    """Where the claims about the plateau are made."""

    model: EquilibriumTransformer
    """The block, its weights and its Euler step those of the point."""

    config: EPPlateauConfig
    """The arm's configuration with the free and the nudged phase of the point."""


def plateau_point(
    config: EPPlateauConfig, model: EquilibriumTransformer, windows: Tensor
) -> Plateau:
    """The plateau point of an arm: made by its recipe, or where it has none the last checkpoint.

    Args:
        config: Configuration of the arm.
        model: Its last weights; left as they are.
        windows: (n, T + 1) token ids on which a recipe tries what it makes.

    Raises:
        NoPointError: If the recipe makes no point.
    """
    if config.constructed is None:
        return at_last(config, model)
    return construct(config, model, windows)


def at_last(config: EPPlateauConfig, model: EquilibriumTransformer) -> Plateau:
    """The last checkpoint of a run as the plateau point, in the arithmetic of the comparison."""
    return Plateau(_in_precision(config, model), config)


def construct(config: EPPlateauConfig, model: EquilibriumTransformer, windows: Tensor) -> Plateau:
    """Make the plateau point from trained weights.

    The attention's output weights are scaled by `attention_factor`; ε becomes `margin` times the
    largest of `STEPS` under which the free phase converges on every window; the head is scaled by
    the one of `HEADS` with the least loss on them; the free phase stops at `tolerance`; the nudged
    phase takes `nudged_steps`; and β is the largest of `NUDGES` with which tracking still solves
    the adjoint equation on every window, up to `adjoint_residual`.

    Args:
        config: Configuration of the arm, with a recipe.
        model: Trained weights; left as they are.
        windows: (n, T + 1) token ids on which convergence is tried.

    Raises:
        NoPointError: If the free phase converges under no step, or tracking with no nudge.
    """
    recipe, estimator = config.constructed, config.training.estimator
    assert recipe is not None
    assert isinstance(estimator, EquilibriumPropagationConfig)
    made = _in_precision(config, model)
    with torch.no_grad():
        made.attention_out.mul_(recipe.attention_factor)
    made.config = replace(made.config, step=recipe.margin * largest_step(config, made, windows))
    with torch.no_grad():
        made.head.mul_(best_head(config, made, windows))
    estimator = replace(
        estimator,
        relaxation=replace(estimator.relaxation, tolerance=recipe.tolerance),
        steps=recipe.nudged_steps,
    )
    estimator = replace(estimator, beta=largest_nudge(config, made, estimator, windows))
    training = replace(config.training, estimator=estimator)
    return Plateau(made, replace(config, model=made.config, training=training))


def largest_step(config: EPPlateauConfig, model: EquilibriumTransformer, windows: Tensor) -> float:
    """Largest of `STEPS` under which every window's free phase converges in BPTT's number of steps.

    Raises:
        NoPointError: If there is none.
    """
    own = model.config
    relaxation = RelaxationConfig(steps=config.triangulation.horizon, tolerance=CONVERGED)
    try:
        for step in STEPS:
            model.config = replace(own, step=step)
            with torch.no_grad():
                free = relax(model, model.embed(windows[:, :-1].long()), relaxation)
            if bool((free.residual <= CONVERGED).all()):
                return step
    finally:
        model.config = own
    raise NoPointError("no plateau point: the free phase converges under no step")


@torch.no_grad()
def best_head(config: EPPlateauConfig, model: EquilibriumTransformer, windows: Tensor) -> float:
    """The one of `HEADS` that, as a factor on the head, gives the least loss on the windows."""
    relaxation = RelaxationConfig(steps=config.triangulation.horizon, tolerance=CONVERGED)
    state = relax(model, model.embed(windows[:, :-1].long()), relaxation).state
    logits, targets = model.logits(state).flatten(0, 1), windows[:, 1:].flatten().long()
    losses = [F.cross_entropy(factor * logits, targets) for factor in HEADS]
    return HEADS[int(torch.stack(losses).argmin())]


@torch.no_grad()
def largest_nudge(
    config: EPPlateauConfig,
    model: EquilibriumTransformer,
    estimator: EquilibriumPropagationConfig,
    windows: Tensor,
) -> float:
    """Largest of `NUDGES` with which tracking's adjoint residual is small enough on every window.

    Raises:
        NoPointError: If there is none.
    """
    recipe = config.constructed
    assert recipe is not None
    inputs, targets = model.embed(windows[:, :-1].long()), windows[:, 1:].long()
    free = relax(model, inputs, estimator.relaxation)

    def solved(beta: float) -> bool:
        tracking = TrackingEquilibriumPropagation(
            replace(estimator, correction="tracking", beta=beta)
        )
        nudged = tracking.respond(model, inputs, targets, free).nudged
        assert nudged is not None  # tracking has a nudged phase
        return bool((nudged.adjoint_residual <= recipe.adjoint_residual).all())

    # A nudge that is too strong stays so when it grows: halving the ladder finds the rung.
    below, above = -1, len(NUDGES)
    while above - below > 1:
        middle = (below + above) // 2
        below, above = (middle, above) if solved(NUDGES[middle]) else (below, middle)
    if below < 0:
        raise NoPointError("no plateau point: tracking solves its equation with no nudge")
    return NUDGES[below]


def _in_precision(config: EPPlateauConfig, model: EquilibriumTransformer) -> EquilibriumTransformer:
    return copy.deepcopy(model).to(getattr(torch, config.triangulation.precision))
