"""A standard pre-norm decoder: the baseline that backpropagation trains.

Learned positions, LayerNorm without biases, causal attention in torch's fused kernel, GELU
feed-forward, an untied head. The initialisation is that of the equilibrium transformer, with output
weights of both branches divided by √(2·layers) in place of its residual scale (GPT-2's rule).
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from decouple.models.transformer_config import TransformerConfig


class DecoderBlock(nn.Module):
    """Causal attention, then a feed-forward map, each on a residual branch."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        width, hidden = config.width, config.expansion * config.width
        self.n_heads = config.n_heads
        self.attention_norm = nn.LayerNorm(width, bias=False)
        self.query_key_value = nn.Linear(width, 3 * width, bias=False)
        self.attention_out = nn.Linear(width, width, bias=False)
        self.feed_forward_norm = nn.LayerNorm(width, bias=False)
        self.up = nn.Linear(width, hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """New states (B, T, C) from old ones."""
        batch, length, width = x.shape
        projected = self.query_key_value(self.attention_norm(x))
        projected = projected.view(batch, length, 3, self.n_heads, width // self.n_heads)
        query, key, value = projected.permute(2, 0, 3, 1, 4).unbind(0)  # each (B, H, T, C/H)
        mixed = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        x = x + self.attention_out(mixed.transpose(1, 2).flatten(2))
        new: Tensor = x + self.down(F.gelu(self.up(self.feed_forward_norm(x)), approximate="tanh"))
        return new


class Transformer(nn.Module):
    """Decoder language model with an untied head.

    Use `build_transformer` to make one: the constructor alone leaves it uninitialised.
    """

    def __init__(self, config: TransformerConfig, vocab_size: int) -> None:
        super().__init__()
        self.config = config
        self.tokens = nn.Parameter(torch.empty(vocab_size, config.width))
        self.positions = nn.Parameter(torch.empty(config.context, config.width))
        self.blocks = nn.ModuleList(DecoderBlock(config) for _ in range(config.n_layers))
        self.norm = nn.LayerNorm(config.width, bias=False)
        self.head = nn.Parameter(torch.empty(vocab_size, config.width))

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits (B, T, V) of the next token at each position of token ids (B, T).

        Raises:
            ValueError: If the sequences are longer than the model has positions for.
        """
        length = tokens.shape[-1]
        if length > self.config.context:
            raise ValueError(
                f"tokens must be at most context={self.config.context} long, got {length}"
            )
        x = F.embedding(tokens, self.tokens) + self.positions[:length]  # (B, T, C)
        for block in self.blocks:
            x = block(x)
        return F.linear(self.norm(x), self.head)


@torch.no_grad()
def initialise(model: Transformer, generator: torch.Generator) -> None:
    """Draw all parameters afresh from an explicit generator.

    Args:
        model: Changed in place.
        generator: Source of randomness, on the device of the model.
    """
    for embedding in (model.tokens, model.positions):
        embedding.normal_(0.0, model.config.embedding_std, generator=generator)
    for module in model.modules():
        if isinstance(module, nn.LayerNorm):
            module.weight.fill_(1.0)
        elif isinstance(module, nn.Linear):
            bound = module.in_features**-0.5
            module.weight.uniform_(-bound, bound, generator=generator)
    for module in model.modules():
        if isinstance(module, DecoderBlock):
            for branch in (module.attention_out, module.down):
                branch.weight.mul_((2 * model.config.n_layers) ** -0.5)
    bound = model.config.width**-0.5
    model.head.uniform_(-bound, bound, generator=generator)


def build_transformer(
    config: TransformerConfig, vocab_size: int, generator: torch.Generator
) -> Transformer:
    """Build a model with every parameter drawn from `generator` and from nowhere else.

    Args:
        config: Shape of the model.
        vocab_size: Number of tokens.
        generator: Source of randomness; the model is made on its device.

    Raises:
        ValueError: If the vocabulary is empty.
    """
    if vocab_size < 1:
        raise ValueError(f"vocab_size must be at least 1, got {vocab_size}")
    with torch.device("meta"):  # no memory, and no draw from the global generator
        model = Transformer(config, vocab_size)
    model = model.to_empty(device=generator.device)
    initialise(model, generator)
    return model
