"""Measurements of all seeds at once on the held-out windows, and between cycles."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.func import vmap
from transformers import GPT2LMHeadModel

from decouple.experiments.sequential_cycles.cells import CENTRINGS, POSITIONS, TARGETS
from decouple.metrics.alignment import head_alignment
from decouple.metrics.calibration import confidence_bins, expected_calibration_error
from decouple.metrics.language import entropy, mean_prediction, token_cross_entropy
from decouple.models.gpt2 import final_logits, final_states
from decouple.training.cycles import Row
from decouple.training.ensemble import Parameters

EMBEDDING = "transformer.wte.weight"

COORDINATES = ("target", "position", "centring", "part", "decoding", "grade", "prompt", "text")
"""Columns beside step, metric and value; each metric has those that it needs."""


class Measured(NamedTuple):
    """What the held-out windows show of each seed."""

    loss: Tensor
    """(S,) cross-entropy per token in nats."""

    output_entropy: Tensor
    """(S,) mean entropy of the predicted distributions in nats."""

    head_entropy: Tensor
    """(S,) entropy of the mean predicted distribution in nats."""

    calibration_error: Tensor
    """(S,) expected calibration error."""

    alignment: Tensor
    """(S, targets, centrings, positions) mean cosine of state and embedding."""

    def default(self, centring: str) -> Tensor:
        """(S,) alignment with the token that follows, after the final LayerNorm."""
        target, position = TARGETS.index("next"), POSITIONS.index("after_ln_f")
        return self.alignment[:, target, CENTRINGS.index(centring), position]


class HeldOut:
    """The held-out windows, and the model whose stacked parameters are measured on them.

    Windows pass in micro-batches of the training batch's size, because the logits of all seeds at
    a vocabulary of 50,257 would not fit at once.
    """

    def __init__(self, model: GPT2LMHeadModel, windows: Tensor, batch: int, bins: int) -> None:
        self.model = model
        self.bins = bins
        self.batches = torch.split(windows, batch)
        self.weights = [len(each) / len(windows) for each in self.batches]

    @torch.no_grad()
    def measure(self, parameters: Parameters) -> Measured:
        """Measure the models as they are.

        Args:
            parameters: Stacked parameters, (S, ...) by name.
        """

        def one(parameters: Parameters, windows: Tensor) -> tuple[Tensor, ...]:
            inputs, following = windows[:, :-1], windows[:, 1:]
            states = final_states(self.model, inputs, parameters)
            logits = final_logits(self.model, states.after, parameters)  # (B, T, V)
            embedding = parameters[EMBEDDING]
            both = torch.stack(states).flatten(1, 2)  # (positions, N, C)
            targets = {"next": following, "predicted": logits.argmax(-1), "input": inputs}
            alignment = [
                head_alignment(both, embedding, targets[name].flatten(), centred=how == "centred")
                for name in TARGETS
                for how in CENTRINGS
            ]
            return (
                token_cross_entropy(logits, following).mean(),
                entropy(logits.softmax(-1)).mean(),
                mean_prediction(logits),
                confidence_bins(logits, following, self.bins),
                torch.stack(alignment).view(len(TARGETS), len(CENTRINGS), len(POSITIONS)),
            )

        batched = vmap(one, in_dims=(0, None))
        parts = [batched(parameters, windows) for windows in self.batches]
        loss, certainty, prediction, bins, alignment = zip(*parts, strict=True)
        return Measured(
            loss=self._mean(loss),
            output_entropy=self._mean(certainty),
            head_entropy=entropy(self._mean(prediction)),
            calibration_error=expected_calibration_error(torch.stack(bins).double().sum(0)),
            alignment=self._mean(alignment),
        )

    def _mean(self, parts: Sequence[Tensor]) -> Tensor:
        return sum(
            (part.double() * weight for part, weight in zip(parts, self.weights, strict=True)),
            start=torch.zeros((), dtype=torch.float64, device=parts[0].device),
        )


class Updates:
    """Cosine between what successive cycles do to the parameters, part by part.

    Args:
        parts: Name of a part to the trainable parameters in it.
        memory: Where the parameters after the last cycle and its update are kept; empty at first.
    """

    def __init__(self, parts: dict[str, tuple[str, ...]], memory: Parameters) -> None:
        self.parts = parts
        self.names = sorted({name for names in parts.values() for name in names})
        self.memory = memory

    @torch.no_grad()
    def cosines(self, parameters: Parameters) -> dict[str, Tensor]:
        """Part to (S,) cosine of the last update and the one before; none before the second.

        Args:
            parameters: Stacked parameters, called with after every cycle and at the start.
        """
        products: dict[str, Tensor] = {}
        for name in self.names:
            value = parameters[name].detach()
            if f"value {name}" in self.memory:
                update = value - self.memory[f"value {name}"]
                if f"update {name}" in self.memory:
                    before = self.memory[f"update {name}"]
                    pairs = ((update, before), (update, update), (before, before))
                    products[name] = torch.stack(
                        [(a * b).flatten(1).double().sum(1) for a, b in pairs]
                    )
                self.memory[f"update {name}"] = update
            self.memory[f"value {name}"] = value.clone()
        if not products:
            return {}
        result = {}
        for part, names in self.parts.items():
            dot, one, other = torch.stack([products[name] for name in names]).sum(0)
            result[part] = dot / (one * other).sqrt()
        return result


def trained_parts(parameters: Parameters, head: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Parts of the model whose updates are compared: `all`, and `head` and `body` where trained.

    Args:
        parameters: Stacked parameters; the frozen ones require no gradient.
        head: Names of the modules that make up the head.
    """
    trained = [name for name, value in parameters.items() if value.requires_grad]
    in_head = tuple(name for name in trained if set(head) & set(name.split(".")))
    body = tuple(name for name in trained if name not in in_head)
    parts = {"all": tuple(trained), "head": in_head, "body": body}
    return {part: names for part, names in parts.items() if names}


def row(step: int, metric: str, value: float, **coordinates: Any) -> Row:
    """One measurement; coordinates that it does not have are None."""
    return (step, metric, *(coordinates.get(name) for name in COORDINATES), value)


def as_rows(metric: str, values: Tensor, *, step: int, **coordinates: str) -> list[list[Row]]:
    """The row of each seed.

    Args:
        metric: Name of what was measured.
        values: (S,).
        step: Cycle.
        coordinates: Further coordinates.
    """
    return [[row(step, metric, float(value), **coordinates)] for value in values.double().cpu()]


def merge(parts: Sequence[list[list[Row]]]) -> list[list[Row]]:
    """Join the rows of several measurements, seed by seed."""
    return [[row for part in seed for row in part] for seed in zip(*parts, strict=True)]


def routine_rows(
    measured: Measured, cycle: int, training_loss: Tensor | None, cosines: dict[str, Tensor]
) -> list[list[Row]]:
    """Rows taken at every cycle.

    Alignment stands there once by default, with the next token and after the final LayerNorm, and
    once for every choice that the document leaves open.

    Args:
        measured: Held-out measurements.
        cycle: The cycle they follow; 0 is the base.
        training_loss: (S,) mean cross-entropy over the steps of the cycle, None before the first.
        cosines: Part to (S,) cosine of the cycle's update and the one before.
    """
    values = {
        "alignment": measured.default("raw"),
        "centred_alignment": measured.default("centred"),
        "held_out_loss": measured.loss,
        "output_entropy": measured.output_entropy,
        "head_entropy": measured.head_entropy,
        "calibration_error": measured.calibration_error,
    }
    if training_loss is not None:
        values["training_loss"] = training_loss
    parts = [as_rows(metric, value, step=cycle) for metric, value in values.items()]
    for part, value in cosines.items():
        parts.append(as_rows("update_cosine", value, step=cycle, part=part))
    for index in np.ndindex(len(TARGETS), len(CENTRINGS), len(POSITIONS)):
        target, centring, position = index
        choice = {
            "target": TARGETS[target],
            "centring": CENTRINGS[centring],
            "position": POSITIONS[position],
        }
        value = measured.alignment[(slice(None), *index)]
        parts.append(as_rows("alignment_choice", value, step=cycle, **choice))
    return merge(parts)
