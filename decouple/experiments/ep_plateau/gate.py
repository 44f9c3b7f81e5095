"""Warm-up against validity gate, exp4: its arms, and what is read off the gate; imports no torch.

The gate refuses the task gradient while the worst force residual of a batch is above its limit. A
warm-up keeps the learning rate, and with it the regulariser, too weak to contract the block: until
it does, nothing is learned. Everything here counts *task steps*, from the end of the
pre-contraction, as the arm that has one can only be compared with the others in these.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import groupby

from decouple.experiments.ep_plateau.config import EPPlateauConfig
from decouple.experiments.ep_plateau.rows import Row
from decouple.models.equilibrium_config import EquilibriumConfig
from decouple.training.estimators.config import EquilibriumPropagationConfig


def _gate(
    config: EPPlateauConfig,
    *,
    warmup: int,
    prewarm: int = 0,
    contractive: bool = False,
    small_init: bool = False,
) -> EPPlateauConfig:
    gate, own, training = config.gate, config.model, config.training
    estimator = training.estimator
    assert isinstance(own, EquilibriumConfig)  # presets are of the published arm
    assert isinstance(estimator, EquilibriumPropagationConfig)
    steps = gate.steps + prewarm
    model = replace(
        own,
        damping=gate.damping,
        step=gate.step,
        embedding_std=gate.contractive_std if contractive else gate.embedding_std,
        residual_scale=own.residual_scale * (gate.small_init if small_init else 1.0),
    )
    training = replace(
        training,
        estimator=replace(
            estimator,
            relaxation=replace(estimator.relaxation, steps=gate.free_steps),
            steps=gate.nudged_steps,
        ),
        steps=steps,
        batch=gate.batch,
        learning_rate=gate.learning_rate,
        warmup=warmup,
        precontraction=prewarm,
        check_every=gate.validate_every,
        checkpoint_every=10 * gate.validate_every,
    )
    return replace(
        config,
        model=model,
        training=training,
        start=replace(config.start, up_factor=gate.up_factor),
        readouts=("gate",),
        snapshots=(),
        constructed=None,
        record_every=1,
        validate_every=gate.validate_every,
    )


GATE_ARMS: dict[str, Callable[[EPPlateauConfig], EPPlateauConfig]] = {
    "gate_warmup": lambda config: _gate(config, warmup=config.gate.warmup),
    "gate_prewarm": lambda config: _gate(
        config, warmup=config.gate.warmup, prewarm=config.gate.prewarm
    ),
    "gate_small_init": lambda config: _gate(config, warmup=0, small_init=True),
    # The control: with the same warm-up, a start that the gate has nothing to refuse in.
    "gate_contractive": lambda config: _gate(config, warmup=config.gate.warmup, contractive=True),
}
"""The document's arms A, B and C, and a control."""


def task_steps(per_step: Sequence[float], precontraction: int) -> Sequence[float]:
    """What belongs to the steps with a task, from a record that begins with step 1."""
    return per_step[precontraction:]


def first_open_step(gate_open: Sequence[float]) -> int:
    """First task step, from 1, whose gradient was used; one more than there are if none was.

    Args:
        gate_open: 1 or 0 for each task step.
    """
    return next((step for step, is_open in enumerate(gate_open, 1) if is_open), len(gate_open) + 1)


def skipped_steps(gate_open: Sequence[float]) -> int:
    """Number of task steps whose gradient the gate refused."""
    return sum(not is_open for is_open in gate_open)


def dead_zone(gate_open: Sequence[float]) -> int:
    """Length of the longest stretch of task steps in which the gate refused every gradient."""
    stretches = (
        sum(1 for _ in group) for is_open, group in groupby(gate_open, bool) if not is_open
    )
    return max(stretches, default=0)


def gate_rows(
    config: EPPlateauConfig,
    gate_open: Sequence[float],
    residuals: Sequence[float],
    validation: Mapping[int, float],
    *,
    step: int,
) -> list[Row]:
    """What the gate did in a run, how far the run came early, and whether it lost its hold.

    Metrics: `first_open_step`, `gate_skipped_steps`, `dead_zone_steps`; `early_validation_loss`,
    the best within the first `gate.early` task steps; and of the task steps that follow the first
    open one `excursions_after_opening`, how many have a residual above `excursion_residual`, and
    `peak_residual`, the largest (from the first task step where the gate never opened). The
    residual of a start that is not contractive yet is no excursion. `warmup_steps` is the length of
    the warm-up, so that a dead zone can be told as a part of it.

    Args:
        config: Configuration of the arm.
        gate_open: 1 or 0 for each step, those without a task included.
        residuals: Mean force residual for each of the same steps.
        validation: Held-out loss by step, those without a task counted.
        step: Last step of the run.

    Raises:
        ValueError: If no loss was measured early, or the records are not of the same task steps.
    """
    precontraction = config.training.precontraction
    used = task_steps(gate_open, precontraction)
    held = task_steps(residuals, precontraction)
    if len(used) != len(held) or not held:
        raise ValueError(
            f"residuals must be of the {len(used)} task steps of gate_open, at least one, "
            f"got {len(held)}"
        )
    early = [
        loss for at, loss in validation.items() if 0 < at - precontraction <= config.gate.early
    ]
    if not early:
        raise ValueError(
            f"validation must have a loss within {config.gate.early} task steps, "
            f"got steps {list(validation)}"
        )
    after = held[first_open_step(used) :]
    values = {
        "first_open_step": first_open_step(used),
        "gate_skipped_steps": skipped_steps(used),
        "dead_zone_steps": dead_zone(used),
        "early_validation_loss": min(early),
        "excursions_after_opening": sum(value > config.excursion_residual for value in after),
        "peak_residual": max(after or held),
        "warmup_steps": config.training.warmup,
    }
    return [Row(metric, float(value), step) for metric, value in values.items()]
