"""Named sizes of the campaign, from the published one to that of an automatic check; no torch.

Each is a configuration of the published arm, from which `arms` derives the others.
"""

from collections.abc import Callable
from dataclasses import replace

from decouple.data import CorpusConfig, TokenizerConfig
from decouple.experiments.ep_plateau.config import (
    ConstructedConfig,
    EPPlateauConfig,
    TriangulationConfig,
)
from decouple.experiments.ep_plateau.gate_config import SMOKE_GATE
from decouple.models.equilibrium_config import EquilibriumConfig, RelaxationConfig
from decouple.training.equilibrium_trainer_config import (
    ContractionConfig,
    EquilibriumTrainerConfig,
)
from decouple.training.estimators.config import EquilibriumPropagationConfig

RESIDUAL_ALONE = 1e30
"""Limit of growth and adjoint residual that nothing reaches: the document's gate knows neither."""


def _contraction() -> ContractionConfig:
    """The document's contraction machinery, whose gate looks at the free residual alone."""
    return ContractionConfig(gate_growth=RESIDUAL_ALONE, gate_adjoint=RESIDUAL_ALONE)


def published() -> EPPlateauConfig:
    """The published scale: one run of 20,000 steps on a GPU, in as many pieces as it takes."""
    # Tight enough that the free phase's error does not show, and on a GPU a step costs little.
    relaxation = RelaxationConfig(coarse="tf32", compiled=True)
    return EPPlateauConfig(
        training=EquilibriumTrainerConfig(
            estimator=EquilibriumPropagationConfig(relaxation=relaxation, compiled=True),
            contraction=_contraction(),
            checkpoint_every=100,
        ),
        readouts=("campaign",),
        triangulation=TriangulationConfig(batches_at_once=1, micro_batch=6),
        device="cuda",
    )


def short() -> EPPlateauConfig:
    """The published model for a tenth of the steps; never fills the published-scale verdict."""
    config = published()
    return replace(config, training=replace(config.training, steps=2000))


def minutes() -> EPPlateauConfig:
    """The published model for some hundred steps: a look at the start of the descent."""
    config = published()
    training = replace(config.training, steps=400, checkpoint_every=100)
    return replace(
        config, training=training, snapshots=(0, 200), validate_every=50, record_every=10
    )


def smoke() -> EPPlateauConfig:
    """Small enough for continuous integration: seconds on one CPU core for a seed."""
    relaxation = RelaxationConfig(tolerance=1e-4)
    return EPPlateauConfig(
        corpus=CorpusConfig(words=30_000),
        tokenizer=TokenizerConfig(kind="bpe", vocab_size=256),
        model=EquilibriumConfig(
            width=32,
            context=32,
            n_heads=4,
            leak=0.0,
            damping=1.0,
            step=0.7,
            norm="rms",
            activation="silu",
            embedding_std=0.5,
        ),
        training=EquilibriumTrainerConfig(
            estimator=EquilibriumPropagationConfig(relaxation=relaxation, steps=20),
            contraction=_contraction(),
            steps=40,
            batch=8,
            learning_rate=1e-2,
            warmup=5,
            average_decay=0.8,
            check_every=10,
            checkpoint_every=40,
        ),
        weights="average",  # of decay 0.8, which forgets the start within steps
        readouts=("campaign",),
        snapshots=(0, 20),
        record_every=1,
        validate_every=10,
        held_out_windows=32,
        triangulation=TriangulationConfig(
            batches=3,
            batch=8,
            horizon=80,
            long_horizon=160,
            long_batches=1,
            precision="float64",
            averaged=(1, 3),
        ),
        constructed=ConstructedConfig(),
        learning_rates=(1e-3, 1e-2),
        gate=SMOKE_GATE,
        influence_windows=4,
        influence_queries=2,
        grid_steps=30,
        swap_steps=20,
        distances=(1, 2, 4, 8, 16),
    )


PRESETS: dict[str, Callable[[], EPPlateauConfig]] = {
    "published": published,
    "short": short,
    "minutes": minutes,
    "smoke": smoke,
}
"""Size to the function that makes its configuration."""

TIERS = {"gpu": "published", "smoke": "smoke"}
"""Preset that speaks for each tier."""
