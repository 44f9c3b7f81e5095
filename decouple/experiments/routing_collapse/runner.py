"""One arm of the routing-collapse experiment, from configuration to evidence."""

import hashlib
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.func import functional_call

from decouple.experiments.groups import RunGroup, run_in_groups
from decouple.experiments.routing_collapse.config import RoutingCollapseConfig
from decouple.experiments.routing_collapse.evaluation import (
    HeldOut,
    as_rows,
    merge,
    routine_rows,
)
from decouple.experiments.routing_collapse.interventions import (
    dominant_expert,
    outlier_rows,
    recovery_rows,
    removal_rows,
)
from decouple.experiments.routing_collapse.preparation import (
    Data,
    initial_models,
    outlier_windows,
    prepare,
    training_windows,
)
from decouple.metrics.language import token_cross_entropy
from decouple.metrics.routing import load_balancing_loss
from decouple.models.moe import Interventions, MoETransformer
from decouple.training.cycles import Progress, Row, train_cycles
from decouple.training.ensemble import Loss, Parameters, stack_parameters

DOCUMENT = "routing_collapse"
COORDINATES = ["step", "layer", "expert", "condition", "metric", "value"]


def run_arm(
    config: RoutingCollapseConfig,
    seeds: Sequence[int],
    *,
    arm: str,
    scratch: Path,
    shared: Path,
    progress: Progress | None = None,
) -> tuple[pd.DataFrame, dict[int, str]]:
    """Train and measure one arm; see `decouple.experiments.routing_collapse.run`.

    Raises:
        ValueError: If there are no seeds, or one is negative or given twice.
        RuntimeError: If the configured device is not there.
    """

    def shared_by_groups() -> RunGroup:
        data = prepare(config, shared)
        return lambda group, report: _run_group(config, data, group, scratch, report)

    rows, status = run_in_groups(config, seeds, shared_by_groups, progress)
    return _table([(DOCUMENT, arm, seed, *row) for seed, row in rows]), status


def make_loss(model: MoETransformer, balancing: float) -> Loss:
    """Loss of one model: cross-entropy, and the objective with the balancing loss added.

    Args:
        model: Architecture; its own parameters are not read.
        balancing: Weight of the load-balancing loss, 0 for none.
    """

    def loss(
        parameters: Parameters, windows: Tensor, interventions: Interventions | None = None
    ) -> tuple[Tensor, Tensor]:
        output = functional_call(
            model, parameters, (windows[:, :-1],), {"interventions": interventions}
        )
        cross_entropy = token_cross_entropy(output.logits, windows[:, 1:]).mean()
        if not balancing:
            return cross_entropy, cross_entropy
        probabilities = output.probabilities.flatten(1, 2)  # (L, N, E)
        auxiliary = load_balancing_loss(probabilities, output.selected.flatten(1, 2))
        return cross_entropy + balancing * auxiliary.sum(), cross_entropy

    return loss


def _run_group(
    config: RoutingCollapseConfig,
    data: Data,
    seeds: list[int],
    scratch: Path,
    progress: Progress | None,
) -> tuple[list[list[Row]], list[str]]:
    """Rows and status of seeds that are trained together."""
    models = initial_models(config, data.vocab_size, seeds)
    frozen = ("router",) if config.frozen_router else ()
    parameters = stack_parameters(models, device=config.device, frozen=frozen)
    model = models[0].to("meta")  # from here on an architecture without weights
    windows = training_windows(config, data, seeds)
    held_out = HeldOut(
        model, torch.from_numpy(data.held_out).to(config.device, torch.int64), config.batch
    )
    loss = make_loss(model, config.balancing)

    def evaluate(cycle: int, parameters: Parameters, training: Tensor | None) -> list[list[Row]]:
        rows = routine_rows(held_out.measure(parameters), cycle, training)
        if cycle == 0:
            size = sum(value[0].numel() for value in parameters.values())
            rows = merge([rows, as_rows("parameters", torch.full((len(seeds),), size), step=0)])
        return rows

    identity = _identity(config, seeds, windows, data.held_out)
    checkpoint = scratch / f"{DOCUMENT}-{identity[:16]}.pt"
    result = train_cycles(
        parameters,
        windows,
        loss,
        evaluate,
        learning_rate=config.learning_rate,
        weight_decay=config.weight_decay,
        checkpoint=checkpoint,
        identity=identity,
        progress=progress,
    )
    rows, status = result.rows, result.status
    if config.cycles and "finished" in status:
        if progress is not None:
            steps = config.cycles * config.steps_per_cycle
            progress(steps, steps, "interventions")
        last = _last_rows(config, data, seeds, result.parameters, held_out, windows, loss)
        rows = [
            seed_rows + more if text == "finished" else seed_rows
            for seed_rows, more, text in zip(rows, last, status, strict=True)
        ]
    checkpoint.unlink(missing_ok=True)
    pairs = [_finite(seed_rows, text) for seed_rows, text in zip(rows, status, strict=True)]
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs]


def _last_rows(
    config: RoutingCollapseConfig,
    data: Data,
    seeds: Sequence[int],
    parameters: Parameters,
    held_out: HeldOut,
    windows: np.ndarray,
    loss: Loss,
) -> list[list[Row]]:
    """What is measured once, on the trained model."""
    measured = held_out.measure(parameters)
    dominant = dominant_expert(measured)
    noise = torch.from_numpy(outlier_windows(config, data, seeds)).to(config.device)
    batches = torch.from_numpy(windows[:, -1]).to(config.device, torch.int64)
    deepest = config.model.n_layers - 1
    return merge(
        [
            as_rows("head_alignment", measured.alignment, step=config.cycles, layer=deepest),
            removal_rows(config, parameters, held_out, dominant),
            outlier_rows(config, parameters, held_out, dominant, loss, noise),
            recovery_rows(config, parameters, held_out, dominant, loss, batches),
        ]
    )


def _finite(rows: list[Row], status: str) -> tuple[list[Row], str]:
    """Rows before the first value that is not finite, and a status that says so."""
    for position, (step, *_, condition, metric, value) in enumerate(rows):
        if isinstance(value, float) and not math.isfinite(value):
            return rows[:position], f"diverged: {metric} ({condition}, step {step}) is {value}"
    return rows, status


def _identity(
    config: RoutingCollapseConfig, seeds: Sequence[int], windows: np.ndarray, held_out: np.ndarray
) -> str:
    """Digest of all that decides how a run goes on from a checkpoint, short of the code."""
    digest = hashlib.sha256(repr((config, list(seeds), torch.__version__)).encode())
    digest.update(np.ascontiguousarray(windows).data)
    digest.update(np.ascontiguousarray(held_out).data)
    return digest.hexdigest()


def _table(rows: list[Row]) -> pd.DataFrame:
    """Tidy table; layers and experts are missing where they do not apply."""
    table = pd.DataFrame(rows, columns=["document", "arm", "seed", *COORDINATES])
    return table.astype(
        {"seed": "int64", "step": "int64", "layer": "Int64", "expert": "Int64", "value": "float64"}
    )
