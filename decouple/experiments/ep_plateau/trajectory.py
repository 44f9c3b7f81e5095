"""What a training shows of itself: losses, residuals, the gate and the regulariser, step by step.

A run that breaks is evidence, not a failure: it stays where it stopped. Its cells after the end
repeat the last that were measured, `ended_step` says where that was, and `fuse_blown` and
`diverged` say how.
"""

from decouple.experiments.ep_plateau.checkpoints import Trained
from decouple.experiments.ep_plateau.config import EPPlateauConfig
from decouple.experiments.ep_plateau.gate import first_open_step, skipped_steps, task_steps
from decouple.experiments.ep_plateau.grid import knob_rows
from decouple.experiments.ep_plateau.rows import Row
from decouple.training.equilibrium_trainer_record import METRICS

LARGEST = 1e12
"""Residual of a run whose numbers have diverged."""

BROKEN_SHARE = 10
"""The last tenth of a run is looked at for a broken basin."""


class BrokenRunError(RuntimeError):
    """A run that ended before what is to be read off it was there; says how it ended."""


def series(trained: Trained, metric: str) -> list[float]:
    """One of the trainer's metrics, step by step."""
    index = METRICS.index(metric)
    return [row[index] for row in trained.history]


def gate_open(trained: Trained) -> list[float]:
    """1 or 0 for each step: whether the task gradient was used."""
    pairs = zip(series(trained, "free_valid"), series(trained, "nudged_valid"), strict=True)
    return [free * nudged for free, nudged in pairs]


def trajectory_rows(config: EPPlateauConfig, trained: Trained) -> list[Row]:
    """Rows of a training.

    Metrics by step: `validation_loss`, `residual` (mean force residual), `regulariser_weight`,
    `gate_open`. At the last step: `best_validation_loss`; `largest_residual` and `excursions`, the
    largest mean force residual and the number of steps above `excursion_residual`, over all steps
    until the run ended; `broken_basin`, share of the last tenth of them with a residual above the
    gate and below the fuse; `gate_skipped_steps`, `first_open_step` (task steps); `ended_step`,
    `fuse_blown`, `diverged`; and where there is a regulariser `knob_moved`, `knob_at_floor`,
    `knob_at_ceiling`, `largest_regulariser_weight`.

    Args:
        config: Configuration of the arm.
        trained: Its training.

    Raises:
        BrokenRunError: If it diverged before its first step was over.
    """
    if not trained.history:
        raise BrokenRunError(trained.status)
    last = config.training.steps
    residuals = series(trained, "force_residual_mean")
    diverged = trained.status.startswith("diverged")
    weights = series(trained, "regulariser_weight")
    is_open = gate_open(trained)
    rows = []
    for metric, values in (
        ("residual", residuals),
        ("regulariser_weight", weights),
        ("gate_open", is_open),
    ):
        rows += [
            Row(metric, values[min(step, len(values)) - 1], step)
            for step in range(config.record_every, last + 1, config.record_every)
        ]
    validation = carried(config, trained)
    # What a run begins with is no merit of its own where other training made it.
    own = [each for each in validation.items() if each[0] or config.start.source is None]
    rows += [Row("validation_loss", value, step) for step, value in validation.items()]
    used = task_steps(is_open, config.training.precontraction)
    ending = {
        "best_validation_loss": min(loss for _, loss in own),
        "largest_residual": LARGEST if diverged else max(residuals),
        "excursions": sum(value > config.excursion_residual for value in residuals),
        "broken_basin": _broken_basin(config, residuals),
        "ended_step": trained.steps,
        "fuse_blown": trained.status.startswith("fuse"),
        "diverged": diverged,
    }
    if "gate" not in config.readouts:  # exp4 counts these itself
        ending |= {
            "gate_skipped_steps": skipped_steps(used),
            "first_open_step": first_open_step(used),
        }
    rows += [Row(metric, float(value), last) for metric, value in ending.items()]
    if config.training.contraction is not None:
        rows += knob_rows(config, weights, step=last)
    return rows


def carried(config: EPPlateauConfig, trained: Trained) -> dict[int, float]:
    """Held-out loss at every step it is due, after the end of a broken run its last."""
    due = [*range(0, config.training.steps, config.validate_every), config.training.steps]
    measured = sorted(trained.validation)
    return {
        step: trained.validation[max(at for at in measured if at <= step)]
        if step <= trained.steps
        else trained.validation[measured[-1]]
        for step in due
    }


def _broken_basin(config: EPPlateauConfig, residuals: list[float]) -> float:
    contraction = config.training.contraction
    if contraction is None:
        return 0.0
    tail = residuals[-max(1, len(residuals) // BROKEN_SHARE) :]
    inside = [contraction.gate_residual < value < contraction.fuse_residual for value in tail]
    return sum(inside) / len(inside)
