"""Rows of what the models write, and how well it reads."""

from collections.abc import Callable

import numpy as np
from torch import Tensor
from torch.func import vmap
from transformers import GPT2LMHeadModel

from decouple.experiments.continuations import Continuation, Continuations
from decouple.experiments.sequential_cycles.cells import DECODINGS, GRADES
from decouple.experiments.sequential_cycles.evaluation import row
from decouple.models.gpt2 import final_logits, final_states
from decouple.training.cycles import Row
from decouple.training.ensemble import Parameters


def logits_of_each(model: GPT2LMHeadModel) -> Callable[[Parameters, Tensor], Tensor]:
    """From stacked parameters and (S, P, T) tokens to (S, P, T, V) logits, seed by seed.

    Args:
        model: Architecture; its own parameters are not read.
    """

    def one(parameters: Parameters, tokens: Tensor) -> Tensor:
        return final_logits(model, final_states(model, tokens, parameters).after, parameters)

    batched: Callable[[Parameters, Tensor], Tensor] = vmap(one)
    return batched


def generation_rows(
    continuations: Continuations, parameters: Parameters, cycle: int
) -> list[list[Row]]:
    """Rows of each seed: continuations with their text, and grades averaged over the prompts.

    `coherence` is that of the sampled ones, which stands once more among all grades.

    Args:
        continuations: Prompts and grades.
        parameters: Stacked parameters, (S, ...) by name.
        cycle: The cycle they are after.
    """
    logits_of = logits_of_each(continuations.base)
    rows: list[list[Row]] = [[] for _ in range(continuations.n_seeds)]
    for decoding in DECODINGS:
        found = continuations.by(logits_of, parameters, decoding)
        for seed_rows, own in zip(rows, found, strict=True):
            seed_rows += [_text_row(each, cycle, decoding) for each in own]
            for grade in GRADES:
                mean = float(np.mean([each.grades[grade] for each in own]))
                seed_rows.append(row(cycle, "grade", mean, decoding=decoding, grade=grade))
                if (decoding, grade) == ("sampled", "coherence"):
                    seed_rows.append(row(cycle, "coherence", mean))
    return rows


def _text_row(continuation: Continuation, cycle: int, decoding: str) -> Row:
    return row(
        cycle,
        "continuation",
        continuation.tokens,
        decoding=decoding,
        prompt=continuation.prompt,
        text=continuation.text,
    )
