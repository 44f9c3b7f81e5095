"""How many cells of each metric a finished run has; imports no torch."""

import math

from decouple.experiments.ep_plateau.arms import CONDITIONS, DESCENT_CONDITIONS, SWEPT_CONDITIONS
from decouple.experiments.ep_plateau.config import EPPlateauConfig

ONCE = (
    "best_validation_loss",
    "largest_residual",
    "excursions",
    "broken_basin",
    "gate_skipped_steps",
    "first_open_step",
    "ended_step",
    "fuse_blown",
    "diverged",
)
KNOB = ("knob_moved", "knob_at_floor", "knob_at_ceiling", "largest_regulariser_weight")
GATE = (
    "dead_zone_steps",
    "warmup_steps",
    "early_validation_loss",
    "excursions_after_opening",
    "peak_residual",
)
BRANCHES = (
    "attention_share",
    "feedforward_share",
    "weight_norm_attention_out",
    "weight_norm_down",
    "weight_norm_up",
    "attention_entropy",
    "query_key_rms",
    "logit_std",
)
PARAMETERS = 7
"""Parameter tensors of an equilibrium block, each a group of its own."""


def expected_cells(config: EPPlateauConfig) -> dict[str, int]:
    """Metric to the number of cells that a finished run has."""
    steps = config.training.steps
    recorded = steps // config.record_every
    cells = dict.fromkeys(("residual", "regulariser_weight", "gate_open"), recorded)
    cells["validation_loss"] = math.ceil(steps / config.validate_every) + 1
    cells |= dict.fromkeys(ONCE, 1)
    if config.training.contraction is not None:
        cells |= dict.fromkeys(KNOB, 1)
    if "gate" in config.readouts:
        cells |= dict.fromkeys(GATE, 1)
    if "mixing" in config.readouts:
        cells |= _mixing(config, conditions=1)
    if "campaign" in config.readouts:
        cells |= _campaign(config)
    return cells


def _mixing(config: EPPlateauConfig, conditions: int) -> dict[str, int]:
    return {
        "influence": conditions * len(config.distances),
        "influence_relative": conditions * len(config.distances),
        "influence_halving": conditions,
        "influence_residual": conditions,
        "position_loss": conditions * config.position_bins,
    }


def _campaign(config: EPPlateauConfig) -> dict[str, int]:
    """Cells of exp1, 2, 6 and 7."""
    descent, shape = len(config.descent), config.triangulation
    points, here = descent + 1, 1 + len(CONDITIONS)  # at the plateau each estimator in detail
    detailed, swept = descent + here, 1 + len(SWEPT_CONDITIONS)
    pairs = shape.batches * (shape.batches - 1) // 2
    trained = sum(step > 0 for step in config.descent)  # what the controls are for
    compared = descent + trained * len(DESCENT_CONDITIONS) + here
    cells = {
        "uniform_loss": 1,
        "validation_loss_at": points,
        "self_cosine_bptt": points,
        "cosine_bptt_horizons": 2 * points,
        "cosine_ep_bptt": compared,
        "norm_ratio": compared,
        "self_cosine_ep": detailed,
        "cosine_averaged": detailed * len(shape.averaged),
        "self_cosine_ep_pair": points * pairs,
        "cosine_ep_bptt_by_group": points * PARAMETERS,
        "residual_at": points,
        "nudged_growth": points,
        "adjoint_residual": points,
        "loss_change_bptt": len(config.learning_rates),
    }
    cells |= {
        f"loss_change_ep{kind}": swept * len(config.learning_rates)
        for kind in ("", "_jac", "_matched")
    }
    cells |= dict.fromkeys(BRANCHES, descent + 2)  # and the plateau, trained and untrained
    return cells | _mixing(config, conditions=2)
