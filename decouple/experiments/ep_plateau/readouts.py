"""What is read off a trained arm, exp1, 2, 6 and 7, in stages that each stand alone."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TypeAlias

import torch
from torch import Tensor, nn

from decouple.experiments.ep_plateau.arms import (
    CONDITIONS,
    DESCENT_CONDITIONS,
    SWEPT_CONDITIONS,
    estimators,
)
from decouple.experiments.ep_plateau.branches import branch_rows
from decouple.experiments.ep_plateau.checkpoints import Trained, Weights, load_weights
from decouple.experiments.ep_plateau.config import EPPlateauConfig
from decouple.experiments.ep_plateau.constructed import Plateau, at_last, plateau_point
from decouple.experiments.ep_plateau.mixing import mixing_rows
from decouple.experiments.ep_plateau.preparation import Data, as_equilibrium, readout_batches
from decouple.experiments.ep_plateau.rows import Row
from decouple.experiments.ep_plateau.sweep import (
    loss_changes,
    matched,
    sweep_rows,
    with_regulariser,
)
from decouple.experiments.ep_plateau.triangulation import (
    Reference,
    average,
    estimate,
    estimator_rows,
)
from decouple.models.equilibrium import EquilibriumTransformer
from decouple.models.transformer import Transformer
from decouple.training.estimators.base import Estimate
from decouple.training.estimators.config import EstimatorConfig


@dataclass(frozen=True)
class Subject:
    """A trained arm and all that reading it takes.

    What several readouts need is made when the first of them asks; a run that is taken up again
    makes it again from the weights that are kept.
    """

    config: EPPlateauConfig
    data: Data
    seed: int
    trained: Trained
    build: Callable[[], nn.Module]
    """Makes the model that training began with."""

    def model(self, weights: Weights) -> nn.Module:
        """A model of its own with some of the weights."""
        model = self.build()
        load_weights(model, weights)
        return model

    def block(self, weights: Weights) -> EquilibriumTransformer:
        """The same, known to be an equilibrium block."""
        return as_equilibrium(self.model(weights))

    @property
    def batches(self) -> Tensor:
        """(n, B, T + 1) held-out batches on which gradients are compared."""
        return readout_batches(self.config, self.data, self.seed)

    @cached_property
    def plateau(self) -> Plateau:
        """The plateau point of the last weights."""
        return plateau_point(self.config, self.block(self.trained.last), self.batches.flatten(0, 1))

    @cached_property
    def reference(self) -> Reference:
        """True gradients at the plateau point."""
        return Reference(self.plateau.config, self.plateau.model, self.batches)


Readout: TypeAlias = Callable[[Subject], list[Row]]


def readouts(config: EPPlateauConfig) -> dict[str, Readout]:
    """What is read off an arm once it is trained, by name and in order."""
    if "campaign" in config.readouts:
        descent: dict[str, Readout] = {
            f"gradients at step {step}": partial(_descent, step=step) for step in config.descent
        }
        return descent | {
            "branches and mixing": partial(_state, condition="trained"),
            "branches and mixing, untrained": partial(_state, condition="untrained"),
            "gradients at the plateau": _true_gradients,
            **{
                f"gradients at the plateau, {condition}": partial(_gradients, condition=condition)
                for condition in ("trained", *CONDITIONS)
            },
        }
    return {"mixing": _decoder} if "mixing" in config.readouts else {}


def _decoder(subject: Subject) -> list[Row]:
    """Mixing of the standard decoder, exp7."""
    config, model = subject.config, subject.model(subject.trained.last)
    assert isinstance(model, Transformer)  # the configuration has seen to it
    step = config.training.steps
    return mixing_rows(config, model, subject.data.validation, step=step, point="plateau")


def _descent(subject: Subject, *, step: int) -> list[Row]:
    """Gradients and branches at a snapshot, exp1 and 6."""
    config, model = subject.config, subject.block(subject.trained.snapshots[step])
    block = at_last(config, model).model
    reference = Reference(config, block, subject.batches)
    rows = reference.rows(step=step, point="descent")
    # Nothing descends yet at the start, where a control would show nothing.
    for condition in ("trained", *DESCENT_CONDITIONS) if step else ("trained",):
        rows += estimator_rows(
            config,
            reference,
            _estimate(config, block, condition, reference.batches),
            step=step,
            point="descent",
            condition=condition,
            detailed=condition == "trained",
        )
    return rows + branch_rows(config, model, subject.data.validation, step=step, point="descent")


def _state(subject: Subject, *, condition: str) -> list[Row]:
    """Branches and mixing of the last weights, or of an untrained block, exp6 and 7."""
    config, windows = subject.config, subject.data.validation
    block = (
        as_equilibrium(subject.build())
        if condition == "untrained"
        else subject.block(subject.trained.last)
    )
    step = config.training.steps
    return [
        row
        for rows in (branch_rows, mixing_rows)
        for row in rows(config, block, windows, step=step, point="plateau", condition=condition)
    ]


def _true_gradients(subject: Subject) -> list[Row]:
    """The true gradient and one-step changes of the loss along it at the plateau, exp1 and 2."""
    reference, step = subject.reference, subject.config.training.steps
    # A step is taken on all batches as one: what one of them does not show is then not missed.
    changes = loss_changes(
        reference.config,
        reference.model,
        average(reference.short),
        reference.batches.flatten(0, 1),
    )
    return [
        *reference.rows(step=step, point="plateau"),
        *sweep_rows(changes, "loss_change_bptt", step=step, condition="trained"),
    ]


def _gradients(subject: Subject, *, condition: str) -> list[Row]:
    """An estimator's gradient and changes of the loss along it at the plateau, exp1 and 2."""
    reference, step = subject.reference, subject.config.training.steps
    config, model, batches = reference.config, reference.model, reference.batches
    found = _estimate(config, model, condition, batches)
    rows = estimator_rows(
        config, reference, found, step=step, point="plateau", condition=condition, detailed=True
    )
    if condition not in ("trained", *SWEPT_CONDITIONS):
        return rows
    gradients = average(found)
    states = torch.cat([_relaxed(each) for each in found])
    for metric, direction in (
        ("loss_change_ep", gradients),
        (
            "loss_change_ep_jac",
            with_regulariser(config, model, gradients, states, subject.seed),
        ),
        ("loss_change_ep_matched", matched(gradients, average(reference.short))),
    ):
        changes = loss_changes(config, model, direction, batches.flatten(0, 1))
        rows += sweep_rows(changes, metric, step=step, condition=condition)
    return rows


def _estimate(
    config: EPPlateauConfig, model: EquilibriumTransformer, condition: str, batches: Tensor
) -> list[Estimate]:
    """What plays equilibrium propagation under a condition, on every batch."""
    own: EstimatorConfig = config.training.estimator
    estimator = own if condition == "trained" else estimators(config)[condition]
    return estimate(model, estimator, batches, at_once=config.triangulation.batches_at_once)


def _relaxed(found: Estimate) -> Tensor:
    assert found.state is not None  # estimators that are compared here relax
    return found.state
