"""Shape of the mixture-of-experts language model: arithmetic only, so that it costs no torch."""

import math
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class MoEConfig:
    """Everything about the model except the vocabulary, which belongs to the tokenizer.

    The defaults are the published model [doc: Model]; what the document leaves open is settled by
    the parameter count it gives, 8.56 M, and by the router entropy it starts from.
    """

    width: int = 128
    """Width of the residual stream [doc: Model]."""

    context: int = 128
    """Longest sequence, in tokens; as many learned positions [doc: Training Protocol]."""

    n_layers: int = 4
    """Number of blocks [doc: Model]."""

    n_experts: int = 4
    """Experts in each block [doc: Model]."""

    top_k: int = 2
    """Experts that serve each token [doc: Model]."""

    expansion: int = 4
    """Hidden width of an expert as a multiple of the residual width [doc: Model]."""

    attention: bool = False
    """Causal self-attention before the experts. Off: so the published count demands [calc]."""

    n_heads: int = 4
    """Attention heads; read only where attention is on [ours]."""

    renormalise: bool = False
    """Divide the selected gates by their sum. Off: on, entropy over them ends at ln 2 [calc]."""

    pre_norm: bool = True
    """LayerNorm before router and experts; without it the first entropy does not fit [calc]."""

    final_norm: bool = True
    """LayerNorm before the tied head [calc]."""

    embedding_std: float = 1.0
    """Standard deviation of the initial token and position embeddings; torch's default [calc]."""

    router_scale: float = 1.0
    """Factor on the routers' initial weights; above 1 the routing starts out sharp [ours]."""

    def __post_init__(self) -> None:
        """Refuse shapes that no model can have."""
        for name in ("width", "context", "n_layers", "n_experts", "expansion", "n_heads"):
            value = getattr(self, name)
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        if not 1 <= self.top_k <= self.n_experts:
            raise ValueError(
                f"top_k must be between 1 and n_experts={self.n_experts}, got {self.top_k}"
            )
        if self.attention and self.width % self.n_heads:
            raise ValueError(
                f"n_heads must divide width={self.width} where attention is on, got {self.n_heads}"
            )
        for name in ("embedding_std", "router_scale"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"{name} must be positive and finite, got {value}")


def parameter_count(config: MoEConfig, vocab_size: int) -> int:
    """Number of trainable parameters, counted by hand rather than by building the model.

    Args:
        config: Shape of the model.
        vocab_size: Rows of the tied token embedding.

    Returns:
        8,560,016 for the published shape with GPT-2's 50,257 tokens (8,825,232 with attention).
    """
    width, hidden = config.width, config.expansion * config.width
    norm = 2 * width
    router = (width + 1) * config.n_experts
    experts = config.n_experts * ((width + 1) * hidden + (hidden + 1) * width)
    block = config.pre_norm * norm + router + experts
    if config.attention:
        block += config.pre_norm * norm + (width + 1) * 3 * width + (width + 1) * width
    embeddings = (vocab_size + config.context) * width
    return embeddings + config.n_layers * block + config.final_norm * norm
