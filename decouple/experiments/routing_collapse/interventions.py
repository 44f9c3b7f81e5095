"""What the deepest layer's dominant expert is worth: lose it, hit it, train around it.

The dominant expert is, for each seed, the one of greatest softmax mass in the deepest layer. The
trained parameters are never changed here.
"""

import torch
from torch import Tensor
from torch.func import vmap

from decouple.experiments.routing_collapse.config import RoutingCollapseConfig
from decouple.experiments.routing_collapse.evaluation import HeldOut, Measured, as_rows, merge
from decouple.metrics.routing import softmax_mass
from decouple.models.moe import Interventions
from decouple.training.cycles import Row
from decouple.training.ensemble import (
    Loss,
    Parameters,
    copy_parameters,
    make_optimizer,
    train_steps,
)


def dominant_expert(measured: Measured) -> Tensor:
    """Index of the expert with the greatest softmax mass in the deepest layer, (S,)."""
    return softmax_mass(measured.probabilities)[:, -1].argmax(-1)


def removal_rows(
    config: RoutingCollapseConfig, parameters: Parameters, held_out: HeldOut, dominant: Tensor
) -> list[list[Row]]:
    """Held-out loss without the dominant expert, without another, without any, and around it.

    Removing an expert (`dominant_removed`, `other_removed` for the one of the others that is missed
    most, `layer_removed` for all) zeroes its output and leaves the routing as it is; re-routing
    (`dominant_rerouted`) takes it out of the router's softmax, so that others serve its tokens.

    Args:
        config: Configuration of the run.
        parameters: Trained stacked parameters.
        held_out: Where the loss is taken.
        dominant: (S,) dominant expert of each seed.
    """
    experts = range(config.model.n_experts)
    removed = torch.stack(
        [
            held_out.loss(parameters, _remove(config, torch.full_like(dominant, expert)))
            for expert in experts
        ],
        dim=-1,
    )  # (S, E)
    is_dominant = _one_hot(config, dominant)
    losses = {
        "dominant_removed": removed[is_dominant],
        "other_removed": removed.masked_fill(is_dominant, -torch.inf).amax(-1),
        "layer_removed": held_out.loss(parameters, _remove(config, dominant, *experts)),
        "dominant_rerouted": held_out.loss(parameters, _forbid(config, dominant)),
    }
    return merge(
        [
            as_rows("held_out_loss", value, step=config.cycles, condition=condition)
            for condition, value in losses.items()
        ]
    )


def outlier_rows(
    config: RoutingCollapseConfig,
    parameters: Parameters,
    held_out: HeldOut,
    dominant: Tensor,
    loss: Loss,
    noise: Tensor,
) -> list[list[Row]]:
    """Held-out loss after one outlier batch has hit the dominant expert.

    One step of gradient descent on a batch of random tokens, on the dominant expert's weights and
    biases θ alone, of the length ‖Δθ‖ = `outlier_step` · ‖θ‖: the size is fixed relative to the
    expert, because the document gives none and a fixed learning rate would measure the gradient.

    Args:
        config: Configuration of the run.
        parameters: Trained stacked parameters.
        held_out: Where the loss is taken.
        dominant: (S,) dominant expert of each seed.
        loss: Loss of one model, as in training.
        noise: (S, B, T + 1) uniformly random token ids.
    """
    prefix = f"blocks.{config.model.n_layers - 1}.experts."
    names = [name for name in parameters if name.startswith(prefix)]
    hit = {name: value.detach() for name, value in parameters.items()}
    for name in names:
        hit[name] = hit[name].clone().requires_grad_()
    objective, _ = vmap(loss)(hit, noise)
    gradients = torch.autograd.grad(objective.sum(), [hit[name] for name in names])
    own = _one_hot(config, dominant)[..., None, None]  # (S, E, 1, 1), as expert weights
    squares = torch.stack([(g * own).square().sum((1, 2, 3)) for g in gradients]).sum(0)
    sizes = torch.stack([(hit[n].detach() * own).square().sum((1, 2, 3)) for n in names]).sum(0)
    rate = config.outlier_step * (sizes / squares).sqrt()  # (S,)
    for name, gradient in zip(names, gradients, strict=True):
        hit[name] = hit[name].detach() - rate[:, None, None, None] * gradient * own
    value = held_out.loss(hit)
    return as_rows("held_out_loss", value, step=config.cycles, condition="outlier_hit")


def recovery_rows(
    config: RoutingCollapseConfig,
    parameters: Parameters,
    held_out: HeldOut,
    dominant: Tensor,
    loss: Loss,
    batches: Tensor,
) -> list[list[Row]]:
    """Held-out loss while training goes on with the dominant expert forbidden.

    Both conditions continue from the trained parameters on the batches of the last cycle, with a
    fresh optimiser of the same settings: `dominant_rerouted` without the expert, `continued` with
    it, so that what more training does by itself can be taken off. The step counts training steps.

    Args:
        config: Configuration of the run.
        parameters: Trained stacked parameters.
        held_out: Where the loss is taken.
        dominant: (S,) dominant expert of each seed.
        loss: Loss of one model, which takes interventions as its third argument.
        batches: (S, steps, B, T + 1) token ids of the last cycle.
    """
    n_seeds = len(dominant)
    forbidden, kept = _forbid(config, dominant), _neutral(config, dominant)
    interventions = Interventions(*(torch.cat(pair) for pair in zip(forbidden, kept, strict=True)))
    both = copy_parameters(parameters, times=2)
    optimizer = make_optimizer(
        both, learning_rate=config.learning_rate, weight_decay=config.weight_decay
    )
    twice = batches.repeat(2, 1, 1, 1)
    parts, done = [], 0
    for step in (0, *config.recovery_steps):
        if step:
            train_steps(both, optimizer, loss, twice[:, done:step], interventions)
        done = step
        values = held_out.loss(both, interventions)
        for condition, value in (
            ("dominant_rerouted", values[:n_seeds]),
            ("continued", values[n_seeds:]),
        ):
            parts.append(as_rows("recovery_loss", value, step=step, condition=condition))
    return merge(parts)


def _one_hot(config: RoutingCollapseConfig, expert: Tensor) -> Tensor:
    """(S, E) boolean, True at one expert of each seed."""
    return expert[:, None] == torch.arange(config.model.n_experts, device=expert.device)


def _neutral(config: RoutingCollapseConfig, like: Tensor) -> Interventions:
    """Interventions (S, L, E) that change nothing, for as many seeds as `like` has."""
    one = Interventions.neutral(config.model, like.device)
    return Interventions(*(value.repeat(len(like), 1, 1) for value in one))


def _remove(config: RoutingCollapseConfig, *experts: Tensor | int) -> Interventions:
    """Zero the outputs of some experts of the deepest layer, each (S,) or the same for all."""
    like = next(expert for expert in experts if isinstance(expert, Tensor))
    interventions = _neutral(config, like)
    for expert in experts:
        index = torch.as_tensor(expert, device=like.device).expand_as(like)
        interventions.output_scale[:, -1].masked_fill_(_one_hot(config, index), 0.0)
    return interventions


def _forbid(config: RoutingCollapseConfig, expert: Tensor) -> Interventions:
    """Keep the router of the deepest layer from one expert (S,) of each seed."""
    interventions = _neutral(config, expert)
    interventions.allowed[:, -1].masked_fill_(_one_hot(config, expert), False)
    return interventions
