"""When a seed of a group has diverged, and how that is said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

FINISHED = "finished"
"""Status of a seed that is still, or to the end, in order."""


def status_after(
    status: Sequence[str], losses: Tensor, parameters: Mapping[str, Tensor], done: int
) -> list[str]:
    """Status of each seed after some steps; waits for the device, so not to be called in each step.

    Args:
        status: Status of each seed before them; one that is not `finished` stays what it is.
        losses: (steps, S) recorded losses.
        parameters: Stacked parameters (S, ...) after them.
        done: Steps before them.
    """
    sound = [value.detach().isfinite().flatten(1).all(1) for value in parameters.values()]
    finite = torch.stack(sound).all(0).tolist()
    updated = list(status)
    for seed, history in enumerate(losses.T.cpu()):
        if status[seed] != FINISHED:
            continue
        bad = torch.isfinite(history).logical_not().nonzero()
        if len(bad):
            step = int(bad[0])
            updated[seed] = f"diverged at step {done + step + 1}: loss is {history[step].item()}"
        elif not finite[seed]:
            updated[seed] = f"diverged at step {done + len(history)}: a parameter is not finite"
    return updated
