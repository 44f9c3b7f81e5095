"""Shape of the standard decoder: arithmetic only, so that it costs no torch."""

import math
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class TransformerConfig:
    """A pre-norm decoder, the feed-forward baseline of the equilibrium transformer.

    Width, heads and context are the published ones; the document does not give a number of blocks.
    """

    width: int = 512
    """Width C of the residual stream [doc: section 0]."""

    context: int = 256
    """Longest sequence, in tokens; as many learned positions [doc: section 0]."""

    n_heads: int = 16
    """Attention heads [doc: section 0]."""

    n_layers: int = 1
    """Blocks. One: as many weights as the equilibrium block, passed through once [ours]."""

    expansion: int = 4
    """Hidden width of the feed-forward branch as a multiple of C [doc: section 0]."""

    embedding_std: float = 0.02
    """Standard deviation of the initial token and position embeddings [ours]."""

    def __post_init__(self) -> None:
        """Refuse shapes that no model can have."""
        for name in ("width", "context", "n_heads", "n_layers", "expansion"):
            value = getattr(self, name)
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        if self.width % self.n_heads:
            raise ValueError(f"n_heads must divide width={self.width}, got {self.n_heads}")
        if not (math.isfinite(self.embedding_std) and self.embedding_std > 0):
            raise ValueError(f"embedding_std must be positive and finite, got {self.embedding_std}")


def parameter_count(config: TransformerConfig, vocab_size: int) -> int:
    """Number of trainable parameters, counted by hand rather than by building the model.

    Args:
        config: Shape of the model.
        vocab_size: Rows of the token embedding and of the untied head.
    """
    block = (4 + 2 * config.expansion) * config.width**2 + 2 * config.width
    embeddings = (2 * vocab_size + config.context) * config.width
    return config.n_layers * block + config.width + embeddings
