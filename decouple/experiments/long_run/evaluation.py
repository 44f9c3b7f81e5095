"""Measurements of all seeds at once, with and without the vectors."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.func import functional_call, vmap

from decouple.experiments.continuations import Continuations
from decouple.experiments.long_run.cells import (
    ALL_POSITIONS,
    BASES,
    GENERATIONS,
    GRADES,
    MEAN_GRADES,
    PHASE_A,
    RANDOM_SPAN,
    TRAINED,
    WITHOUT_VECTORS,
)
from decouple.experiments.long_run.config import LongRunConfig
from decouple.experiments.long_run.observation import Observed, observe, tokens_of
from decouple.experiments.long_run.preparation import SUBSPACE
from decouple.experiments.long_run.reference import Reference
from decouple.experiments.long_run.rows import Rows
from decouple.metrics.dark_matter import (
    dark_matter_ratio,
    embedding_alignment,
    isotropic_null,
    principal_basis,
    random_basis,
    retention,
    subspace_overlap,
)
from decouple.models.conductor import VECTORS, Conductor
from decouple.training.cycles import Row
from decouple.training.ensemble import Parameters
from decouple.training.fine_tuning import Moment

PHASE_B = 1
"""Index of the phase that the course of the run is measured in."""


class Windows(NamedTuple):
    """Windows at which measurements are taken, on the run's device."""

    train: Tensor
    """(W, T + 1) training windows."""

    chosen: Tensor
    """(W,) their indices among all training windows."""

    held_out: Tensor
    """(H, T + 1)."""


class Evaluation:
    """All that is measured, and what it is measured on.

    Args:
        config: Configuration of the run.
        conductor: Architecture, and base parameters.
        windows: Where losses and states are taken.
        reference: The base model's view of the text.
        continuations: Prompts and grades.
        memory: Where the base's ratios are kept, and the vectors as phase A leaves them; empty at
            first.
    """

    def __init__(
        self,
        config: LongRunConfig,
        conductor: Conductor,
        windows: Windows,
        reference: Reference,
        continuations: Continuations,
        memory: Parameters,
    ) -> None:
        self.config = config
        self.conductor = conductor
        self.windows = windows
        self.reference = reference
        self.continuations = continuations
        self.memory = memory
        self.base = {name: value.detach() for name, value in conductor.named_parameters()}

    @torch.no_grad()
    def rows(self, moment: Moment, parameters: Parameters) -> list[list[Row]]:
        """The rows of each seed.

        Args:
            moment: Before training, after phase A, or after some epochs of phase B.
            parameters: Stacked parameters, (S, ...) by name.
        """
        in_b = moment.phase == PHASE_B
        table = Rows(step=moment.epoch if in_b else 0, n_seeds=len(parameters[VECTORS]))
        with_vectors = self._held_out(parameters, moment.scale)
        # Without vectors in the first place there is nothing to take out.
        without = self._held_out(parameters, 0.0) if moment.scale else with_vectors
        if not in_b:
            self.memory[VECTORS] = parameters[VECTORS].detach().clone()
        if moment.phase < 0:
            self.memory["base"] = self._ratios(with_vectors)
        condition = PHASE_A if moment.phase == 0 else TRAINED
        self._add_weights(table, parameters, condition)
        self._add_training_losses(table, parameters, moment.scale, condition)
        self._add_held_out_losses(table, with_vectors, condition)
        if condition == PHASE_A:
            self._add_dark_matter(table, with_vectors, without, TRAINED, PHASE_A)
        else:
            self._add_training_losses(table, parameters, 0.0, WITHOUT_VECTORS)
            self._add_held_out_losses(table, without, WITHOUT_VECTORS)
            for basis in BASES:
                self._add_dark_matter(table, with_vectors, without, basis, basis)
            if table.step in self.config.generation_epochs:
                self._add_continuations(table, parameters, moment.scale)
        if in_b or moment.phase == (0 if self.config.epochs_a else -1):
            self._add_overlap(table, without)
        if in_b:
            self._add_retention(table, with_vectors, without)
            self._add_alignment(table, parameters, without)
        self._add_course(table, moment, condition)
        return table.by_seed

    def _held_out(self, parameters: Parameters, scale: float) -> Observed:
        windows, layers = self.windows.held_out, self.config.blocks
        return observe(self.conductor, parameters, windows, scale=scale, layers=layers)

    def _add_course(self, table: Rows, moment: Moment, condition: str) -> None:
        """What is known without looking at the models."""
        size = sum(value.numel() for name, value in self.base.items() if name != VECTORS)
        full = 12 * size  # weights and two moments of Adam, four bytes each
        if moment.training_loss is None:
            null = isotropic_null(self._width, self.config.components)
            table.add("dark_matter_null", null, TRAINED)
            table.add("lead_tokens", float(self.reference.lead.sum()), TRAINED)
            table.add("parameters", size, TRAINED)
            table.add("full_checkpoint_bytes", full, TRAINED)
            return
        table.add("training_loss", moment.training_loss, condition)
        table.add("checkpoint_bytes", moment.stored_bytes / table.n_seeds, condition)
        if moment.phase == PHASE_B and table.step == self.config.epochs_b:
            checkpoints = len(self.config.measured_epochs) - 1
            table.add("full_checkpoint_gigabytes", checkpoints * full / 1e9, TRAINED)

    def _add_weights(self, table: Rows, parameters: Parameters, condition: str) -> None:
        """L2 distance from the base, in all and by block, and the lengths of the vectors."""
        squares: dict[int, Tensor] = {}
        for name, value in parameters.items():
            if name != VECTORS:
                block = block_of(name, self.config.layers)
                moved = (value - self.base[name]).double().flatten(1).square().sum(1)  # (S,)
                squares[block] = squares[block] + moved if block in squares else moved
        table.add("weight_delta", torch.stack([*squares.values()]).sum(0).sqrt(), condition)
        for block, square in sorted(squares.items()):
            table.add("weight_delta_block", square.sqrt(), condition, layer=block)
        for index, layer in enumerate(self.config.blocks):
            length = parameters[VECTORS][:, index].norm(dim=1)
            table.add("vector_norm", length, condition, layer=layer)

    def _add_training_losses(
        self, table: Rows, parameters: Parameters, scale: float, condition: str
    ) -> None:
        losses = observe(self.conductor, parameters, self.windows.train, scale=scale).loss
        kinds, chosen = self.reference.train, self.windows.chosen
        for metric, kept in (
            ("masked_loss", kinds.uncertain[chosen]),
            ("low_entropy_loss", kinds.certain[chosen]),
        ):
            table.add(metric, losses[:, kept].double().mean(1), condition)

    def _add_held_out_losses(self, table: Rows, seen: Observed, condition: str) -> None:
        losses, kinds = seen.loss.double(), self.reference.held_out
        for metric, values in (
            ("held_out_loss", losses.flatten(1)),
            ("held_out_masked_loss", losses[:, kinds.uncertain]),
            ("held_out_low_entropy_loss", losses[:, kinds.certain]),
            # Where no character is split this is a mean of nothing, NaN, and `lead_tokens` is 0.
            ("continuation_probability", (-losses[:, self.reference.lead]).exp()),
        ):
            table.add(metric, values.mean(1), condition)

    def _add_dark_matter(
        self, table: Rows, with_vectors: Observed, without: Observed, basis: str, condition: str
    ) -> None:
        for vectors, seen in (("with", with_vectors), ("without", without)):
            for layer, ratio in zip(self.config.blocks, self._ratios(seen, basis), strict=True):
                table.add("dark_matter", ratio, condition, layer=layer, vectors=vectors)

    def _ratios(self, seen: Observed, basis: str = TRAINED) -> Tensor:
        """(layers, S) dark matter outside a subspace, by default the base's final components."""
        first = 0 if basis == ALL_POSITIONS else 1
        ratios = [
            dark_matter_ratio(tokens_of(states, first=first), self.reference.bases[basis, layer])
            for layer, states in zip(self.config.blocks, seen.states, strict=True)
        ]
        return torch.stack(ratios)

    def _add_retention(self, table: Rows, with_vectors: Observed, without: Observed) -> None:
        each = (self.memory["base"], self._ratios(with_vectors), self._ratios(without))
        for layer, *ratios in zip(self.config.blocks, *(r.tolist() for r in each), strict=True):
            for seed, trio in enumerate(zip(*ratios, strict=True)):
                table.add_one(seed, "retention", retention(*trio), TRAINED, layer=layer)

    def _add_overlap(self, table: Rows, seen: Observed) -> None:
        """How far the span of phase A's vectors, or of random ones, lies in the top components."""
        generator = torch.Generator().manual_seed(SUBSPACE)
        chance = random_basis(self._width, len(self.config.blocks), generator).T
        final = tokens_of(seen.final)
        components = principal_basis(final, self.config.components)  # (S, C, k)
        for condition, spans in (
            (TRAINED, self.memory[VECTORS]),
            (RANDOM_SPAN, chance.to(final.device).expand(table.n_seeds, -1, -1)),
        ):
            pairs = zip(components, spans, strict=True)
            overlap = torch.stack([subspace_overlap(*pair) for pair in pairs])
            table.add("component_overlap", overlap, condition)

    def _add_alignment(self, table: Rows, parameters: Parameters, without: Observed) -> None:
        base = tokens_of(self.reference.states)
        aligned = [
            embedding_alignment(vectors, tokens_of(states), base)
            for vectors, states in zip(
                parameters[VECTORS], without.states.transpose(0, 1), strict=True
            )
        ]
        for layer, cosine in zip(self.config.blocks, torch.stack(aligned, dim=1), strict=True):
            table.add("embedding_alignment", cosine, TRAINED, layer=layer)

    def _add_continuations(self, table: Rows, parameters: Parameters, scale: float) -> None:
        for condition, (decoding, injected) in GENERATIONS.items():
            factor = scale if injected else 0.0

            def one(parameters: Parameters, tokens: Tensor, factor: float = factor) -> Tensor:
                output = functional_call(self.conductor, parameters, (tokens, factor))
                logits: Tensor = output.logits
                return logits

            found = self.continuations.by(vmap(one), parameters, decoding)
            for grade in MEAN_GRADES:
                means = [sum(each.grades[grade] for each in own) / len(own) for own in found]
                table.add(grade, torch.tensor(means, dtype=torch.float64), condition)
            for seed, own in enumerate(found):
                for each in own:
                    where = {"condition": condition, "prompt": each.prompt}
                    for grade in GRADES:
                        table.add_one(seed, grade, each.grades[grade], **where)
                    table.add_one(seed, "continuation", each.tokens, **where, text=each.text)

    @property
    def _width(self) -> int:
        return int(self.conductor.vectors.shape[1])


def block_of(name: str, layers: int) -> int:
    """Block of a parameter: −1 for the embeddings, the number of blocks for the final LayerNorm."""
    parts = name.split(".")
    if "h" in parts:
        return int(parts[parts.index("h") + 1])
    return layers if "ln_f" in parts else -1
