"""How a GPT-2 is pretrained: shape, steps and schedule. Imports no torch."""

import math
from dataclasses import dataclass, field
from typing import Literal

from decouple.models.gpt2_config import BaseShape

DEVICES = ("cpu", "cuda")


@dataclass(frozen=True, kw_only=True, slots=True)
class PretrainingConfig:
    """One run of AdamW from random weights, the same for a model of any size."""

    shape: BaseShape = field(default_factory=BaseShape)
    """Shape of the model."""

    block: int = 256
    """Positions T of a training window; at most the context. Later positions stay untrained."""

    batch: int = 16
    """Windows B of a step."""

    steps: int = 3000
    """Optimiser steps."""

    learning_rate: float = 6e-4
    """Highest step size of AdamW."""

    warmup: int = 100
    """Steps in which the step size rises linearly to its highest value."""

    final_fraction: float = 0.1
    """Part of the highest step size that the cosine after the warm-up ends at."""

    weight_decay: float = 0.01
    """Decoupled weight decay of AdamW, on every parameter."""

    clip: float = 1.0
    """Greatest norm of the gradient; a longer one is scaled down to it."""

    seed: int = 0
    """Decides initial weights and windows."""

    device: Literal["cpu", "cuda"] = "cpu"
    """Where the model trains."""

    bfloat16: bool = False
    """Multiply matrices in bfloat16; weights and optimiser stay in float32."""

    compiled: bool = False
    """Compile the loss; it takes a minute and pays on a GPU."""

    threads: int = 1
    """CPU threads within one operation; they decide the last bits."""

    check_every: int = 100
    """Steps between two looks at the losses: the only times the host waits for the device."""

    checkpoint_every: int = 500
    """Steps between two states on disk; a multiple of `check_every`."""

    def __post_init__(self) -> None:
        """Refuse values no run can have."""
        at_least = {"batch": 1, "steps": 1, "warmup": 0, "seed": 0, "threads": 1, "check_every": 1}
        for name, minimum in at_least.items():
            if getattr(self, name) < minimum:
                raise ValueError(f"{name} must be at least {minimum}, got {getattr(self, name)}")
        if not 1 <= self.block <= self.shape.context:
            raise ValueError(
                f"block must be between 1 and context={self.shape.context}, got {self.block}"
            )
        for name in ("learning_rate", "clip"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"{name} must be positive and finite, got {value}")
        if not (math.isfinite(self.weight_decay) and self.weight_decay >= 0):
            raise ValueError(
                f"weight_decay must be finite and not negative, got {self.weight_decay}"
            )
        if not 0 <= self.final_fraction <= 1:
            raise ValueError(f"final_fraction must be between 0 and 1, got {self.final_fraction}")
        if self.device not in DEVICES:
            raise ValueError(f"device must be one of {', '.join(DEVICES)}, got {self.device!r}")
        if self.checkpoint_every < 1 or self.checkpoint_every % self.check_every:
            raise ValueError(
                f"checkpoint_every must be a multiple of check_every={self.check_every}, "
                f"got {self.checkpoint_every}"
            )


def learning_rate_at(config: PretrainingConfig, step: int) -> float:
    """Step size of a step, counted from 0: linear warm-up, then half a cosine.

    Rises as (step + 1) / warmup to the highest value η and falls from there as
    η (f + (1 − f) (1 + cos π p) / 2), p the part of the remaining steps that is done.
    """
    if step < config.warmup:
        return config.learning_rate * (step + 1) / config.warmup
    done = (step - config.warmup) / max(1, config.steps - config.warmup)
    cosine = (1 + math.cos(math.pi * done)) / 2
    return config.learning_rate * (config.final_fraction + (1 - config.final_fraction) * cosine)
