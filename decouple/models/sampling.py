"""Continuations of prompts, greedy or sampled."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence


@torch.no_grad()
def generate(
    logits_of: Callable[[Tensor], Tensor],
    prompts: Tensor | Sequence[Tensor],
    n_tokens: int,
    *,
    context: int,
    temperature: float,
    top_k: int | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    r"""Continue each prompt by `n_tokens` tokens of a causal model.

    Prompts of different lengths share a batch by padding on the right: absolute positions stay what
    they are, and a causal model does not see what lies behind a position. The model reads the last
    `context` tokens of each.

    Sampling inverts the cumulative distribution of softmax(logits / temperature) at uniform draws
    that are all taken at the start, row by row: runs with equal generators share their draws,
    whatever the models say. Logits that are not numbers give a token too, if no meaningful one.

    Args:
        logits_of: From (B, T) token ids, T ≤ context, to (B, T, V) logits.
        prompts: B sequences of token ids, each (T,) with T ≥ 1; a (B, T) tensor is that too.
        n_tokens: Tokens to add, 1 or more.
        context: Longest sequence that the model takes.
        temperature: 0 takes the likeliest token each time.
        top_k: Sample among so many of the likeliest tokens; None among all.
        generator: Source of the draws; not needed at temperature 0.

    Returns:
        (B, n_tokens) token ids, without the prompts.

    Raises:
        ValueError: If an argument is out of range, a prompt is empty, or sampling lacks a
            generator.
    """
    _check(prompts, n_tokens, context, temperature, top_k, generator)
    lengths = torch.tensor([len(prompt) for prompt in prompts], device=prompts[0].device)  # (B,)
    padded = pad_sequence(list(prompts), batch_first=True)
    tokens = torch.nn.functional.pad(padded, (0, n_tokens))  # (B, T + n_tokens)
    longest = padded.shape[1]
    rows = torch.arange(len(tokens), device=tokens.device)
    draws = None
    if temperature > 0:
        draws = _draws(len(tokens), n_tokens, generator).to(tokens.device)  # (n_tokens, B)

    for i in range(n_tokens):
        ends = lengths + i  # (B,) where the next token goes
        starts = (ends - context).clamp_min(0)
        width = min(longest + i, context)
        window = tokens.gather(1, starts[:, None] + torch.arange(width, device=tokens.device))
        logits = logits_of(window)[rows, ends - starts - 1]  # (B, V)
        draw = None if draws is None else draws[i]
        tokens[rows, ends] = _next(logits, temperature, top_k, draw)

    added = lengths[:, None] + torch.arange(n_tokens, device=tokens.device)
    return tokens.gather(1, added)


def _draws(rows: int, n_tokens: int, generator: torch.Generator | None) -> Tensor:
    device = None if generator is None else generator.device
    draws = torch.rand(rows, n_tokens, dtype=torch.float64, device=device, generator=generator)
    return draws.T.contiguous()


def _next(logits: Tensor, temperature: float, top_k: int | None, draw: Tensor | None) -> Tensor:
    """(B,) the next tokens: the likeliest, or those at which the cumulative share passes a draw."""
    if draw is None:
        return logits.argmax(-1)
    scaled = logits.double() / temperature
    if top_k is not None and top_k < scaled.shape[-1]:
        least = scaled.topk(top_k).values[:, -1:]
        scaled = scaled.masked_fill(scaled < least, -torch.inf)
    cumulative = scaled.softmax(-1).cumsum(-1)
    cumulative = cumulative / cumulative[:, -1:]  # ends at exactly 1, above every draw
    found = torch.searchsorted(cumulative, draw[:, None], right=True).squeeze(-1)
    # Of logits that are not numbers nothing passes the draw, and the index is beyond the last: read
    # as a token it would end not only this run, but on a GPU all that the process has left to do.
    return found.clamp_max(logits.shape[-1] - 1)


def _check(
    prompts: Tensor | Sequence[Tensor],
    n_tokens: int,
    context: int,
    temperature: float,
    top_k: int | None,
    generator: torch.Generator | None,
) -> None:
    if len(prompts) == 0 or any(prompt.dim() != 1 or len(prompt) == 0 for prompt in prompts):
        raise ValueError(
            "prompts must be one sequence of token ids or more, each with one token or more, got "
            f"shapes {[tuple(prompt.shape) for prompt in prompts]}"
        )
    for name, value in (("n_tokens", n_tokens), ("context", context), ("top_k", top_k)):
        if value is not None and value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
    if not temperature >= 0:
        raise ValueError(f"temperature must be >= 0, got {temperature}")
    if temperature > 0 and generator is None:
        raise ValueError(f"generator must be given at temperature {temperature}, got None")
