"""One arm of the campaign, from configuration to evidence."""

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd
import torch
from torch import nn

from decouple.experiments.ep_plateau.arms import (
    CONDITIONS,
    DESCENT_CONDITIONS,
    SWEPT_CONDITIONS,
    estimators,
)
from decouple.experiments.ep_plateau.branches import branch_rows
from decouple.experiments.ep_plateau.checkpoints import Progress, Trained, Weights, train_once
from decouple.experiments.ep_plateau.config import EPPlateauConfig
from decouple.experiments.ep_plateau.constructed import (
    NoPointError,
    Plateau,
    at_last,
    construct,
)
from decouple.experiments.ep_plateau.gate import gate_rows
from decouple.experiments.ep_plateau.mixing import mixing_rows
from decouple.experiments.ep_plateau.preparation import (
    Data,
    as_equilibrium,
    initial_model,
    prepare,
    readout_batches,
)
from decouple.experiments.ep_plateau.rows import Row, table
from decouple.experiments.ep_plateau.sweep import (
    loss_changes,
    matched,
    sweep_rows,
    with_regulariser,
)
from decouple.experiments.ep_plateau.trajectory import (
    BrokenRunError,
    gate_open,
    series,
    trajectory_rows,
)
from decouple.experiments.ep_plateau.triangulation import (
    Reference,
    average,
    estimate,
    estimator_rows,
)
from decouple.experiments.groups import check_seeds
from decouple.models.transformer import Transformer
from decouple.training.estimators.base import Estimate
from decouple.training.estimators.config import EstimatorConfig
from decouple.training.numerics import cpu_numerics

FINISHED = "finished"


def run_arm(
    config: EPPlateauConfig,
    seeds: Sequence[int],
    *,
    arm: str,
    scratch: Path,
    shared: Path,
    progress: Progress | None = None,
) -> tuple[pd.DataFrame, dict[int, str]]:
    """Train and measure one arm; see `decouple.experiments.ep_plateau.run`.

    Raises:
        ValueError: If there are no seeds, or one is negative or given twice.
        RuntimeError: If the configured device is not there.
    """
    seeds = check_seeds(seeds, config.device)
    tables, status = [], {}
    with cpu_numerics(config.threads):
        data = prepare(config, shared)
        for seed in seeds:
            try:
                rows = _run_seed(config, data, seed, scratch, shared, progress)
                status[seed] = _not_finite(rows) or FINISHED
            except (NoPointError, BrokenRunError) as error:
                rows, status[seed] = [], str(error)
            tables.append(table(rows, arm=arm, seed=seed))
    return pd.concat(tables, ignore_index=True), status


def _run_seed(
    config: EPPlateauConfig,
    data: Data,
    seed: int,
    scratch: Path,
    shared: Path,
    progress: Progress | None,
) -> list[Row]:
    """All rows of one seed."""
    config, build = _begin(config, data, seed, shared)
    # Only the document's own run is the start of others: its weights are worth keeping.
    folder = shared if "campaign" in config.readouts else scratch
    trained = train_once(config, build, data, seed, folder, progress)
    rows = trajectory_rows(config, trained)
    if "gate" in config.readouts:
        residuals = series(trained, "force_residual_mean")
        validation = {at: loss for at, loss in trained.validation.items() if at}
        rows += gate_rows(
            config, gate_open(trained), residuals, validation, step=config.training.steps
        )
    if "campaign" not in config.readouts and "mixing" not in config.readouts:
        return rows
    if trained.status != FINISHED:
        raise BrokenRunError(trained.status)
    if progress is not None:
        progress(config.training.steps, config.training.steps, "readouts")
    model = build()
    untrained = copy.deepcopy(model)
    if "campaign" not in config.readouts:
        _load(model, trained.last)
        assert isinstance(model, Transformer)  # the configuration has seen to it
        step = config.training.steps
        return rows + mixing_rows(config, model, data.validation, step=step, point="plateau")
    return rows + _readouts(config, data, seed, trained, model, untrained)


def _begin(
    config: EPPlateauConfig, data: Data, seed: int, shared: Path
) -> tuple[EPPlateauConfig, Callable[[], nn.Module]]:
    """What training begins with; at the plateau point it has that point's phases too."""
    start = config.start
    if start.source is None:
        return config, lambda: initial_model(config, data.vocab_size, seed)
    source = start.source
    trained = train_once(
        source, lambda: initial_model(source, data.vocab_size, seed), data, seed, shared
    )
    if trained.status != FINISHED:
        raise BrokenRunError(f"the run it begins with {trained.status}")
    model = as_equilibrium(initial_model(source, data.vocab_size, seed))
    _load(model, trained.last)
    if start.kind == "published":
        return config, lambda: copy.deepcopy(model)
    plateau = _plateau(source, model, data, seed)
    estimator = estimators(plateau.config)[start.swapped]
    training = replace(config.training, estimator=estimator)
    return replace(config, model=plateau.config.model, training=training), lambda: copy.deepcopy(
        plateau.model
    )


def _plateau(config: EPPlateauConfig, model: nn.Module, data: Data, seed: int) -> Plateau:
    block = as_equilibrium(model)
    if config.constructed is None:
        return at_last(config, block)
    windows = readout_batches(config, data, seed).flatten(0, 1)
    return construct(config, block, windows)


def _readouts(
    config: EPPlateauConfig,
    data: Data,
    seed: int,
    trained: Trained,
    model: nn.Module,
    untrained: nn.Module,
) -> list[Row]:
    """Everything that is read off the snapshots and at the plateau point, exp1, 2, 6 and 7."""
    rows: list[Row] = [Row("uniform_loss", math.log(data.vocab_size), 0)]
    batches = readout_batches(config, data, seed)
    last = config.training.steps
    for step in config.descent:
        _load(model, trained.snapshots[step])
        block = at_last(config, as_equilibrium(model)).model
        reference = Reference(config, block, batches)
        rows += reference.rows(step=step, point="descent")
        # Nothing descends yet at the start, where a control would show nothing.
        for condition in ("trained", *DESCENT_CONDITIONS) if step else ("trained",):
            rows += estimator_rows(
                config,
                reference,
                estimate(block, _estimator(config, condition), batches),
                step=step,
                point="descent",
                condition=condition,
                detailed=condition == "trained",
            )
        rows += branch_rows(
            config, as_equilibrium(model), data.validation, step=step, point="descent"
        )
    _load(model, trained.last)
    for each, condition in ((model, "trained"), (untrained, "untrained")):
        block = as_equilibrium(each)
        rows += branch_rows(
            config, block, data.validation, step=last, point="plateau", condition=condition
        )
        rows += mixing_rows(
            config, block, data.validation, step=last, point="plateau", condition=condition
        )
    return rows + _at_the_plateau(_plateau(config, model, data, seed), batches, seed, last)


def _at_the_plateau(plateau: Plateau, batches: torch.Tensor, seed: int, last: int) -> list[Row]:
    """Gradients and one-step changes of the loss at the plateau point."""
    config, model = plateau.config, plateau.model
    reference = Reference(config, model, batches)
    rows = reference.rows(step=last, point="plateau")
    # A step is taken on all batches as one: what one of them does not show is then not missed.
    windows, truth = batches.flatten(0, 1), average(reference.short)
    changes = loss_changes(config, model, truth, windows)
    rows += sweep_rows(changes, "loss_change_bptt", step=last, condition="trained")
    for condition in ("trained", *CONDITIONS):
        found = estimate(model, _estimator(config, condition), batches)
        rows += estimator_rows(
            config,
            reference,
            found,
            step=last,
            point="plateau",
            condition=condition,
            detailed=True,
        )
        if condition not in ("trained", *SWEPT_CONDITIONS):
            continue
        gradients = average(found)
        states = torch.cat([_state(each) for each in found])
        for metric, direction in (
            ("loss_change_ep", gradients),
            ("loss_change_ep_jac", with_regulariser(config, model, gradients, states, seed)),
            ("loss_change_ep_matched", matched(gradients, truth)),
        ):
            changes = loss_changes(config, model, direction, windows)
            rows += sweep_rows(changes, metric, step=last, condition=condition)
    return rows


def _state(found: Estimate) -> torch.Tensor:
    assert found.state is not None  # estimators that are compared here relax
    return found.state


def _estimator(config: EPPlateauConfig, condition: str) -> EstimatorConfig:
    return config.training.estimator if condition == "trained" else estimators(config)[condition]


@torch.no_grad()
def _load(model: nn.Module, weights: Weights) -> None:
    for name, value in model.named_parameters():
        value.copy_(weights[name])


def _not_finite(rows: Sequence[Row]) -> str | None:
    """What is wrong with the first row whose value is not finite."""
    for row in rows:
        if not math.isfinite(row.value):
            return f"diverged: {row.metric} ({row.condition}, step {row.step}) is {row.value}"
    return None
