"""Grid of the contraction's constants, exp5: its arms, and whether the knob moved; no torch.

A grid says something only where the controller used what it was given: a weight λ that stayed at
its floor has never met its ceiling.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

from decouple.experiments.ep_plateau.config import EPPlateauConfig
from decouple.experiments.ep_plateau.rows import Row
from decouple.training.equilibrium_trainer_config import ContractionConfig

AT_LIMIT = 1e-4
"""Relative distance from a limit within which a weight is at it: the record is single precision."""


def _grid(
    config: EPPlateauConfig,
    *,
    floor: float | None = None,
    ceiling: float | None = None,
    target: float | None = None,
) -> ContractionConfig:
    own = config.training.contraction
    assert own is not None  # presets are of the published arm
    return replace(
        own,
        floor=own.floor if floor is None else floor,
        ceiling=own.ceiling if ceiling is None else ceiling,
        target_residual=own.target_residual if target is None else target,
    )


GRID: dict[str, Callable[[EPPlateauConfig], ContractionConfig]] = {
    "grid_base": _grid,
    "grid_jr_max_4": lambda config: _grid(config, ceiling=4.0),
    "grid_jr_max_8": lambda config: _grid(config, ceiling=8.0),
    "grid_jr_max_16": lambda config: _grid(config, ceiling=16.0),
    "grid_floor_0.05": lambda config: _grid(config, floor=0.05, target=1.5e-3),
    "grid_floor_0.03_target_5e-3": lambda config: _grid(config, floor=0.03, target=5e-3),
}
"""Contraction constants of each warm-started arm; the first is the document's own run's."""


def knob_rows(config: EPPlateauConfig, weights: Sequence[float], *, step: int) -> list[Row]:
    """How far the regulariser's weight travelled, and where it was held.

    Metrics: `knob_moved`, largest λ minus smallest; `knob_at_floor` and `knob_at_ceiling`, the
    share of the steps at either limit; `largest_regulariser_weight`, the largest λ of all steps,
    which a record of some of them can miss.

    Args:
        config: Configuration of the arm.
        weights: λ step by step.
        step: Last step of the run.

    Raises:
        ValueError: If there is no weight, or nothing that sets one.
    """
    limits = config.training.contraction
    if limits is None:
        raise ValueError("config.training.contraction must be given, got None")
    if not weights:
        raise ValueError("weights must hold at least one step, got none")
    values = {
        "knob_moved": max(weights) - min(weights),
        "knob_at_floor": _share_at(weights, limits.floor),
        "knob_at_ceiling": _share_at(weights, limits.ceiling),
        "largest_regulariser_weight": max(weights),
    }
    return [Row(metric, value, step) for metric, value in values.items()]


def _share_at(weights: Sequence[float], limit: float) -> float:
    return sum(math.isclose(weight, limit, rel_tol=AT_LIMIT) for weight in weights) / len(weights)
