"""What keeps the block contractive while it learns, and what tells when it is not.

Regulariser, controller, validity gate, fuse and parameter average, in the order in which a training
step meets them. None of them makes the host wait for the device: their state and their decisions
are tensors.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from decouple.models.equilibrium import EquilibriumTransformer
from decouple.training.equilibrium_trainer_config import ContractionConfig
from decouple.training.estimators.base import NudgedPhase, Solution

BLOCK_PARAMETERS = ("query_key_value", "attention_out", "up", "down")
"""Parameters of the branches, the only ones that the regulariser reaches."""


def rademacher(like: Tensor, probes: int, generator: torch.Generator) -> Tensor:
    """Random signs (probes, *like.shape), drawn on the device of the generator."""
    signs = torch.randint(0, 2, (probes, *like.shape), generator=generator, device=generator.device)
    return (2 * signs - 1).to(like)


def jacobian_penalty(model: EquilibriumTransformer, state: Tensor, probes: Tensor) -> Tensor:
    """Hutchinson estimate of the mean squared singular value of the branches' Jacobian.

    `R = mean over probes v of ‖Gᵀ v‖² / (B·T·C)`, G the Jacobian of attention and feed-forward at
    the state, without leak and damping, which are constants. With independent signs in v its
    expectation is `‖G‖_F² / (B·T·C)` (Hutchinson 1989). Differentiable in the parameters; the state
    is held fixed. Cost per probe: one force evaluation, one transposed product, and the reverse
    differentiation of both.

    Args:
        model: The block.
        state: z (B, T, C), detached.
        probes: v (P, B, T, C).

    Returns:
        R, 0-dimensional.
    """
    state = state.detach().expand_as(probes).requires_grad_()
    with torch.enable_grad():
        branches = model.branches(state)
        (product,) = torch.autograd.grad(branches, state, probes, create_graph=True)
        penalty: Tensor = product.square().mean()
    return penalty


class Controller:
    """Weight of the regulariser, raised while the residual is above its target.

    Integral control in the logarithm, with clamping as anti-windup:

        log λ ← clamp( log λ + gain · clamp(log(residual / target), ±1), log floor, log ceiling )

    The clamped value is the state, so however long it has been held at the ceiling the weight falls
    with the first residual below target. A residual that is not a number counts as far above.
    """

    def __init__(self, config: ContractionConfig, device: torch.device | str = "cpu") -> None:
        self.config = config
        self.log_weight = torch.tensor(math.log(config.floor), device=device)

    @property
    def weight(self) -> Tensor:
        """λ, 0-dimensional."""
        return self.log_weight.exp()

    def update(self, residual: Tensor) -> None:
        """Take in the force residuals (B,) of a step."""
        config = self.config
        error = (residual.mean() / config.target_residual).log().nan_to_num(nan=1.0)
        moved = self.log_weight + config.gain * error.clamp(-1.0, 1.0).to(self.log_weight.dtype)
        self.log_weight = moved.clamp(math.log(config.floor), math.log(config.ceiling))

    def state_dict(self) -> dict[str, Tensor]:
        """All that the controller remembers."""
        return {"log_weight": self.log_weight}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on from what `state_dict` gave."""
        self.log_weight = state["log_weight"]


class Verdicts(NamedTuple):
    """What the gate found, each a 0-dimensional boolean."""

    free: Tensor
    """The worst sample's free phase is close enough to its fixed point."""

    nudged: Tensor
    """The worst sample's nudged phase neither runs away nor misses the adjoint equation; where the
    equations are solved outright instead, they are."""

    @property
    def open(self) -> Tensor:
        """Whether the task gradient may be used."""
        return self.free & self.nudged


def judge_estimate(
    residual: Tensor,
    nudged: NudgedPhase | None,
    config: ContractionConfig,
    solution: Solution | None = None,
) -> Verdicts:
    """Judge an estimate by its worst sample: a residual alone does not certify the nudged phase.

    Args:
        residual: (B,) force residual at the end of the free phase.
        nudged: Behaviour of the nudged phase; None, for estimators without one, passes.
        config: Limits; what is not a number is beyond any limit.
        solution: How the equations were solved, for estimators that solve them outright.
    """
    free = (residual <= config.gate_residual).all()
    if nudged is None:
        return Verdicts(free, torch.ones_like(free) if solution is None else solution.solved.all())
    settled = nudged.growth <= config.gate_growth
    solved = nudged.adjoint_residual <= config.gate_adjoint
    return Verdicts(free, (settled & solved).all())


class Fuse:
    """Stops a run that has been far from equilibrium for too many steps in a row."""

    def __init__(self, config: ContractionConfig, device: torch.device | str = "cpu") -> None:
        self.config = config
        self.heat = torch.zeros((), dtype=torch.int64, device=device)

    def update(self, residual: Tensor) -> Tensor:
        """Take in the force residuals (B,) of a step; whether the fuse is blown, 0-dimensional."""
        above = ~(residual.mean() <= self.config.fuse_residual)
        self.heat = torch.where(above, self.heat + 1, torch.zeros_like(self.heat))
        return self.heat >= self.config.fuse_patience

    def state_dict(self) -> dict[str, Tensor]:
        """All that the fuse remembers."""
        return {"heat": self.heat}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on from what `state_dict` gave."""
        self.heat = state["heat"]


class ParameterAverage:
    """Exponential moving average of the parameters: `m ← d·m + (1 − d)·θ`, from m = θ.

    Args:
        model: Whose parameters to average.
        decay: d, per step; 0 follows the parameters at once.

    Raises:
        ValueError: If the decay is not in [0, 1).
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"decay must be in [0, 1), got {decay}")
        self.decay = decay
        self.values = {name: value.detach().clone() for name, value in model.named_parameters()}

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Take in the parameters after a step."""
        for name, value in model.named_parameters():
            self.values[name].lerp_(value, 1 - self.decay)

    def state_dict(self) -> dict[str, Tensor]:
        """The average, by parameter name."""
        return dict(self.values)

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on from what `state_dict` gave."""
        for name, value in self.values.items():
            value.copy_(state[name])
