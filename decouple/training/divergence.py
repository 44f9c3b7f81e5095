"""When a seed of a group has diverged, how that is said, and what is measured in its place."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from decouple.training.ensemble import Parameters

FINISHED = "finished"
"""Status of a seed that is still, or to the end, in order."""


def status_after(
    status: Sequence[str],
    losses: Tensor,
    after: Tensor,
    parameters: Mapping[str, Tensor],
    done: int,
) -> list[str]:
    """Status of each seed after some steps; waits for the device, so not to be called in each step.

    Args:
        status: Status of each seed before them; one that is not `finished` stays what it is.
        losses: (steps, S) recorded losses, each before its update.
        after: (S,) loss after the last update: finite parameters may still predict nothing finite.
        parameters: Stacked parameters (S, ...) after them.
        done: Steps before them.
    """
    sound = [value.detach().isfinite().flatten(1).all(1) for value in parameters.values()]
    finite = torch.stack(sound).all(0).tolist()
    updated = list(status)
    last = done + len(losses)
    for seed, (history, end) in enumerate(zip(losses.T.cpu(), after.tolist(), strict=True)):
        if status[seed] != FINISHED:
            continue
        bad = torch.isfinite(history).logical_not().nonzero()
        if len(bad):
            step = int(bad[0])
            updated[seed] = f"diverged at step {done + step + 1}: loss is {history[step].item()}"
        elif not finite[seed]:
            updated[seed] = f"diverged at step {last}: a parameter is not finite"
        elif not math.isfinite(end):
            updated[seed] = f"diverged at step {last}: the loss after it is {end}"
    return updated


def sound(parameters: Parameters, status: Sequence[str]) -> Parameters:
    """Another seed in place of those that were given up, whose measurements are not kept.

    Seeds are measured side by side, and weights that are not finite would break what is done with
    all of them, such as sampling.

    Args:
        parameters: Stacked parameters (S, ...) by name; left as they are.
        status: Status of each seed, one of them `finished`.

    Returns:
        The same tensors if all seeds are in order, else copies without gradient.
    """
    lost = [seed for seed, text in enumerate(status) if text != FINISHED]
    if not lost:
        return parameters
    kept = {name: value.detach().clone() for name, value in parameters.items()}
    for value in kept.values():
        value[lost] = value[status.index(FINISHED)].clone()
    return kept
