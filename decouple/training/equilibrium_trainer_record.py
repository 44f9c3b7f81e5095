"""What is recorded of a training step, and which records end a run."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from decouple.training.equilibrium_trainer_config import ContractionConfig
from decouple.training.estimators.base import Estimate

METRICS = (
    "loss",
    "force_residual_mean",
    "force_residual_worst",
    "step_residual_mean",
    "step_residual_worst",
    "growth_worst",
    "adjoint_residual_worst",
    "free_valid",
    "nudged_valid",
    "regulariser_weight",
    "penalty",
    "gradient_norm",
    "force_evaluations",
    "fuse_blown",
)
"""What is recorded of each step, before its update; cross-entropy in nats per token. Residuals are
over the samples of the batch: ‖F‖ / ‖z‖ at the end of the free phase, and ε times that. Force
evaluations are those of the estimate, the regulariser apart."""


class Intervention(NamedTuple):
    """What the contraction machinery found and did in a step, each 0-dimensional."""

    free_valid: Tensor
    nudged_valid: Tensor
    weight: Tensor
    """λ of the regulariser."""

    penalty: Tensor
    """What it multiplies."""

    blown: Tensor
    """Whether the fuse is."""

    @classmethod
    def none(cls, like: Tensor) -> "Intervention":
        """That of a run without such machinery: everything passes."""
        zero, one = like.new_zeros(()), like.new_ones(())
        return cls(one, one, zero, zero, zero)


def step_row(
    estimate: Estimate, done: Intervention, gradients: Mapping[str, Tensor], step_size: float
) -> Tensor:
    """One step as a row of `METRICS`, float64, on the device.

    Args:
        estimate: Estimate of the task gradient.
        done: What the contraction machinery did.
        gradients: What the optimiser is given, by parameter name.
        step_size: Euler step ε of the block; 0 where the model has none.
    """
    residual, nudged = estimate.residual, estimate.nudged
    zero = residual.new_zeros(())
    row = [
        estimate.loss,
        residual.mean(),
        residual.amax(),
        step_size * residual.mean(),
        step_size * residual.amax(),
        zero if nudged is None else _worst(nudged.growth),
        _worst_adjoint(estimate, zero),
        done.free_valid,
        done.nudged_valid,
        done.weight,
        done.penalty,
        nn.utils.get_total_norm(list(gradients.values())),
        torch.full_like(zero, estimate.evaluations.total),
        done.blown,
    ]
    return torch.stack([value.double() for value in row])


def read_rows(
    rows: Sequence[list[float]], *, first: int, contraction: ContractionConfig | None
) -> tuple[list[list[float]], str | None]:
    """The rows up to the one that ended the run, and how it did; None if it goes on.

    A step whose numbers have diverged is no row; that which blew the fuse is the last.

    Args:
        rows: Rows of `METRICS`, step by step.
        first: Step of the first.
        contraction: Constants of the fuse, where there is one.
    """
    columns = {name: index for index, name in enumerate(METRICS)}
    for taken, row in enumerate(rows):
        step = first + taken
        for name in ("loss", "gradient_norm"):
            value = row[columns[name]]
            if not abs(value) < float("inf"):
                return list(rows[:taken]), f"diverged at step {step}: {name} is {value}"
        if contraction is not None and row[columns["fuse_blown"]]:
            residual = row[columns["force_residual_mean"]]
            return list(rows[: taken + 1]), (
                f"fuse blown at step {step}: residual {residual:.3g} is the last of "
                f"{contraction.fuse_patience} above {contraction.fuse_residual}"
            )
    return list(rows), None


def _worst_adjoint(estimate: Estimate, zero: Tensor) -> Tensor:
    """Worst error of the adjoint equation, however it was solved; 0 where none was."""
    found = estimate.nudged or estimate.solution
    return zero if found is None else _worst(found.adjoint_residual)


def _worst(values: Tensor) -> Tensor:
    """Largest of the batch; a nudged phase that overflowed is infinitely bad, not unknown."""
    return values.nan_to_num(nan=torch.inf, posinf=torch.inf).amax()
