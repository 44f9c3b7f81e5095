"""Measurements of all seeds at once on the held-out windows."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.func import functional_call, vmap

from decouple.metrics.alignment import head_alignment
from decouple.metrics.language import entropy, mean_prediction, token_cross_entropy
from decouple.metrics.routing import (
    mutual_information,
    slot_share,
    softmax_mass,
    token_entropy,
    usage_entropy,
)
from decouple.models.moe import Interventions, MoETransformer
from decouple.training.cycles import Row
from decouple.training.ensemble import Parameters


class Measured(NamedTuple):
    """What the held-out windows show of each seed."""

    loss: Tensor
    """(S,) cross-entropy per token in nats."""

    head_entropy: Tensor
    """(S,) entropy of the mean predicted distribution in nats."""

    probabilities: Tensor
    """(S, L, N, E) full softmax of every router at every held-out token."""

    selected: Tensor
    """(S, L, N, E) boolean: the experts that serve each token."""

    alignment: Tensor
    """(S, E) head alignment of each expert of the deepest layer."""

    output_entropy: Tensor
    """(S,) mean entropy of the predicted distributions in nats."""


class HeldOut:
    """The held-out windows, and the model whose stacked parameters are measured on them.

    Windows pass in micro-batches of the training batch's size, because the logits of all seeds at
    a vocabulary of 50,257 would not fit at once.
    """

    def __init__(self, model: MoETransformer, windows: Tensor, batch: int) -> None:
        self.model = model
        self.batches = torch.split(windows, batch)
        self.weights = [len(each) / len(windows) for each in self.batches]

    @torch.no_grad()
    def measure(self, parameters: Parameters) -> Measured:
        """Measure the models as they are.

        Args:
            parameters: Stacked parameters, (S, ...) by name.
        """

        def one(parameters: Parameters, windows: Tensor) -> tuple[Tensor, ...]:
            inputs, targets = windows[:, :-1], windows[:, 1:]
            output = functional_call(self.model, parameters, (inputs,))
            embedding = parameters["tokens"]
            states = output.expert_outputs.flatten(1, 2)  # (E, N, D)
            return (
                token_cross_entropy(output.logits, targets).mean(),
                mean_prediction(output.logits),
                head_alignment(states, embedding, targets.flatten()),
                entropy(output.logits.softmax(-1)).mean(),
                output.probabilities.flatten(1, 2),
                output.selected.flatten(1, 2),
            )

        batched = vmap(one, in_dims=(0, None))
        parts = [batched(parameters, windows) for windows in self.batches]
        loss, prediction, alignment, certainty, probabilities, selected = zip(*parts, strict=True)
        return Measured(
            loss=self._mean(loss),
            head_entropy=entropy(self._mean(prediction)),
            probabilities=torch.cat(probabilities, dim=2),
            selected=torch.cat(selected, dim=2),
            alignment=self._mean(alignment),
            output_entropy=self._mean(certainty),
        )

    @torch.no_grad()
    def loss(self, parameters: Parameters, interventions: Interventions | None = None) -> Tensor:
        """Held-out loss alone, (S,), under interventions if any are given.

        Args:
            parameters: Stacked parameters, (S, ...) by name.
            interventions: Each tensor (S, L, E).
        """

        def one(parameters: Parameters, windows: Tensor, *extra: Interventions) -> Tensor:
            given = {"interventions": extra[0]} if extra else {}
            output = functional_call(self.model, parameters, (windows[:, :-1],), given)
            return token_cross_entropy(output.logits, windows[:, 1:]).mean()

        extra = () if interventions is None else (interventions,)
        batched = vmap(one, in_dims=(0, None, *[0 for _ in extra]))
        return self._mean([batched(parameters, windows, *extra) for windows in self.batches])

    def _mean(self, parts: Sequence[Tensor]) -> Tensor:
        return sum(
            (part.double() * weight for part, weight in zip(parts, self.weights, strict=True)),
            start=torch.zeros((), dtype=torch.float64, device=parts[0].device),
        )


def as_rows(
    metric: str,
    values: Tensor,
    *,
    step: int,
    condition: str = "trained",
    layer: int | None = None,
) -> list[list[Row]]:
    """Rows (step, layer, expert, condition, metric, value) of each seed.

    Args:
        metric: Name of what was measured.
        values: (S,) for the model, (S, L) by layer, (S, L, E) by layer and expert; with `layer`,
            (S, E) for the experts of that one.
        step: Cycle, or training steps where the metric counts these.
        condition: What was done to the trained model before measuring.
        layer: The layer all values belong to.
    """
    head = () if layer is None else (layer,)
    rows: list[list[Row]] = []
    for seed in values.double().cpu().numpy():
        rows.append([])
        for index in np.ndindex(seed.shape):
            layer_index, expert = (*head, *index, None, None)[:2]
            rows[-1].append((step, layer_index, expert, condition, metric, float(seed[index])))
    return rows


def merge(parts: Sequence[list[list[Row]]]) -> list[list[Row]]:
    """Join the rows of several measurements, seed by seed."""
    return [[row for part in seed for row in part] for seed in zip(*parts, strict=True)]


def routine_rows(measured: Measured, cycle: int, training_loss: Tensor | None) -> list[list[Row]]:
    """Rows taken at every cycle.

    Args:
        measured: Held-out measurements.
        cycle: The cycle they follow; 0 is the untrained model.
        training_loss: (S,) mean cross-entropy over the steps of the cycle, None before the first.
    """
    values = {
        "router_entropy": token_entropy(measured.probabilities),
        "usage": softmax_mass(measured.probabilities),
        "slot_share": slot_share(measured.selected),
        "usage_entropy": usage_entropy(measured.probabilities),
        "mutual_information": mutual_information(measured.probabilities),
        "held_out_loss": measured.loss,
        "head_entropy": measured.head_entropy,
        "output_entropy": measured.output_entropy,
    }
    if training_loss is not None:
        values["training_loss"] = training_loss
    return merge([as_rows(metric, value, step=cycle) for metric, value in values.items()])
