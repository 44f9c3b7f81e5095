"""A mixture-of-experts language model: embeddings, routed blocks, a tied head.

Each block sends a token to the `top_k` experts its router likes best. All experts are computed for
all tokens and the gates of those not selected are zero, which is the same function as dispatching
tokens to experts: at four experts and the published width it is 14 % more arithmetic, in exchange
for static shapes and three large products in place of many small ones.

Nothing here depends on the values of its tensors, so the model runs unchanged under
`torch.func.functional_call` and `torch.func.vmap` over stacked parameters.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from decouple.models.moe_config import MoEConfig


class Interventions(NamedTuple):
    """What to do to the experts of a trained model."""

    output_scale: Tensor
    """(L, E) factor on each expert's output: 0 removes the expert and leaves the routing alone."""

    allowed: Tensor
    """(L, E) boolean: where False the router cannot choose the expert and must do without it."""

    @classmethod
    def neutral(cls, config: MoEConfig, device: torch.device | str = "cpu") -> "Interventions":
        """Interventions that change nothing, to be edited.

        Args:
            config: Shape of the model.
            device: Where the tensors live.
        """
        shape = (config.n_layers, config.n_experts)
        return cls(
            output_scale=torch.ones(shape, device=device),
            allowed=torch.ones(shape, dtype=torch.bool, device=device),
        )


class MoEOutput(NamedTuple):
    """What one forward pass computes."""

    logits: Tensor
    """(B, T, V)."""

    probabilities: Tensor
    """(L, B, T, E) full softmax of each router, over all experts."""

    selected: Tensor
    """(L, B, T, E) boolean: the top-k experts of each token."""

    gates: Tensor
    """(L, B, T, E) weights of the experts' outputs: zero where not selected."""

    hidden: Tensor
    """(B, T, D) the states the head reads."""

    expert_outputs: Tensor
    """(E, B, T, D) each expert's own output in the deepest block, before gates and scales."""


class CausalAttention(nn.Module):
    """Multi-head causal self-attention, written out so that it can be batched by vmap."""

    def __init__(self, config: MoEConfig) -> None:
        super().__init__()
        self.n_heads = config.n_heads
        self.norm = nn.LayerNorm(config.width) if config.pre_norm else nn.Identity()
        self.qkv = nn.Linear(config.width, 3 * config.width)
        self.out = nn.Linear(config.width, config.width)

    def forward(self, x: Tensor) -> Tensor:
        """Mix each position with those before it: (B, T, D) to (B, T, D)."""
        batch, length, width = x.shape
        qkv = self.qkv(self.norm(x)).view(batch, length, 3, self.n_heads, width // self.n_heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)  # each (B, H, T, D/H)
        scores = query @ key.transpose(-2, -1) / (width // self.n_heads) ** 0.5
        future = torch.ones(length, length, dtype=torch.bool, device=x.device).triu(1)
        weights = scores.masked_fill(future, -torch.inf).softmax(-1)  # (B, H, T, T)
        mixed: Tensor = self.out((weights @ value).transpose(1, 2).reshape(batch, length, width))
        return mixed


class Experts(nn.Module):
    """All experts of a block, each `Linear(D, hidden)`, exact GELU, `Linear(hidden, D)`."""

    def __init__(self, config: MoEConfig) -> None:
        super().__init__()
        n_experts, width, hidden = config.n_experts, config.width, config.expansion * config.width
        self.up = nn.Parameter(torch.empty(n_experts, width, hidden))
        self.up_bias = nn.Parameter(torch.empty(n_experts, 1, hidden))
        self.down = nn.Parameter(torch.empty(n_experts, hidden, width))
        self.down_bias = nn.Parameter(torch.empty(n_experts, 1, width))

    def forward(self, x: Tensor) -> Tensor:
        """Apply every expert to every token: (N, D) to (E, N, D)."""
        inputs = x.expand(self.up.shape[0], *x.shape)  # (E, N, D), a view
        hidden = F.gelu(torch.baddbmm(self.up_bias, inputs, self.up))  # (E, N, hidden)
        return torch.baddbmm(self.down_bias, hidden, self.down)


class Block(nn.Module):
    """Optional attention, then routed experts, each on a residual branch."""

    def __init__(self, config: MoEConfig) -> None:
        super().__init__()
        self.top_k = config.top_k
        self.renormalise = config.renormalise
        self.attention = CausalAttention(config) if config.attention else None
        self.norm = nn.LayerNorm(config.width) if config.pre_norm else nn.Identity()
        self.router = nn.Linear(config.width, config.n_experts)
        self.experts = Experts(config)

    def route(self, x: Tensor, allowed: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """Probabilities, selection and gates of each token, all (N, E), from states (N, D)."""
        logits = self.router(x)
        if allowed is not None:
            logits = logits.masked_fill(~allowed, -torch.inf)
        probabilities = logits.softmax(-1)
        # By index rather than by threshold: exactly k experts, ties included.
        chosen = probabilities.topk(self.top_k, dim=-1).indices
        selected = torch.zeros_like(probabilities, dtype=torch.bool).scatter(-1, chosen, True)
        if allowed is not None:
            selected = selected & allowed  # where fewer than k experts are left
        gates = probabilities * selected
        if self.renormalise:
            gates = gates / gates.sum(-1, keepdim=True)
        return probabilities, selected, gates

    def forward(
        self, x: Tensor, output_scale: Tensor | None, allowed: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """New states (B, T, D), outputs (E, N, D) of the experts; p, selection and gates (N, E)."""
        if self.attention is not None:
            x = x + self.attention(x)
        tokens = self.norm(x).flatten(0, 1)  # (N, D)
        probabilities, selected, gates = self.route(tokens, allowed)
        outputs = self.experts(tokens)  # (E, N, D)
        weights = gates if output_scale is None else gates * output_scale
        mixed = (outputs * weights.T.unsqueeze(-1)).sum(0)  # (N, D)
        return x + mixed.view_as(x), outputs, probabilities, selected, gates


class MoETransformer(nn.Module):
    """Language model whose blocks are mixtures of experts, head tied to the token embedding.

    Use `build_moe` to make one: the constructor alone leaves the experts uninitialised.
    """

    def __init__(self, config: MoEConfig, vocab_size: int) -> None:
        super().__init__()
        self.config = config
        self.tokens = nn.Parameter(torch.empty(vocab_size, config.width))
        self.positions = nn.Parameter(torch.empty(config.context, config.width))
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.n_layers))
        self.norm = nn.LayerNorm(config.width) if config.final_norm else nn.Identity()

    def forward(self, tokens: Tensor, *, interventions: Interventions | None = None) -> MoEOutput:
        """Predict the next token at each position.

        Args:
            tokens: (B, T) token ids, T at most `config.context`.
            interventions: Experts to scale or to forbid; None leaves the model as trained.

        Raises:
            ValueError: If the sequences are longer than the model has positions for.
        """
        batch, length = tokens.shape
        if length > self.config.context:
            raise ValueError(
                f"tokens must be at most context={self.config.context} long, got {length}"
            )
        x = F.embedding(tokens, self.tokens) + self.positions[:length]  # (B, T, D)
        routing: list[list[Tensor]] = []
        outputs = x
        for layer, block in enumerate(self.blocks):
            scale = None if interventions is None else interventions.output_scale[layer]
            allowed = None if interventions is None else interventions.allowed[layer]
            x, outputs, *routed = block(x, scale, allowed)
            routing.append(routed)
        hidden = self.norm(x)
        probabilities, selected, gates = (
            torch.stack(layers).view(-1, batch, length, self.config.n_experts)
            for layers in zip(*routing, strict=True)
        )
        return MoEOutput(
            logits=hidden @ self.tokens.T,
            probabilities=probabilities,
            selected=selected,
            gates=gates,
            hidden=hidden,
            expert_outputs=outputs.view(-1, *x.shape),
        )


@torch.no_grad()
def initialise(model: MoETransformer, generator: torch.Generator) -> None:
    """Draw all parameters afresh, as torch's own modules would, from an explicit generator.

    Embeddings are normal with standard deviation `embedding_std`; weights and biases of linear maps
    are uniform on ±1/√fan_in, which is what `nn.Linear` does (Kaiming uniform with a = √5);
    LayerNorm starts as the identity. Router weights are then multiplied by `router_scale`.

    Args:
        model: Changed in place.
        generator: Source of randomness, on the device of the model.
    """

    def uniform(fan_in: int, *parameters: Tensor) -> None:
        for parameter in parameters:
            parameter.uniform_(-(fan_in**-0.5), fan_in**-0.5, generator=generator)

    for embedding in (model.tokens, model.positions):
        embedding.normal_(0.0, model.config.embedding_std, generator=generator)
    for module in model.modules():
        if isinstance(module, nn.Linear):
            uniform(module.in_features, module.weight, module.bias)
        elif isinstance(module, nn.LayerNorm):
            module.weight.fill_(1.0)
            module.bias.zero_()
        elif isinstance(module, Experts):
            uniform(module.up.shape[1], module.up, module.up_bias)
            uniform(module.down.shape[1], module.down, module.down_bias)
    for module in model.modules():
        if isinstance(module, Block):
            module.router.weight.mul_(model.config.router_scale)


def build_moe(config: MoEConfig, vocab_size: int, generator: torch.Generator) -> MoETransformer:
    """Build a model with every parameter drawn from `generator` and from nowhere else.

    Args:
        config: Shape of the model.
        vocab_size: Rows of the token embedding.
        generator: Source of randomness; the model is made on its device.

    Raises:
        ValueError: If the vocabulary is empty.
    """
    if vocab_size < 1:
        raise ValueError(f"vocab_size must be at least 1, got {vocab_size}")
    with torch.device("meta"):  # no memory, and no draw from the global generator
        model = MoETransformer(config, vocab_size)
    model = model.to_empty(device=generator.device)
    initialise(model, generator)
    return model
