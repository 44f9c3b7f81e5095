"""Shape of the equilibrium transformer and of its relaxation: arithmetic only, without torch."""

import math
from dataclasses import dataclass
from typing import Literal

NORMS = ("layer", "rms")
ACTIVATIONS = ("gelu", "silu")
PRECISIONS = ("bfloat16", "tf32")


@dataclass(frozen=True, kw_only=True, slots=True)
class EquilibriumConfig:
    """One block whose output is the point at which its force vanishes.

    The force is `F(z) = x − (leak + damping) z + Attention(norm z) + FeedForward(norm z)`. The
    defaults are the published run where the document says, the author's later notes where it is
    silent. The vocabulary belongs to the tokenizer.
    """

    width: int = 512
    """Width C of the state [doc: section 0]."""

    context: int = 256
    """Longest sequence, in tokens; as many learned positions [doc: section 0]."""

    n_heads: int = 16
    """Attention heads H; queries and keys are RMS-normed in each [doc: section 0, exp6]."""

    expansion: int = 4
    """Hidden width of the feed-forward branch as a multiple of C [doc: section 0]."""

    leak: float = 1.0
    """Decay of the state that the equilibrium z = x + Attention + FeedForward implies."""

    damping: float = 1.0
    """Decay beyond the leak; the state shrinks and the block contracts more [notes: c = 1]."""

    step: float = 0.1
    """Euler step ε of every relaxation, in units of the leak's time constant [notes]."""

    norm: Literal["layer", "rms"] = "layer"
    """What normalises the state before both branches; neither has parameters [notes]."""

    activation: Literal["gelu", "silu"] = "gelu"
    """Activation of the feed-forward branch; GELU in its tanh form, which is analytic [notes]."""

    residual_scale: float = 0.1
    """Factor on the initial output weights of both branches, `resinit` [doc: section 0]."""

    embedding_std: float = 0.02
    """Standard deviation of the initial token and position embeddings [ours]."""

    def __post_init__(self) -> None:
        """Refuse shapes and constants that no block can have."""
        for name in ("width", "context", "n_heads", "expansion"):
            value = getattr(self, name)
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        if self.width % self.n_heads:
            raise ValueError(f"n_heads must divide width={self.width}, got {self.n_heads}")
        for name in ("step", "residual_scale", "embedding_std"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"{name} must be positive and finite, got {value}")
        for name in ("leak", "damping"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"{name} must be finite and not negative, got {value}")
        if self.decay == 0:
            raise ValueError("leak + damping must be positive, got 0.0")
        for name, known in (("norm", NORMS), ("activation", ACTIVATIONS)):
            if getattr(self, name) not in known:
                raise ValueError(
                    f"{name} must be one of {', '.join(known)}, got {getattr(self, name)!r}"
                )

    @property
    def decay(self) -> float:
        """All linear decay of the state, `leak + damping`."""
        return self.leak + self.damping


@dataclass(frozen=True, kw_only=True, slots=True)
class RelaxationConfig:
    """How the free phase looks for the fixed point."""

    steps: int = 150
    """Most Euler steps, T1 [doc: exp1 compares with 150 and 400]."""

    tolerance: float = 1e-5
    """Force residual ‖F‖/‖z‖ at which a sample stops; 0 takes all steps [ours]."""

    coarse: Literal["bfloat16", "tf32"] | None = None
    """Arithmetic of the products while far from the fixed point; None: full precision throughout.
    tf32 exists on CUDA only and is full precision elsewhere [ours]."""

    coarse_tolerance: float = 2e-2
    """Force residual at which coarse arithmetic ends and full precision polishes [ours]."""

    compiled: bool = False
    """Run the step as one compiled graph [ours]."""

    def __post_init__(self) -> None:
        """Refuse what cannot be done."""
        if self.steps < 1:
            raise ValueError(f"steps must be at least 1, got {self.steps}")
        for name in ("tolerance", "coarse_tolerance"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"{name} must be finite and not negative, got {value}")
        if self.coarse is not None and self.coarse not in PRECISIONS:
            raise ValueError(
                f"coarse must be None or one of {', '.join(PRECISIONS)}, got {self.coarse!r}"
            )


def parameter_count(config: EquilibriumConfig, vocab_size: int) -> int:
    """Number of trainable parameters, counted by hand rather than by building the model.

    Args:
        config: Shape of the model.
        vocab_size: Rows of the token embedding and of the untied head.
    """
    block = (4 + 2 * config.expansion) * config.width**2
    return block + (2 * vocab_size + config.context) * config.width
