"""The plateau point of a small run, made on purpose: a block at which a correction may collapse.

A run of some steps never gets to the document's plateau. From its trained weights a block is made
that has what is suspected there: a free phase that converges, but slowly, under an Euler step close
to the largest it stands, and that is stopped while the residual is as large as the gate allows. The
recipe is the same for all seeds, and nothing of it looks at what any estimator does.
"""

import copy
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from decouple.experiments.ep_plateau.config import EPPlateauConfig
from decouple.models.equilibrium import EquilibriumTransformer
from decouple.models.equilibrium_config import RelaxationConfig
from decouple.models.equilibrium_relaxation import relax
from decouple.training.estimators.config import EquilibriumPropagationConfig

STEPS = tuple(round(0.1 * tenths, 1) for tenths in range(1, 31))
"""Euler steps ε that are tried for the largest under which the free phase still converges."""

CONVERGED = 1e-5
"""Force residual at which it has."""


class NoPointError(RuntimeError):
    """The recipe makes no point from these weights: the block does not converge at all."""


@dataclass(frozen=True, slots=True)
class Plateau:
    """Where the claims about the plateau are made."""

    model: EquilibriumTransformer
    """The block, its weights and its Euler step those of the point."""

    config: EPPlateauConfig
    """The arm's configuration with the free and the nudged phase of the point."""


def at_last(config: EPPlateauConfig, model: EquilibriumTransformer) -> Plateau:
    """The last checkpoint of a run as the plateau point, in the arithmetic of the comparison."""
    return Plateau(_in_precision(config, model), config)


def construct(config: EPPlateauConfig, model: EquilibriumTransformer, windows: Tensor) -> Plateau:
    """Make the plateau point from trained weights.

    The attention's output weights are scaled by `attention_factor`; ε becomes `margin` times the
    largest of `STEPS` under which the free phase converges on every window; the free phase stops at
    `tolerance`, the nudge has strength `beta` and `nudged_steps` steps.

    Args:
        config: Configuration of the arm, with a recipe.
        model: Trained weights; left as they are.
        windows: (n, T + 1) token ids on which convergence is tried.

    Raises:
        NoPointError: If the free phase converges under none of the steps.
    """
    recipe, estimator = config.constructed, config.training.estimator
    assert recipe is not None
    assert isinstance(estimator, EquilibriumPropagationConfig)
    made = _in_precision(config, model)
    with torch.no_grad():
        made.attention_out.mul_(recipe.attention_factor)
    made.config = replace(made.config, step=recipe.margin * largest_step(config, made, windows))
    estimator = replace(
        estimator,
        relaxation=replace(estimator.relaxation, tolerance=recipe.tolerance),
        beta=recipe.beta,
        steps=recipe.nudged_steps,
    )
    training = replace(config.training, estimator=estimator)
    return Plateau(made, replace(config, model=made.config, training=training))


def largest_step(config: EPPlateauConfig, model: EquilibriumTransformer, windows: Tensor) -> float:
    """Largest of `STEPS` under which every window's free phase converges in BPTT's number of steps.

    Raises:
        NoPointError: If there is none.
    """
    own = model.config
    relaxation = RelaxationConfig(steps=config.triangulation.horizon, tolerance=CONVERGED)
    largest = None
    try:
        for step in STEPS:
            model.config = replace(own, step=step)
            with torch.no_grad():
                inputs = model.embed(windows[:, :-1].long())
                residual = relax(model, inputs, relaxation).residual
            if bool((residual <= CONVERGED).all()):
                largest = step
            elif largest is not None:
                break  # beyond it the iteration is unstable
    finally:
        model.config = own
    if largest is None:
        raise NoPointError("no plateau point: the free phase converges under no step")
    return largest


def _in_precision(config: EPPlateauConfig, model: EquilibriumTransformer) -> EquilibriumTransformer:
    return copy.deepcopy(model).to(getattr(torch, config.triangulation.precision))
