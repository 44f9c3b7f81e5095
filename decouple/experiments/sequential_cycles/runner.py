"""One arm of the sequential-cycles experiment, from configuration to evidence."""

import hashlib
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from transformers import GPT2LMHeadModel

from decouple.experiments.continuations import Continuations
from decouple.experiments.groups import RunGroup, run_in_groups
from decouple.experiments.sequential_cycles.config import SequentialCyclesConfig
from decouple.experiments.sequential_cycles.evaluation import (
    COORDINATES,
    HeldOut,
    Updates,
    as_rows,
    merge,
    routine_rows,
    trained_parts,
)
from decouple.experiments.sequential_cycles.generation import generation_rows
from decouple.experiments.sequential_cycles.preparation import (
    SAMPLING,
    Data,
    drawn_windows,
    frozen_modules,
    prepare,
    starting_model,
    training_pairs,
)
from decouple.metrics.language import token_cross_entropy
from decouple.models.gpt2 import final_logits, final_states
from decouple.models.gpt2_config import base_fingerprint, base_shape, head_modules
from decouple.training.cycles import Progress, Row, train_cycles
from decouple.training.ensemble import Loss, Parameters, stack_parameters

DOCUMENT = "sequential_cycles"


def run_arm(
    config: SequentialCyclesConfig,
    seeds: Sequence[int],
    *,
    arm: str,
    scratch: Path,
    shared: Path,
    progress: Progress | None = None,
) -> tuple[pd.DataFrame, dict[int, str]]:
    """Train and measure one arm; see `decouple.experiments.sequential_cycles.run`.

    Raises:
        ValueError: If there are no seeds, or one is negative or given twice.
        RuntimeError: If the configured device is not there.
    """

    def shared_by_groups() -> RunGroup:
        data = prepare(config, shared)
        return lambda group, report: _run_group(config, data, group, scratch, report)

    rows, status = run_in_groups(config, seeds, shared_by_groups, progress)
    return _table([(DOCUMENT, arm, seed, *row) for seed, row in rows]), status


def make_loss(model: GPT2LMHeadModel) -> Loss:
    """Loss of one model: mean cross-entropy, which is minimised and recorded.

    Args:
        model: Architecture; its own parameters are not read.
    """

    def loss(parameters: Parameters, pairs: Tensor) -> tuple[Tensor, Tensor]:
        tokens, labels = pairs.unbind(1)  # (B, 2, T) to (B, T) each
        states = final_states(model, tokens, parameters).after
        logits = final_logits(model, states, parameters)
        cross_entropy = token_cross_entropy(logits, labels).mean()
        return cross_entropy, cross_entropy

    return loss


def _run_group(
    config: SequentialCyclesConfig,
    data: Data,
    seeds: list[int],
    scratch: Path,
    progress: Progress | None,
) -> tuple[list[list[Row]], list[str]]:
    """Rows and status of seeds that are trained together."""
    shape = base_shape(config.base)
    model = starting_model(config, data)
    nn.Module.to(model, config.device)
    frozen = frozen_modules(config, shape)
    parameters = stack_parameters([model] * len(seeds), device=config.device, frozen=frozen)
    pairs = training_pairs(config, data, seeds)

    def at(windows: np.ndarray) -> HeldOut:
        tokens = torch.from_numpy(windows).to(config.device, torch.int64)
        return HeldOut(model, tokens, config.batch, config.calibration_bins)

    held_out = at(data.held_out)
    base = stack_parameters([model], device=config.device)
    before = held_out.measure(base)
    drawn = drawn_windows(config, data, seeds)
    baseline = torch.cat([at(windows).measure(base).default("raw") for windows in drawn])
    continuations = Continuations(
        model,
        data.tokenizer,
        data.text,
        reference=before.loss.item(),
        tokens=config.generation_tokens,
        temperature=config.temperature,
        entropy=[SAMPLING, *seeds],
        n_seeds=len(seeds),
    )
    memory: Parameters = {}
    # Without updates there is no direction to compare.
    parts = trained_parts(parameters, head_modules(shape)) if config.learning_rate else {}
    updates = Updates(parts, memory)

    def evaluate(cycle: int, parameters: Parameters, training: Tensor | None) -> list[list[Row]]:
        cosines = updates.cosines(parameters)
        rows = routine_rows(held_out.measure(parameters), cycle, training, cosines)
        if cycle == 0:
            rows = merge([rows, as_rows("baseline_alignment", baseline, step=0)])
        if cycle in config.generation_cycles:
            rows = merge([rows, generation_rows(continuations, parameters, cycle)])
        return rows

    identity = _identity(config, seeds, pairs, data.held_out)
    checkpoint = scratch / f"{DOCUMENT}-{identity[:16]}.pt"
    result = train_cycles(
        parameters,
        pairs,
        make_loss(model),
        evaluate,
        learning_rate=config.learning_rate,
        weight_decay=config.weight_decay,
        checkpoint=checkpoint,
        checkpoint_every=config.checkpoint_every,
        identity=identity,
        memory=memory,
        progress=progress,
    )
    checkpoint.unlink(missing_ok=True)
    ended = [_finite(*pair) for pair in zip(result.rows, result.status, strict=True)]
    return [rows for rows, _ in ended], [text for _, text in ended]


def _finite(rows: list[Row], status: str) -> tuple[list[Row], str]:
    """Rows before the first value that is not finite, and a status that says so."""
    for position, (step, metric, *_, value) in enumerate(rows):
        if isinstance(value, float) and not math.isfinite(value):
            return rows[:position], f"diverged: {metric} (step {step}) is {value}"
    return rows, status


def _identity(
    config: SequentialCyclesConfig, seeds: Sequence[int], pairs: np.ndarray, held_out: np.ndarray
) -> str:
    """Digest of all that decides how a run goes on from a checkpoint, short of the code."""
    known = (config, list(seeds), torch.__version__, base_fingerprint(config.base))
    digest = hashlib.sha256(repr(known).encode())
    digest.update(np.ascontiguousarray(pairs).data)
    digest.update(np.ascontiguousarray(held_out).data)
    return digest.hexdigest()


def _table(rows: list[Row]) -> pd.DataFrame:
    """Tidy table; coordinates are missing where they do not apply."""
    columns = ["document", "arm", "seed", "step", "metric", *COORDINATES, "value"]
    table = pd.DataFrame(rows, columns=columns)
    return table.astype({"seed": "int64", "step": "int64", "value": "float64"})
