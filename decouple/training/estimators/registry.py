"""From the configuration of an estimator to the estimator."""

from typing import Any

from decouple.training.estimators.adjoint import Adjoint
from decouple.training.estimators.backpropagation import Backpropagation
from decouple.training.estimators.base import GradientEstimator
from decouple.training.estimators.bptt import BPTT
from decouple.training.estimators.config import (
    AdjointConfig,
    BackpropagationConfig,
    BPTTConfig,
    EquilibriumPropagationConfig,
    EstimatorConfig,
    ImplicitConfig,
)
from decouple.training.estimators.equilibrium_propagation import EquilibriumPropagation
from decouple.training.estimators.implicit import Implicit
from decouple.training.estimators.tracking import TrackingEquilibriumPropagation


def make_estimator(config: EstimatorConfig) -> GradientEstimator[Any]:
    """Build the estimator that a configuration describes.

    Raises:
        TypeError: If it is the configuration of something else.
    """
    match config:
        case EquilibriumPropagationConfig(correction="tracking"):
            return TrackingEquilibriumPropagation(config)
        case EquilibriumPropagationConfig():
            return EquilibriumPropagation(config)
        case AdjointConfig():
            return Adjoint(config)
        case BPTTConfig():
            return BPTT(config)
        case ImplicitConfig():
            return Implicit(config)
        case BackpropagationConfig():
            return Backpropagation()
    raise TypeError(f"config must configure an estimator, got {type(config).__name__}")
