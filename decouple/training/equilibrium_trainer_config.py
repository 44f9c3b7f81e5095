"""Configuration of training with an estimator: numbers only, without torch."""

import math
from dataclasses import dataclass, field

from decouple.training.estimators.config import (
    BackpropagationConfig,
    EquilibriumPropagationConfig,
    EstimatorConfig,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class ContractionConfig:
    """Constants of the contraction machinery; the defaults are the published run's."""

    floor: float = 0.1
    """Smallest weight λ of the regulariser, and the one it starts with [doc: jr_floor]."""

    ceiling: float = 32.0
    """Largest weight [doc: jr_max]."""

    target_residual: float = 1.5e-3
    """Mean force residual that the controller steers to [doc: res_target]."""

    gain: float = 0.05
    """Change of log λ per step and per unit of log residual off its target [ours]."""

    probes: int = 1
    """Random vectors per step in the estimate of the Jacobian's norm [ours]."""

    gate_residual: float = 1e-2
    """Worst force residual of a batch with which its task gradient is still used [ours, between
    the 2e-2 at which the document's gate skips and the 4e-4 at which it does not]."""

    gate_growth: float = 3.0
    """Largest growth of the nudged phase, final over halfway, with which it is used [ours]."""

    gate_adjoint: float = 0.5
    """Largest relative error of the adjoint equation with which it is used [ours]."""

    fuse_residual: float = 0.1
    """Mean force residual above which the fuse heats up [doc: exp3]."""

    fuse_patience: int = 50
    """Steps in a row above it that blow the fuse [ours]."""

    def __post_init__(self) -> None:
        """Refuse constants that mean nothing."""
        for name in ("floor", "target_residual", "gate_residual", "gate_growth", "gate_adjoint"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")
        if not (math.isfinite(self.ceiling) and self.ceiling >= self.floor):
            raise ValueError(
                f"ceiling must be finite and at least floor={self.floor}, got {self.ceiling}"
            )
        if not (math.isfinite(self.gain) and self.gain >= 0):
            raise ValueError(f"gain must be finite and not negative, got {self.gain}")
        if not self.fuse_residual > 0:
            raise ValueError(f"fuse_residual must be positive, got {self.fuse_residual}")
        for name in ("probes", "fuse_patience"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")


@dataclass(frozen=True, kw_only=True, slots=True)
class EquilibriumTrainerConfig:
    """Training of one model with any of the estimators; the defaults are the published run's."""

    estimator: EstimatorConfig = field(default_factory=EquilibriumPropagationConfig)
    """Where the task gradient comes from."""

    contraction: ContractionConfig | None = field(default_factory=ContractionConfig)
    """Regulariser, controller, gate and fuse; None trains on the task gradient alone."""

    steps: int = 20_000
    """Optimiser steps, pre-contraction included [doc: section 0]."""

    batch: int = 24
    """Windows in a batch [doc: section 0]."""

    learning_rate: float = 8e-4
    """Step size of AdamW after the warm-up [doc: section 0]."""

    weight_decay: float = 0.0
    """Decoupled weight decay of AdamW [ours, the document names none]."""

    warmup: int = 800
    """Steps in which the learning rate rises linearly from 0 [doc: section 0]."""

    precontraction: int = 0
    """Steps before the warm-up that train on the regulariser alone, at the full learning rate
    [doc: exp4, arm B has 200]."""

    average_decay: float = 0.999
    """Decay of the parameter average, per step [doc: section 0, pema]."""

    check_every: int = 50
    """Steps after which the host looks for divergence and a blown fuse; the run ends there, and the
    record at the step that did it [ours]."""

    checkpoint_every: int = 500
    """Steps between checkpoints, a multiple of `check_every` [ours]."""

    def __post_init__(self) -> None:
        """Refuse what cannot be trained."""
        for name in ("batch", "check_every", "checkpoint_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("steps", "warmup", "precontraction"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")
        for name in ("learning_rate", "weight_decay"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"{name} must be finite and not negative, got {value}")
        if not 0 <= self.average_decay < 1:
            raise ValueError(f"average_decay must be in [0, 1), got {self.average_decay}")
        if self.checkpoint_every % self.check_every:
            raise ValueError(
                f"checkpoint_every must be a multiple of check_every={self.check_every}, "
                f"got {self.checkpoint_every}"
            )
        if self.precontraction and self.contraction is None:
            raise ValueError(
                f"precontraction must be 0 where contraction is None, got {self.precontraction}"
            )
        if self.contraction is not None and isinstance(self.estimator, BackpropagationConfig):
            raise ValueError(
                "contraction must be None for BackpropagationConfig, which has no fixed point"
            )
