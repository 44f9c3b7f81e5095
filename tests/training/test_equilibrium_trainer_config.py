"""What cannot be trained is refused by name, value and expectation."""

import dataclasses
import math

import pytest

from decouple.training.equilibrium_trainer_config import (
    ContractionConfig,
    EquilibriumTrainerConfig,
)
from decouple.training.estimators.config import BackpropagationConfig


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"floor": 0.0}, "floor must be positive, got 0.0"),
        ({"ceiling": 0.05}, "ceiling must be finite and at least floor=0.1, got 0.05"),
        ({"target_residual": -1.0}, "target_residual must be positive, got -1.0"),
        ({"gain": math.nan}, "gain must be finite and not negative, got nan"),
        ({"probes": 0}, "probes must be at least 1, got 0"),
        ({"fuse_patience": 0}, "fuse_patience must be at least 1, got 0"),
        ({"fuse_residual": 0.0}, "fuse_residual must be positive, got 0.0"),
    ],
)
def test_meaningless_constants_are_refused_with_name_value_and_expectation(change, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        ContractionConfig(**change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch": 0}, "batch must be at least 1, got 0"),
        ({"steps": -1}, "steps must not be negative, got -1"),
        ({"learning_rate": math.inf}, "learning_rate must be finite and not negative, got inf"),
        ({"average_decay": 1.0}, r"average_decay must be in \[0, 1\), got 1.0"),
        (
            {"checkpoint_every": 4},
            "checkpoint_every must be a multiple of check_every=3, got 4",
        ),
        (
            {"contraction": None, "precontraction": 2},
            "precontraction must be 0 where contraction is None, got 2",
        ),
        (
            {"estimator": BackpropagationConfig()},
            "contraction must be None for BackpropagationConfig, which has no fixed point",
        ),
    ],
)
def test_impossible_runs_are_refused_with_name_value_and_expectation(change, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        dataclasses.replace(EquilibriumTrainerConfig(check_every=3, checkpoint_every=3), **change)
