"""Scale of the short runs about the validity gate; imports nothing."""

import math
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class GateConfig:
    """The beginning of a run, from a start that is not contractive, exp4.

    The defaults are the document's own run, whose start has a force residual of 2e-2 [doc: exp1].
    """

    steps: int = 1000
    """Steps with a task, after those that have none [doc: exp4 looks at the first 800]."""

    warmup: int = 800
    """Steps in which the learning rate of the task rises, where it does [doc: section 0]."""

    prewarm: int = 200
    """Steps on the regulariser alone before them, at the full rate [doc: exp4, arm B]."""

    early: int = 300
    """Steps with a task within which the best loss is the early one [doc: exp4, arm C is at its
    best after 300]."""

    validate_every: int = 20
    """Steps between measurements of the held-out loss [ours]."""

    batch: int = 24
    """Windows in a batch [doc: section 0]."""

    learning_rate: float = 8e-4
    """Step size after the warm-up [doc: section 0]."""

    free_steps: int = 150
    """Euler steps T1 of the free phase [doc: exp1]."""

    nudged_steps: int = 40
    """Euler steps T2 of the nudged phase [doc: section 0]."""

    damping: float = 1.0
    """Damping c of the block, as in the published preset."""

    step: float = 0.1
    """Euler step ε of the block, as in the published preset."""

    up_factor: float = 1.0
    """Factor on the initial feed-forward input weights; the document has none."""

    embedding_std: float = 0.02
    """Standard deviation of the initial embeddings: the shorter the state, the steeper its norm and
    the less contractive the block [ours]."""

    contractive_std: float = 0.5
    """The same in the control, whose start is contractive [ours]."""

    small_init: float = 0.3
    """Factor on the initial output weights of the branches in the arm without warm-up [doc: exp4,
    arm C has resinit 0.03 in place of 0.1]."""

    def __post_init__(self) -> None:
        """Refuse what cannot be run."""
        at_least = {"steps": 1, "warmup": 0, "prewarm": 1, "early": 1, "validate_every": 1}
        at_least |= {"batch": 1, "free_steps": 1, "nudged_steps": 1}
        for name, minimum in at_least.items():
            if getattr(self, name) < minimum:
                raise ValueError(f"{name} must be at least {minimum}, got {getattr(self, name)}")
        positive = ["learning_rate", "up_factor", "embedding_std", "contractive_std", "small_init"]
        for name in [*positive, "damping", "step"]:
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"{name} must be positive and finite, got {value}")
        for name in ("steps", "prewarm", "early"):
            if getattr(self, name) % self.validate_every:
                raise ValueError(
                    f"{name} must be a multiple of validate_every={self.validate_every}, "
                    f"got {getattr(self, name)}"
                )
        if self.early > self.steps:
            raise ValueError(f"early must be at most steps={self.steps}, got {self.early}")


SMOKE_GATE = GateConfig(
    steps=40,
    warmup=160,
    prewarm=40,
    early=20,
    validate_every=20,
    batch=4,
    # The warm-up's dead zone ends well within the run, so that its length is seen, and the arm
    # without a warm-up still learns.
    learning_rate=4e-3,
    free_steps=40,
    nudged_steps=8,
    damping=0.5,
    step=0.35,
    up_factor=3.0,
)
"""Some one or two seconds on a CPU core for a run. Weights are scaled up and damping is halved, as
a narrow block contracts more by itself; the pre-phase is the published share of the warm-up."""
