"""The arms of the campaign: each derives its configuration from the document's own run."""

from collections.abc import Callable
from dataclasses import replace

from decouple.experiments.ep_plateau.config import EPPlateauConfig, StartConfig
from decouple.experiments.ep_plateau.gate import GATE_ARMS
from decouple.experiments.ep_plateau.grid import GRID
from decouple.models.transformer_config import TransformerConfig
from decouple.training.estimators.config import (
    AdjointConfig,
    BackpropagationConfig,
    BPTTConfig,
    EquilibriumPropagationConfig,
    EstimatorConfig,
)

Arm = Callable[[EPPlateauConfig], EPPlateauConfig]

CONDITIONS = ("tracking", "adjoint", "four_points")
"""Estimators that play EP at the plateau point beside the document's own."""

SWEPT_CONDITIONS = ("tracking", "adjoint")
"""Those of them whose steps are tried at every learning rate too."""

DESCENT_CONDITIONS = ("adjoint", "uncorrected", "large_beta", "one_nudged_step")
"""Estimators that play EP while the loss falls, as controls."""

TIGHT = 0.1
"""Factor on the residual that the controller steers to, in the arms of matched residual [ours]."""


def _propagation(config: EPPlateauConfig) -> EquilibriumPropagationConfig:
    estimator = config.training.estimator
    assert isinstance(estimator, EquilibriumPropagationConfig)  # presets are of the published arm
    return estimator


def estimators(config: EPPlateauConfig) -> dict[str, EstimatorConfig]:
    """The estimators that can take the place of the document's own, by condition."""
    own = _propagation(config)
    return {
        "frozen": own,
        "tracking": replace(own, correction="tracking"),
        "adjoint": AdjointConfig(relaxation=own.relaxation, compiled=own.compiled),
        "bptt": BPTTConfig(
            steps=config.triangulation.horizon, micro_batch=config.triangulation.micro_batch
        ),
        # Complex numbers: torch compiles none, and says so in a warning.
        "four_points": replace(own, points=4, compiled=False),
        "uncorrected": replace(own, correction="none"),
        "large_beta": replace(own, beta=3.0),
        "one_nudged_step": replace(own, steps=1),
    }


def _trained(config: EPPlateauConfig, **changes: object) -> EPPlateauConfig:
    """Another training, of which the trajectory is all that is read."""
    training = replace(config.training, **changes)  # type: ignore[arg-type]
    return replace(config, training=training, readouts=(), snapshots=(), constructed=None)


def _contracted(config: EPPlateauConfig, **changes: object) -> EPPlateauConfig:
    """Other constants of the contraction machinery."""
    assert config.training.contraction is not None
    contraction = replace(config.training.contraction, **changes)  # type: ignore[arg-type]
    return _trained(config, contraction=contraction)


def _continued(
    config: EPPlateauConfig, kind: str, steps: int, swapped: str = "frozen", **changes: object
) -> EPPlateauConfig:
    """A run that begins where the document's own ended, or at the plateau point."""
    start = StartConfig(kind=kind, source=config, swapped=swapped)  # type: ignore[arg-type]
    every = max(1, steps // 20)
    while steps % every:
        every -= 1
    return replace(
        config,
        start=start,
        training=replace(config.training, steps=steps, warmup=0, **changes),  # type: ignore[arg-type]
        readouts=(),
        snapshots=(),
        constructed=None,
        validate_every=every,
        record_every=every,
    )


def _decoder(config: EPPlateauConfig, **changes: int) -> EPPlateauConfig:
    """The standard decoder of the same shape, by backpropagation."""
    own = config.model
    shape = {"width": own.width, "context": own.context, "n_heads": own.n_heads} | changes
    model = TransformerConfig(**shape, expansion=own.expansion, embedding_std=own.embedding_std)
    training = replace(config.training, estimator=BackpropagationConfig(), contraction=None)
    return replace(
        config,
        model=model,
        training=training,
        readouts=("mixing",),
        snapshots=(),
        constructed=None,
    )


def _context(config: EPPlateauConfig, divisor: int) -> EPPlateauConfig:
    """The same run on windows that are shorter by a factor; as many windows in a batch."""
    length = config.model.context // divisor
    bins = min(config.position_bins, length)
    model = replace(config.model, context=length)
    distances = tuple(distance for distance in config.distances if distance < length)
    return replace(config, model=model, position_bins=bins, distances=distances)


def _swap(name: str) -> Arm:
    # Which estimator it is belongs to the start: its phases are those of the plateau point.
    return lambda config: _continued(config, "plateau", config.swap_steps, swapped=name)


def _grid(name: str) -> Arm:
    return lambda config: _continued(
        config, "published", config.grid_steps, contraction=GRID[name](config)
    )


def _estimated(name: str) -> Arm:
    return lambda config: _trained(config, estimator=estimators(config)[name])


def _tight(config: EPPlateauConfig) -> EPPlateauConfig:
    assert config.training.contraction is not None
    return _contracted(config, target_residual=TIGHT * config.training.contraction.target_residual)


ARMS: dict[str, Arm] = {
    "published": lambda config: config,
    "bp": _decoder,
    "bp_wide": lambda config: _decoder(config, width=2 * config.model.width),
    # Exact gradients under the same controller, exp3; each operating point also ten times tighter.
    "bptt": _estimated("bptt"),
    "ep_tight": _tight,
    "bptt_tight": lambda config: _tight(_estimated("bptt")(config)),
    # The correction that moves along, from the start; the learning rate said to explode.
    "tracking": _estimated("tracking"),
    "lr_9e-4": lambda config: _trained(config, learning_rate=9 / 8 * config.training.learning_rate),
    # Warm-up against gate, exp4.
    **GATE_ARMS,
    # The regulariser's constants, exp5.
    **{name: _grid(name) for name in GRID},
    # The estimator swapped at the plateau point, all else kept.
    "swap_frozen": _swap("frozen"),
    "swap_tracking": _swap("tracking"),
    "swap_adjoint": _swap("adjoint"),
    "swap_bptt": _swap("bptt"),
    # Shorter windows.
    "context_64": lambda config: _context(_trained(config), 4),
    "context_128": lambda config: _context(_trained(config), 2),
    "bp_context_64": lambda config: _context(_decoder(config), 4),
    "bp_context_128": lambda config: _context(_decoder(config), 2),
}
"""Variants of a configuration, by name."""
