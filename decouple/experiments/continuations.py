"""Continuations of the project's own prompts by all seeds at once, and how well each reads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import GPT2LMHeadModel

from decouple.data import Tokenizer
from decouple.experiments.base_model import PROMPTS
from decouple.metrics.language import token_cross_entropy
from decouple.metrics.text import coherence, lexicon, longest_run, word_loop_share
from decouple.models.gpt2 import final_logits, final_states
from decouple.models.sampling import generate
from decouple.training.ensemble import Parameters

DECODINGS = ("greedy", "sampled")
"""The likeliest token each time, or a draw."""


class Continuation(NamedTuple):
    """What a model added to a prompt."""

    prompt: str
    """The prompt, on one line."""

    text: str
    """What was added, on one line; bytes that are no character became U+FFFD."""

    tokens: int
    """Tokens that were added."""

    grades: dict[str, float]
    """`coherence` and its factors by their own names; `broken`, the share of its bytes that make
    no character; `looping`, how much of it says one word over and over; `longest_run` of one
    token."""


class Continuations:
    """The prompts, and what it takes to continue and to grade them.

    Args:
        base: The model before training, under which the fluency of a text is taken.
        tokenizer: Its tokenizer.
        text: The corpus, whose words are the lexicon.
        reference: Loss of the base on held-out text in nats per token, what fluency is measured by.
        tokens: Tokens of a continuation.
        temperature: Temperature of the sampled ones.
        entropy: What the draws come from; equal entropy gives equal draws.
        n_seeds: Seeds in the group.
    """

    def __init__(
        self,
        base: GPT2LMHeadModel,
        tokenizer: Tokenizer,
        text: str,
        *,
        reference: float,
        tokens: int,
        temperature: float,
        entropy: Sequence[int],
        n_seeds: int,
    ) -> None:
        self.base = base
        self.tokenizer = tokenizer
        self.lexicon = lexicon(text)
        self.reference = reference
        self.tokens = tokens
        self.temperature = temperature
        self.entropy = np.random.SeedSequence(entropy).generate_state(1, np.uint64)
        self.n_seeds = n_seeds
        device = next(base.parameters()).device
        self.prompts = [
            torch.from_numpy(tokenizer.encode(text)).to(device, torch.int64) for text in PROMPTS
        ]

    @torch.no_grad()
    def by(
        self,
        logits_of: Callable[[Parameters, Tensor], Tensor],
        parameters: Parameters,
        decoding: str,
    ) -> list[list[Continuation]]:
        """The continuations of each seed, prompt by prompt.

        Every call samples with the same draws, so that models differ in nothing else.

        Args:
            logits_of: Stacked parameters and (S, P, T) token ids to (S, P, T, V) logits.
            parameters: Stacked parameters, (S, ...) by name.
            decoding: `greedy` or `sampled`.

        Raises:
            ValueError: There is no such decoding.
        """
        if decoding not in DECODINGS:
            raise ValueError(f"decoding must be one of {', '.join(DECODINGS)}, got {decoding!r}")
        shape = (self.n_seeds, len(self.prompts))
        rows = self.prompts * self.n_seeds
        added = generate(
            lambda tokens: logits_of(parameters, tokens.view(*shape, -1)).flatten(0, 1),
            rows,
            self.tokens,
            context=self.base.config.n_positions,
            temperature=0.0 if decoding == "greedy" else self.temperature,
            generator=torch.Generator().manual_seed(int(self.entropy[0])),
        )
        losses = self._losses(rows, added).view(shape).tolist()
        ids = added.view(*shape, -1).cpu().numpy()
        return [
            [self._graded(*each) for each in zip(PROMPTS, own, own_losses, strict=True)]
            for own, own_losses in zip(ids, losses, strict=True)
        ]

    def _losses(self, prompts: Sequence[Tensor], added: Tensor) -> Tensor:
        """(S·P,) mean cross-entropy of each continuation under the base, after its prompt."""
        n_tokens, context = added.shape[1], self.base.config.n_positions
        windows = [torch.cat(pair)[-context - 1 :] for pair in zip(prompts, added, strict=True)]
        # Padding on the right is not seen by a causal model.
        padded = pad_sequence(windows, batch_first=True)
        logits = final_logits(self.base, final_states(self.base, padded[:, :-1]).after)
        each = token_cross_entropy(logits, padded[:, 1:])  # (S·P, T)
        ends = torch.tensor([len(window) - 1 for window in windows], device=added.device)
        last = ends[:, None] - torch.arange(1, min(n_tokens, context) + 1, device=added.device)
        return each.gather(1, last).mean(1)

    def _graded(self, prompt: str, ids: np.ndarray, loss: float) -> Continuation:
        tokens = ids.tolist()
        spelt = [self.tokenizer.decode_bytes([token]) for token in tokens]
        data = b"".join(spelt)
        grade = coherence(tokens, data, loss=loss, reference=self.reference, lexicon=self.lexicon)
        return Continuation(
            prompt=one_line(prompt),
            text=one_line(data.decode("utf-8", errors="replace")),
            tokens=len(tokens),
            grades={
                "coherence": grade.product,
                **grade._asdict(),
                "broken": 1 - grade.valid_utf8,
                "looping": word_loop_share(spelt),
                "longest_run": float(longest_run(tokens)),
            },
        )


def one_line(text: str) -> str:
    r"""The text on one line: backslashes doubled, control characters escaped, such as \n."""
    return "".join(
        character if character.isprintable() and character != "\\" else repr(character)[1:-1]
        for character in text
    )
