"""Configuration of the gradient estimators: names and numbers only, without torch."""

import math
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from decouple.models.equilibrium_config import RelaxationConfig

POINTS = (1, 2, 4)
CORRECTIONS = ("none", "frozen", "tracking")


@dataclass(frozen=True, kw_only=True, slots=True)
class EquilibriumPropagationConfig:
    """Equilibrium propagation: nudge the state, read the gradient from where it goes."""

    relaxation: RelaxationConfig = field(default_factory=RelaxationConfig)
    """Free phase."""

    points: Literal[1, 2, 4] = 2
    """Nudge points N on a circle of complex strengths [doc: section 0, holo N = 2]."""

    correction: Literal["none", "frozen", "tracking"] = "frozen"
    """What makes up for a Jacobian that is not symmetric: nothing, its antisymmetric part at the
    end of the free phase, or that part along a free phase that goes on [doc: section 2]."""

    beta: float = 0.02
    """Nudge strength: ‖β∇C‖ / ‖z*‖ of each sample, or β itself where `relative` is off [ours]."""

    relative: bool = True
    """Scale β so that a nudge is the same share of every sample's state [ours]."""

    steps: int = 40
    """Euler steps T2 of the nudged phase [doc: section 0, t2sel]."""

    compiled: bool = False
    """Run the nudged step as one compiled graph [ours]."""

    def __post_init__(self) -> None:
        """Refuse what no nudged phase can be."""
        if self.points not in POINTS:
            raise ValueError(f"points must be one of 1, 2, 4, got {self.points}")
        if self.correction not in CORRECTIONS:
            raise ValueError(
                f"correction must be one of {', '.join(CORRECTIONS)}, got {self.correction!r}"
            )
        if not (math.isfinite(self.beta) and self.beta > 0):
            raise ValueError(f"beta must be positive and finite, got {self.beta}")
        if self.steps < 1:
            raise ValueError(f"steps must be at least 1, got {self.steps}")


@dataclass(frozen=True, kw_only=True, slots=True)
class AdjointConfig:
    """The limit of vanishing nudge: relax the linear adjoint equation itself."""

    relaxation: RelaxationConfig = field(default_factory=RelaxationConfig)
    """Free phase."""

    steps: int = 150
    """Most Euler steps T2 of the adjoint [ours]."""

    tolerance: float = 1e-4
    """Adjoint residual at which a sample stops; 0 takes all steps [ours]."""

    compiled: bool = False
    """Run the adjoint step as one compiled graph [ours]."""

    def __post_init__(self) -> None:
        """Refuse what cannot be solved."""
        if self.steps < 1:
            raise ValueError(f"steps must be at least 1, got {self.steps}")
        if not (math.isfinite(self.tolerance) and self.tolerance >= 0):
            raise ValueError(f"tolerance must be finite and not negative, got {self.tolerance}")


@dataclass(frozen=True, kw_only=True, slots=True)
class BPTTConfig:
    """Backpropagation through every step of the relaxation."""

    steps: int = 150
    """Euler steps K, all of them differentiated [doc: exp1]."""

    micro_batch: int | None = None
    """Windows whose activations are held at a time; None holds those of all [ours]."""

    def __post_init__(self) -> None:
        """Refuse an empty relaxation."""
        if self.steps < 1:
            raise ValueError(f"steps must be at least 1, got {self.steps}")
        if self.micro_batch is not None and self.micro_batch < 1:
            raise ValueError(f"micro_batch must be at least 1 or None, got {self.micro_batch}")


@dataclass(frozen=True, kw_only=True, slots=True)
class ImplicitConfig:
    """Exact implicit differentiation with the dense Jacobian: the referee, at tiny sizes."""

    relaxation: RelaxationConfig = field(default_factory=RelaxationConfig)
    """Free phase, whose end Newton's method starts from."""

    newton_steps: int = 20
    """Most Newton steps after the free phase [ours]."""

    tolerance: float = 1e-5
    """Force residual and adjoint residual up to which both equations count as solved: some way
    above the rounding of single precision [ours]."""

    largest: int = 2048
    """Largest T·C for which a dense Jacobian is made [ours]."""

    def __post_init__(self) -> None:
        """Refuse sizes that hold nothing."""
        for name in ("newton_steps", "largest"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not (math.isfinite(self.tolerance) and self.tolerance > 0):
            raise ValueError(f"tolerance must be positive and finite, got {self.tolerance}")


@dataclass(frozen=True, kw_only=True, slots=True)
class BackpropagationConfig:
    """Plain backpropagation, for the standard transformer."""


EstimatorConfig: TypeAlias = (
    EquilibriumPropagationConfig
    | AdjointConfig
    | BPTTConfig
    | ImplicitConfig
    | BackpropagationConfig
)
"""Any estimator; `make_estimator` turns it into code."""
