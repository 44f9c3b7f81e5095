"""Seeds trained together: one more leading dimension on every parameter.

Small models leave a GPU idle and a CPU busy with bookkeeping, so the seeds of an experiment are
stacked, parameter by parameter, and the loss of one model is mapped over the stack. The sum of the
losses is differentiated; as no loss depends on another seed's parameters, neither does a gradient.
A single seed is a stack of one and takes the same path.

The last bits of a result may depend on how many seeds are stacked, because the library picks its
kernels by shape: the size of the group is part of a run's configuration.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

Parameters = dict[str, Tensor]
"""Stacked parameters by name, each (S, ...)."""

Loss = Callable[..., tuple[Tensor, Tensor]]
"""(parameters of one model, windows (B, T + 1), *extra) to (objective, recorded loss)."""


def stack_parameters(
    models: Sequence[nn.Module],
    *,
    device: torch.device | str = "cpu",
    frozen: Sequence[str] = (),
) -> Parameters:
    """Stack the parameters of models of one architecture.

    Args:
        models: One model per seed, all of the same shape.
        device: Where the stack is put.
        frozen: Submodule names; parameters below any of them are kept out of training.

    Returns:
        Leaf tensors (S, ...) by parameter name, requiring gradients unless frozen.

    Raises:
        ValueError: If there is no model, or a frozen name matches no parameter.
    """
    if not models:
        raise ValueError("models must hold at least one model, got none")
    members = [dict(model.named_parameters()) for model in models]
    unknown = [part for part in frozen if not any(_below(part, name) for name in members[0])]
    if unknown:
        known = sorted({part for name in members[0] for part in name.split(".")})
        raise ValueError(f"frozen must name submodules out of {known}, got {unknown}")
    parameters = {}
    for name in members[0]:
        stacked = torch.stack([member[name].detach() for member in members]).to(device)
        trainable = not any(_below(part, name) for part in frozen)
        parameters[name] = stacked.requires_grad_(trainable)
    return parameters


def _below(part: str, name: str) -> bool:
    return part in name.split(".")


def copy_parameters(parameters: Parameters, *, times: int = 1) -> Parameters:
    """Copy stacked parameters, the whole stack repeated `times` over.

    Args:
        parameters: (S, ...) by name; left untouched, and sharing no memory with the copy.
        times: Number of repetitions.

    Returns:
        Leaf tensors (times·S, ...), trainable where the originals are.
    """
    return {
        name: torch.cat([value.detach()] * times).clone().requires_grad_(value.requires_grad)
        for name, value in parameters.items()
    }


def make_optimizer(
    parameters: Parameters, *, learning_rate: float, weight_decay: float
) -> torch.optim.AdamW:
    """AdamW over the trainable parameters, torch's default betas, one fused kernel.

    Frozen parameters are left out altogether, so that weight decay does not move them.

    Args:
        parameters: Stacked parameters.
        learning_rate: Step size.
        weight_decay: Decoupled decay per step, as a fraction of learning rate times weight.
    """
    trainable = [value for value in parameters.values() if value.requires_grad]
    return torch.optim.AdamW(trainable, lr=learning_rate, weight_decay=weight_decay, fused=True)


def train_steps(
    parameters: Parameters,
    optimizer: torch.optim.Optimizer,
    loss: Loss,
    windows: Tensor,
    *extra: Tensor | tuple[Tensor, ...],
    on_step: Callable[[int], None] | None = None,
) -> Tensor:
    """Train all seeds for as many steps as there are batches.

    Nothing in the loop waits for the device; losses stay there.

    Args:
        parameters: Stacked parameters, changed in place.
        optimizer: Optimiser over their trainable part.
        loss: Loss of one model.
        windows: (S, steps, B, T + 1) token ids.
        extra: Further arguments of the loss, each with a leading dimension of seeds.
        on_step: Called after each step with the number of steps done.

    Returns:
        (steps, S) recorded losses, each before its update.
    """
    losses = torch.func.vmap(loss)
    history = []
    for step in range(windows.shape[1]):
        objective, recorded = losses(parameters, windows[:, step], *extra)
        optimizer.zero_grad()
        torch.autograd.backward(objective.sum())
        optimizer.step()
        history.append(recorded.detach())
        if on_step is not None:
            on_step(step + 1)
    return torch.stack(history)
