"""The equilibrium transformer: one block, relaxed until its force vanishes, then a linear head.

    F(z) = x − (leak + damping) z + Attention(norm z) + FeedForward(norm z),     F(z*) = 0
    logits = z* · headᵀ

x is the token plus the position embedding. Attention is causal, its queries and keys RMS-normed per
head; norms and maps have no biases, so that both branches share one normalised state.

Everything is written in operations that have forward, reverse and double derivatives, and that are
analytic in the state: a complex state gives the analytic continuation of the force, which the
holomorphic estimates need. Leading dimensions of the state are free: (..., T, C).
"""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from decouple.models.equilibrium_config import EquilibriumConfig

NORM_EPSILON = 1e-6
"""Added to the mean square before the root; small beside any state a trained block has."""

GELU_SLOPE = math.sqrt(2 / math.pi)
GELU_CUBIC = 0.044715
"""Constants of the tanh form of GELU (Hendrycks and Gimpel 2016, arXiv 1606.08415)."""


def linear(x: Tensor, weight: Tensor) -> Tensor:
    """Apply a real weight (out, in) to a real or complex x (..., in)."""
    if x.is_complex():  # two real products in place of the four of a complex weight
        return torch.complex(F.linear(x.real, weight), F.linear(x.imag, weight))
    return F.linear(x, weight)


def normalise(x: Tensor, *, centred: bool) -> tuple[Tensor, Tensor]:
    """Normalise the last dimension: `(x − mean) / √(mean((x − mean)²) + epsilon)`.

    Args:
        x: (..., C) real or complex; the square is not an absolute square, hence analytic.
        centred: Subtract the mean (LayerNorm) or not (RMSNorm).

    Returns:
        The normalised x and the factor (..., 1) that its deviations were multiplied by.
    """
    if centred:
        x = x - x.mean(-1, keepdim=True)
    scale = (x.square().mean(-1, keepdim=True) + NORM_EPSILON).rsqrt()
    return x * scale, scale


def softmax(x: Tensor) -> Tensor:
    """Softmax over the last dimension, continued analytically where x is complex."""
    if not x.is_complex():
        return x.softmax(-1)
    # The shift cancels in the quotient, so it may be real and needs no derivative.
    weights: Tensor = (x - x.real.detach().amax(-1, keepdim=True)).exp()
    return weights / weights.sum(-1, keepdim=True)


def logsumexp(x: Tensor) -> Tensor:
    """Log of the sum of exponentials over the last dimension, real or complex."""
    if not x.is_complex():
        return x.logsumexp(-1)
    shift = x.real.detach().amax(-1, keepdim=True)
    return (x - shift).exp().sum(-1).log() + shift.squeeze(-1)


def activate(x: Tensor, name: str) -> Tensor:
    """Apply the activation `gelu` (tanh form) or `silu`, real or complex."""
    if name == "silu":
        return x * x.sigmoid() if x.is_complex() else F.silu(x)
    if x.is_complex():
        return 0.5 * x * (1 + (GELU_SLOPE * (x + GELU_CUBIC * x * x * x)).tanh())
    return F.gelu(x, approximate="tanh")


class Attended(NamedTuple):
    """What causal attention computes on its way, all per head."""

    query: Tensor
    """(..., H, T, C/H) RMS-normed."""

    key: Tensor
    """(..., H, T, C/H) RMS-normed."""

    value: Tensor
    """(..., H, T, C/H)."""

    query_scale: Tensor
    """(..., H, T, 1) factor that normed the queries."""

    key_scale: Tensor
    """(..., H, T, 1) factor that normed the keys."""

    weights: Tensor
    """(..., H, T, T) attention of each position to itself and to those before it."""


class EquilibriumTransformer(nn.Module):
    """Language model whose hidden state is the fixed point of one block.

    Use `build_equilibrium` to make one: the constructor alone leaves it uninitialised.
    """

    def __init__(self, config: EquilibriumConfig, vocab_size: int) -> None:
        super().__init__()
        self.config = config
        width, hidden = config.width, config.expansion * config.width
        self.tokens = nn.Parameter(torch.empty(vocab_size, width))
        self.positions = nn.Parameter(torch.empty(config.context, width))
        self.query_key_value = nn.Parameter(torch.empty(3 * width, width))
        self.attention_out = nn.Parameter(torch.empty(width, width))
        self.up = nn.Parameter(torch.empty(hidden, width))
        self.down = nn.Parameter(torch.empty(width, hidden))
        self.head = nn.Parameter(torch.empty(vocab_size, width))

    def embed(self, tokens: Tensor) -> Tensor:
        """Input x (B, T, C) of the force from token ids (B, T).

        Raises:
            ValueError: If the sequences are longer than the model has positions for.
        """
        length = tokens.shape[-1]
        if length > self.config.context:
            raise ValueError(
                f"tokens must be at most context={self.config.context} long, got {length}"
            )
        return F.embedding(tokens, self.tokens) + self.positions[:length]

    def start(self, inputs: Tensor) -> Tensor:
        """State in which relaxation begins: the fixed point of the block without its branches."""
        return inputs / self.config.decay

    def force(self, state: Tensor, inputs: Tensor) -> Tensor:
        """Force F(z) on the state.

        Args:
            state: z (..., T, C), real or complex.
            inputs: x (..., T, C), real, of the same or fewer leading dimensions.
        """
        return inputs - self.config.decay * state + self.branches(state)

    def branches(self, state: Tensor) -> Tensor:
        """Attention and feed-forward together, all of the force that is not linear."""
        normed, _ = normalise(state, centred=self.config.norm == "layer")
        return self.mix(self.attend(normed)) + linear(
            activate(linear(normed, self.up), self.config.activation), self.down
        )

    def attend(self, normed: Tensor) -> Attended:
        """Queries, keys, values and causal weights from the normalised state (..., T, C)."""
        projected = linear(normed, self.query_key_value)
        query, key, value = (self.split_heads(part) for part in projected.chunk(3, dim=-1))
        query, query_scale = normalise(query, centred=False)
        key, key_scale = normalise(key, centred=False)
        scores = query @ key.transpose(-2, -1) * self.temperature
        length = scores.shape[-1]
        future = torch.ones(length, length, dtype=torch.bool, device=scores.device).triu(1)
        weights = softmax(scores.masked_fill(future, -torch.inf))
        return Attended(query, key, value, query_scale, key_scale, weights)

    def mix(self, attended: Attended) -> Tensor:
        """Output (..., T, C) of the attention branch."""
        return linear(merge_heads(attended.weights @ attended.value), self.attention_out)

    @property
    def temperature(self) -> float:
        """Factor on the attention scores, the inverse root of the width of a head."""
        return float((self.config.width // self.config.n_heads) ** -0.5)

    def split_heads(self, x: Tensor) -> Tensor:
        """(..., T, C) to (..., H, T, C/H)."""
        heads = self.config.n_heads
        return x.view(*x.shape[:-1], heads, x.shape[-1] // heads).transpose(-3, -2)

    def logits(self, state: Tensor) -> Tensor:
        """Logits (..., T, V) of the next token, read from the state without a norm."""
        return linear(state, self.head)

    def cost(self, state: Tensor, targets: Tensor) -> Tensor:
        """Cross-entropy summed over the tokens of each sample, in nats.

        Args:
            state: (..., B, T, C), real or complex.
            targets: (B, T) next-token ids.

        Returns:
            (..., B).
        """
        logits = self.logits(state)
        index = targets.expand(logits.shape[:-1]).unsqueeze(-1)
        return (logsumexp(logits) - logits.gather(-1, index).squeeze(-1)).sum(-1)

    def cost_gradient(self, state: Tensor, targets: Tensor) -> Tensor:
        """Gradient ∇C (..., B, T, C) of `cost` with respect to the state, in closed form.

        It is `softmax(logits) · head − head[target]`.
        """
        return linear(softmax(self.logits(state)), self.head.T) - self.head[targets]


def merge_heads(x: Tensor) -> Tensor:
    """(..., H, T, C/H) to (..., T, C)."""
    return x.transpose(-3, -2).flatten(-2)


@torch.no_grad()
def initialise(model: EquilibriumTransformer, generator: torch.Generator) -> None:
    """Draw all parameters afresh from an explicit generator.

    Embeddings are normal with standard deviation `embedding_std`; maps and head are uniform on
    ±1/√fan_in, as torch's own linear maps are; the output weights of both branches are then
    multiplied by `residual_scale`.

    Args:
        model: Changed in place.
        generator: Source of randomness, on the device of the model.
    """
    for embedding in (model.tokens, model.positions):
        embedding.normal_(0.0, model.config.embedding_std, generator=generator)
    for weight in (model.query_key_value, model.attention_out, model.up, model.down, model.head):
        bound = weight.shape[-1] ** -0.5
        weight.uniform_(-bound, bound, generator=generator)
    for weight in (model.attention_out, model.down):
        weight.mul_(model.config.residual_scale)


def build_equilibrium(
    config: EquilibriumConfig, vocab_size: int, generator: torch.Generator
) -> EquilibriumTransformer:
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
        model = EquilibriumTransformer(config, vocab_size)
    model = model.to_empty(device=generator.device)
    initialise(model, generator)
    return model
