"""One arm of the long-run experiment, from configuration to evidence."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.func import functional_call

from decouple.experiments.continuations import Continuations
from decouple.experiments.groups import RunGroup, run_in_groups
from decouple.experiments.long_run.cells import COORDINATES
from decouple.experiments.long_run.config import LongRunConfig
from decouple.experiments.long_run.evaluation import Evaluation, Windows
from decouple.experiments.long_run.preparation import (
    SAMPLING,
    Data,
    initial_vectors,
    measured_windows,
    prepare,
    training_labels,
    training_mask,
    window_order,
)
from decouple.experiments.long_run.reference import Reference, look_up
from decouple.metrics.language import token_cross_entropy
from decouple.models.conductor import VECTORS, Conductor
from decouple.models.gpt2 import load_base
from decouple.models.gpt2_config import base_fingerprint
from decouple.training.cycles import Progress, Row
from decouple.training.ensemble import Loss, Parameters
from decouple.training.fine_tuning import FineTuning, Phase, fine_tune

DOCUMENT = "long_run"

UNDEFINED = ("continuation_probability", "retention")
"""Metrics that may be NaN: of a text without characters that tokens split, and of no rise."""


def run_arm(
    config: LongRunConfig,
    seeds: Sequence[int],
    *,
    arm: str,
    scratch: Path,
    shared: Path,
    progress: Progress | None = None,
) -> tuple[pd.DataFrame, dict[int, str]]:
    """Train and measure one arm; see `decouple.experiments.long_run.run`.

    Raises:
        ValueError: If there are no seeds, or one is negative or given twice; if the base has
            another number of blocks than configured; if the text is too short.
        FileNotFoundError: If the base is not on this machine.
        RuntimeError: If the configured device is not there.
    """

    def shared_by_groups() -> RunGroup:
        data = prepare(config, shared)
        conductor = _conductor(config)
        reference = look_up(config, conductor, data)
        return lambda group, report: _run_group(
            config, data, conductor, reference, group, scratch, report
        )

    rows, status = run_in_groups(config, seeds, shared_by_groups, progress)
    return _table([(DOCUMENT, arm, seed, *row) for seed, row in rows]), status


def make_loss(conductor: Conductor) -> Loss:
    """Mean cross-entropy over the positions of a batch that count.

    Args:
        conductor: Architecture; its own parameters are not read.
    """

    def loss(
        parameters: Parameters,
        inputs: Tensor,
        positions: Tensor,
        labels: Tensor,
        weights: Tensor,
        scale: float,
    ) -> tuple[Tensor, Tensor]:
        output = functional_call(conductor, parameters, (inputs, scale), {"positions": positions})
        losses = token_cross_entropy(output.logits, labels)  # (B, K)
        value = (losses * weights).sum() / weights.sum().clamp_min(1)
        return value, value

    return loss


class Batches:
    """Windows, and the positions and labels that count in each, on the device.

    Every window has as many places K as the fullest has positions; the rest weigh nothing. So
    batches have one shape, and logits are computed at a tenth of the positions.

    Args:
        order: (phases, S, epochs, steps, B) indices of windows.
        train: (W, T + 1) token ids.
        mask: (S, W, T) or (1, W, T) boolean, the positions that count.
        labels: (S, W, T) or (1, W, T) token ids.
        device: Where tensors are put.
    """

    def __init__(
        self,
        order: np.ndarray,
        train: np.ndarray,
        mask: np.ndarray,
        labels: np.ndarray,
        device: str,
    ) -> None:
        places = int(mask.sum(-1).max())
        # Stable, so that the positions that count come first and in order.
        positions = np.argsort(~mask, axis=-1, kind="stable")[..., :places]  # (S, W, K)
        weights = np.take_along_axis(mask, positions, axis=-1)
        shape = np.broadcast_shapes(labels.shape[:2], positions.shape[:2])
        every = np.broadcast_to(positions, (*shape, places))
        chosen = np.take_along_axis(np.broadcast_to(labels, (*shape, labels.shape[-1])), every, -1)

        def put(array: np.ndarray, kind: torch.dtype) -> Tensor:
            each = np.broadcast_to(array, (order.shape[1], *array.shape[1:]))
            return torch.from_numpy(np.array(each)).to(device, kind)

        self.order = torch.from_numpy(order).to(device)
        self.inputs = torch.from_numpy(train[:, :-1]).to(device, torch.int64)
        self.tables = (
            put(positions, torch.int64),
            put(chosen, torch.int64),
            put(weights, torch.float32),
        )

    def __call__(self, phase: int, epoch: int) -> tuple[Tensor, ...]:
        """Inputs (S, steps, B, T), positions, labels and weights (S, steps, B, K) of an epoch."""
        indices = self.order[phase, :, epoch]  # (S, steps, B)
        seeds = torch.arange(len(indices), device=indices.device)[:, None, None]
        return (self.inputs[indices], *(table[seeds, indices] for table in self.tables))


def phases(config: LongRunConfig) -> list[Phase]:
    """Phase A, which trains the vectors, and phase B, which trains model and vectors."""
    injected = config.injection > 0
    both = {"model": config.model_rate} | ({"vectors": config.vector_rate} if injected else {})
    end = 0.0 if config.annealed else config.injection
    return [
        Phase(
            epochs=config.epochs_a,
            every=max(1, config.epochs_a),
            rates={"vectors": config.rate_a} if injected else {},
            scale=(config.injection, config.injection),
        ),
        Phase(
            epochs=config.epochs_b,
            every=config.every,
            rates=both,
            cosine=frozenset({"model"} if config.schedule == "cosine" else ()),
            scale=(config.injection, end),
        ),
    ]


def group_of(config: LongRunConfig) -> Callable[[str], str | None]:
    """Name of a parameter to `vectors`, `model`, or None if the arm never trains it."""

    def group(name: str) -> str | None:
        if name == VECTORS:
            return "vectors"
        return None if set(config.frozen) & set(name.split(".")) else "model"

    return group


def _conductor(config: LongRunConfig) -> Conductor:
    """The base with vectors of length 0, on the device."""
    model = load_base(config.base)
    if model.config.n_layer != config.layers:
        raise ValueError(
            f"layers must be those of the base, {model.config.n_layer}, got {config.layers}"
        )
    if config.block > model.config.n_positions:
        raise ValueError(
            f"block must be at most the context of the base, {model.config.n_positions}, "
            f"got {config.block}"
        )
    return Conductor(model, config.blocks).to(config.device)


def _run_group(
    config: LongRunConfig,
    data: Data,
    conductor: Conductor,
    reference: Reference,
    seeds: list[int],
    scratch: Path,
    progress: Progress | None,
) -> tuple[list[list[Row]], list[str]]:
    """Rows and status of seeds that are trained together."""
    vectors = initial_vectors(config, conductor.vectors.shape[1], seeds)
    parameters = {
        name: value.detach().repeat(len(seeds), *[1] * value.dim())
        for name, value in conductor.named_parameters()
    } | {VECTORS: torch.from_numpy(vectors).to(config.device)}
    mask = training_mask(config, reference.train.uncertain.cpu().numpy(), seeds)
    labels = training_labels(config, data.train, seeds)
    order = window_order(config, len(data.train), seeds)
    identity = _identity(config, seeds, (order, data.train, mask, labels, data.held_out))
    checkpoint = scratch / f"{DOCUMENT}-{identity[:16]}.pt"
    base = {name: value.detach() for name, value in conductor.named_parameters()}
    memory: Parameters = {}
    result = fine_tune(
        parameters,
        FineTuning(
            phases=phases(config),
            steps=order.shape[3],
            batches=Batches(order, data.train, mask, labels, config.device),
            loss=make_loss(conductor),
            evaluate=_evaluation(config, data, conductor, reference, seeds, memory).rows,
            group_of=group_of(config),
            base=base,
            weight_decay=config.weight_decay,
            checkpoint=checkpoint,
            identity=identity,
            memory=memory,
            bfloat16=config.bfloat16,
            progress=progress,
        ),
    )
    checkpoint.unlink(missing_ok=True)
    pairs = [_finite(*pair) for pair in zip(result.rows, result.status, strict=True)]
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs]


def _evaluation(
    config: LongRunConfig,
    data: Data,
    conductor: Conductor,
    reference: Reference,
    seeds: Sequence[int],
    memory: Parameters,
) -> Evaluation:
    chosen = measured_windows(len(data.train), config.held_out_windows)
    train, held_out = (
        torch.from_numpy(windows).to(config.device, torch.int64)
        for windows in (data.train[chosen], data.held_out)
    )
    continuations = Continuations(
        conductor.model,
        data.tokenizer,
        data.text,
        reference=reference.loss,
        tokens=config.generation_tokens,
        temperature=config.temperature,
        entropy=(SAMPLING, *seeds),
        n_seeds=len(seeds),
    )
    windows = Windows(train, torch.from_numpy(chosen).to(config.device), held_out)
    return Evaluation(config, conductor, windows, reference, continuations, memory)


def _finite(rows: list[Row], status: str) -> tuple[list[Row], str]:
    """Rows before the first value that is not finite, and a status that says so."""
    for position, (step, *_, condition, metric, value) in enumerate(rows):
        if metric not in UNDEFINED and isinstance(value, float) and not math.isfinite(value):
            return rows[:position], f"diverged: {metric} ({condition}, step {step}) is {value}"
    return rows, status


def _identity(config: LongRunConfig, seeds: Sequence[int], arrays: Sequence[np.ndarray]) -> str:
    """Digest of all that decides how a run goes on from a checkpoint, short of the code."""
    known = (config, list(seeds), torch.__version__, base_fingerprint(config.base))
    digest = hashlib.sha256(repr(known).encode())
    for array in arrays:
        digest.update(repr((array.shape, array.dtype)).encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _table(rows: list[Row]) -> pd.DataFrame:
    """Tidy table; coordinates are missing where they do not apply."""
    columns = ["document", "arm", "seed", "step", *COORDINATES, "condition", "metric", "value"]
    table = pd.DataFrame(rows, columns=columns)
    return table.astype({"seed": "int64", "step": "int64", "layer": "Int64", "value": "float64"})
