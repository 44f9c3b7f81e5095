"""Training in update cycles: so many steps on one chunk of text, a measurement, the next chunk."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor

from decouple.training.checkpoint import load_checkpoint, save_checkpoint
from decouple.training.divergence import FINISHED, sound, status_after
from decouple.training.ensemble import Loss, Parameters, make_optimizer, train_steps

Order: TypeAlias = Literal["sequential", "shuffled", "iid"]
"""Order of the text: chunk by chunk, chunks in random order, or windows from everywhere."""

Row: TypeAlias = tuple[int | float | str | None, ...]
"""One measurement in plain values, the measured number last."""

Evaluate: TypeAlias = Callable[[int, Parameters, Tensor | None], list[list[Row]]]
"""(cycle, parameters, mean training loss (S,) of the cycle or None) to the rows of each seed."""

Progress: TypeAlias = Callable[[int, int, str], None]
"""(steps done, steps in all, note)."""

PROGRESS_CALLS = 10
"""Reports of progress in each cycle."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CycleResult:
    """What a run of cycles leaves behind."""

    parameters: Parameters
    """Trained parameters, (S, ...) by name."""

    rows: list[list[Row]]
    """Measurements of each seed, in order, up to the cycle in which it diverged."""

    status: list[str]
    """For each seed `finished`, or at which step it diverged and what became non-finite."""


def order_windows(
    windows: np.ndarray, order: Order, generators: Sequence[np.random.Generator]
) -> np.ndarray:
    """Put the training windows of each seed in the order of an arm.

    All orders visit the same windows, so that arms differ in order and in nothing else: `shuffled`
    permutes whole cycles, `iid` permutes windows over all cycles, which makes every batch a draw
    without replacement from the whole text.

    Args:
        windows: (S, cycles, steps, B, T + 1) token ids, cycle by cycle as the text runs.
        order: The order asked for.
        generators: One per seed; drawn from in the orders that are random.

    Returns:
        An array of the same shape.

    Raises:
        ValueError: If the order is unknown.
    """
    if order == "sequential":
        return windows
    if order == "shuffled":
        units = windows
    elif order == "iid":
        units = windows.reshape(len(windows), math.prod(windows.shape[1:-1]), windows.shape[-1])
    else:
        raise ValueError(f"order must be one of sequential, shuffled, iid, got {order!r}")
    mixed = [rng.permutation(seed) for seed, rng in zip(units, generators, strict=True)]
    return np.stack(mixed).reshape(windows.shape)


def train_cycles(
    parameters: Parameters,
    windows: np.ndarray,
    loss: Loss,
    evaluate: Evaluate,
    *,
    learning_rate: float,
    weight_decay: float,
    checkpoint: Path | None = None,
    checkpoint_every: int = 1,
    identity: str = "",
    memory: Parameters | None = None,
    progress: Progress | None = None,
) -> CycleResult:
    """Train seeds side by side through update cycles, measuring before the first and after each.

    A seed whose loss or parameters become non-finite is given up at the end of that cycle: its rows
    up to the cycle before are kept, and its status says what happened. The others go on.

    Args:
        parameters: Stacked parameters; trained in place, unless a checkpoint is ahead of them.
        windows: (S, cycles, steps, B, T + 1) token ids in the order of training, or whatever else
            `loss` takes of each step.
        loss: Loss of one model: objective to minimise, and cross-entropy to record.
        evaluate: Measures all seeds; called at cycle 0 and after every cycle.
        learning_rate: Step size of AdamW.
        weight_decay: Decoupled weight decay of AdamW.
        checkpoint: File that holds the state after a cycle. A run that finds its own state there
            goes on from it and ends exactly as if it had not been interrupted. The file is left in
            place, at the last cycle, for the caller to remove.
        checkpoint_every: Cycles from one checkpoint to the next; the last is always kept.
        identity: Says which run the checkpoint belongs to; any difference makes it another run.
        memory: Tensors that `evaluate` carries from one cycle to the next, empty at first. They
            are part of the checkpoint, and back in place before a run that is taken up goes on.
        progress: Called several times a cycle.

    Returns:
        Trained parameters, rows and status of each seed.
    """
    n_seeds, cycles, steps = windows.shape[:3]
    memory = {} if memory is None else memory
    device = next(iter(parameters.values())).device
    optimizer = make_optimizer(parameters, learning_rate=learning_rate, weight_decay=weight_decay)
    state = None if checkpoint is None else load_checkpoint(checkpoint, identity, device)
    if state is None:
        first, status = 1, [FINISHED] * n_seeds
        rows = evaluate(0, parameters, None)
    else:
        first, status, rows = state["cycle"] + 1, state["status"], state["rows"]
        with torch.no_grad():
            for name, value in parameters.items():
                value.copy_(state["parameters"][name])
        optimizer.load_state_dict(state["optimizer"])
        memory.update(state["memory"])

    for cycle in range(first, cycles + 1):
        if FINISHED not in status:
            break
        done = (cycle - 1) * steps
        batches = torch.from_numpy(windows[:, cycle - 1]).to(device, torch.int64)
        report = _reporter(progress, done, cycles * steps, steps, f"cycle {cycle}/{cycles}")
        losses = train_steps(parameters, optimizer, loss, batches, on_step=report)
        with torch.no_grad():
            after = torch.func.vmap(loss)(parameters, batches[:, -1])[1]
        status = status_after(status, losses, after, parameters, done)
        if FINISHED in status:
            measured = evaluate(cycle, sound(parameters, status), losses.double().mean(0))
            for seed, text in enumerate(status):
                if text == FINISHED:
                    rows[seed] += measured[seed]
        if checkpoint is not None and (cycle % checkpoint_every == 0 or cycle == cycles):
            state = _state(cycle, status, rows, parameters, optimizer, memory)
            save_checkpoint(checkpoint, identity, state)
    return CycleResult(parameters=parameters, rows=rows, status=status)


def _state(
    cycle: int,
    status: list[str],
    rows: list[list[Row]],
    parameters: Parameters,
    optimizer: torch.optim.Optimizer,
    memory: Parameters,
) -> dict[str, Any]:
    return {
        "cycle": cycle,
        "status": status,
        "rows": rows,
        "parameters": {name: value.detach() for name, value in parameters.items()},
        "optimizer": optimizer.state_dict(),
        "memory": memory,
    }


def _reporter(
    progress: Progress | None, done: int, total: int, steps: int, note: str
) -> Callable[[int], None] | None:
    if progress is None:
        return None
    every = max(1, steps // PROGRESS_CALLS)

    def report(step: int) -> None:
        if step % every == 0 or step == steps:
            progress(done + step, total, note)

    return report
