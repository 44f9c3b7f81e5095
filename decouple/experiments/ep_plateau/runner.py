"""One arm of the campaign, from configuration to evidence."""

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import pandas as pd
from torch import nn

from decouple.experiments.ep_plateau.arms import estimators
from decouple.experiments.ep_plateau.checkpoints import (
    Progress,
    load_weights,
    measure_once,
    train_once,
)
from decouple.experiments.ep_plateau.config import EPPlateauConfig
from decouple.experiments.ep_plateau.constructed import NoPointError, plateau_point
from decouple.experiments.ep_plateau.gate import gate_rows
from decouple.experiments.ep_plateau.preparation import (
    Data,
    as_equilibrium,
    initial_model,
    prepare,
    readout_batches,
)
from decouple.experiments.ep_plateau.readouts import Subject, readouts
from decouple.experiments.ep_plateau.rows import Row, table
from decouple.experiments.ep_plateau.trajectory import (
    BrokenRunError,
    gate_open,
    series,
    trajectory_rows,
)
from decouple.experiments.groups import check_seeds
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
    each = _length(config)
    tables, status = [], {}
    with cpu_numerics(config.threads):
        data = prepare(config, shared)
        for index, seed in enumerate(seeds):
            part = _part(progress, before=index * each, total=len(seeds) * each)
            try:
                rows = _run_seed(config, data, seed, scratch, shared, part)
                status[seed] = _not_finite(rows) or FINISHED
            except (NoPointError, BrokenRunError) as error:
                rows, status[seed] = [], str(error)
            tables.append(table(rows, arm=arm, seed=seed))
    return pd.concat(tables, ignore_index=True), status


def _length(config: EPPlateauConfig) -> int:
    """Length of a seed's run as progress counts it: steps of training, then readouts."""
    return _ahead(config) + config.training.steps + len(readouts(config))


def _ahead(config: EPPlateauConfig) -> int:
    """Steps of the run whose weights another begins with."""
    return 0 if config.start.source is None else config.start.source.training.steps


def _part(progress: Progress | None, *, before: int, total: int) -> Progress | None:
    """Progress of a part of something longer, of which so much lies before it."""
    if progress is None:
        return None
    return lambda done, _, note: progress(before + done, total, note)


def _run_seed(
    config: EPPlateauConfig,
    data: Data,
    seed: int,
    scratch: Path,
    shared: Path,
    progress: Progress | None,
) -> list[Row]:
    """All rows of one seed."""
    total, steps = _length(config), _ahead(config)
    source = _part(progress, before=0, total=total)
    config, build = _begin(config, data, seed, shared, source)
    # Only the document's own run is the start of others: its weights are worth keeping.
    folder = shared if "campaign" in config.readouts else scratch
    own = _part(progress, before=steps, total=total)
    trained = train_once(config, build, data, seed, folder, own)
    rows = trajectory_rows(config, trained)
    if "gate" in config.readouts:
        residuals = series(trained, "force_residual_mean")
        validation = {at: loss for at, loss in trained.validation.items() if at}
        rows += gate_rows(
            config, gate_open(trained), residuals, validation, step=config.training.steps
        )
    stages = readouts(config)
    if not stages:
        return rows
    if trained.status != FINISHED:
        raise BrokenRunError(trained.status)
    if "campaign" in config.readouts:
        rows.append(Row("uniform_loss", math.log(data.vocab_size), 0))
    subject = Subject(config, data, seed, trained, build)
    bound = {name: partial(readout, subject) for name, readout in stages.items()}
    after = _part(progress, before=steps + config.training.steps, total=total)
    return rows + measure_once(config, bound, seed, scratch, after)


def _begin(
    config: EPPlateauConfig, data: Data, seed: int, shared: Path, progress: Progress | None
) -> tuple[EPPlateauConfig, Callable[[], nn.Module]]:
    """What training begins with; at the plateau point it has that point's phases too."""
    start = config.start
    if start.source is None:
        return config, lambda: initial_model(config, data.vocab_size, seed)
    source = start.source
    trained = train_once(
        source, lambda: initial_model(source, data.vocab_size, seed), data, seed, shared, progress
    )
    if trained.status != FINISHED:
        raise BrokenRunError(f"the run it begins with {trained.status}")
    model = as_equilibrium(initial_model(source, data.vocab_size, seed))
    load_weights(model, trained.last)
    if start.kind == "published":
        return config, lambda: copy.deepcopy(model)
    point = plateau_point(source, model, readout_batches(source, data, seed).flatten(0, 1))
    estimator = estimators(point.config)[start.swapped]
    training = replace(config.training, estimator=estimator)
    return replace(config, model=point.config.model, training=training), lambda: copy.deepcopy(
        point.model
    )


def _not_finite(rows: Sequence[Row]) -> str | None:
    """What is wrong with the first row whose value is not finite."""
    for row in rows:
        if not math.isfinite(row.value):
            return f"diverged: {row.metric} ({row.condition}, step {row.step}) is {row.value}"
    return None
