"""Configuration, presets and arms of the routing-collapse experiment; imports no torch."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal

from decouple.data import CorpusConfig, TokenizerConfig
from decouple.models.moe_config import MoEConfig

ORDERS = ("sequential", "shuffled", "iid")
DEVICES = ("cpu", "cuda")


@dataclass(frozen=True, kw_only=True, slots=True)
class RoutingCollapseConfig:
    """One run: a routed language model, the text it is trained on, and how.

    The defaults are the published run [doc: Training Protocol] where the document says, and ours
    where it is silent.
    """

    corpus: CorpusConfig = field(default_factory=CorpusConfig)
    """Text, cut into one contiguous chunk per cycle; the document's own novel is not public."""

    tokenizer: TokenizerConfig = field(default_factory=TokenizerConfig)
    """Tokenizer; GPT-2's at the published size [doc: Model]."""

    model: MoEConfig = field(default_factory=MoEConfig)
    """Shape of the model [doc: Model]; its context is also the block length of training."""

    cycles: int = 12
    """Update cycles, one chunk each [doc]; 0 measures the untrained model only."""

    steps_per_cycle: int = 300
    """Optimiser steps in each cycle [doc]."""

    batch: int = 8
    """Windows in a batch [doc]."""

    learning_rate: float = 3e-4
    """Step size of AdamW [doc]; 0 trains nothing and is the null of every change."""

    weight_decay: float = 0.01
    """Decoupled weight decay of AdamW [doc]."""

    order: Literal["sequential", "shuffled", "iid"] = "sequential"
    """Chunk after chunk [doc], chunks in random order, or the same windows in random order."""

    balancing: float = 0.0
    """Weight of each layer's load-balancing loss; the document uses none."""

    frozen_router: bool = False
    """Keep the routers at their initial values [ours]."""

    held_out_fraction: float = 0.1
    """Part of the tokens, at the end of the text, that is never trained on [ours]."""

    held_out_windows: int = 64
    """Held-out windows at which every measurement is taken, the same for all seeds [ours]."""

    outlier_step: float = 0.5
    """Length of the outlier update relative to the dominant expert's weights [ours]."""

    recovery_steps: tuple[int, ...] = (25, 75, 150, 300)
    """Training steps after which recovery from losing the dominant expert is measured [ours]."""

    group: int = 10
    """Seeds trained together, as one more dimension of every tensor [ours]."""

    threads: int = 1
    """CPU threads within one operation; with the group it fixes the last bits [ours]."""

    device: Literal["cpu", "cuda"] = "cpu"
    """Where the model trains [ours]."""

    def __post_init__(self) -> None:
        """Refuse values no run can have."""
        at_least = {"cycles": 0, "steps_per_cycle": 1, "batch": 1, "held_out_windows": 1}
        at_least |= {"group": 1, "threads": 1}
        for name, minimum in at_least.items():
            if getattr(self, name) < minimum:
                raise ValueError(f"{name} must be at least {minimum}, got {getattr(self, name)}")
        if self.model.n_experts < 2:
            raise ValueError(
                f"model.n_experts must be at least 2 to route between, got {self.model.n_experts}"
            )
        for name in ("learning_rate", "weight_decay", "balancing", "outlier_step"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"{name} must be finite and not negative, got {value}")
        if not 0 < self.held_out_fraction < 1:
            raise ValueError(
                f"held_out_fraction must be between 0 and 1, got {self.held_out_fraction}"
            )
        if self.order not in ORDERS:
            raise ValueError(f"order must be one of {', '.join(ORDERS)}, got {self.order!r}")
        if self.device not in DEVICES:
            raise ValueError(f"device must be one of {', '.join(DEVICES)}, got {self.device!r}")
        steps = self.recovery_steps
        if list(steps) != sorted(set(steps)) or any(
            not 1 <= step <= self.steps_per_cycle for step in steps
        ):
            raise ValueError(
                "recovery_steps must increase and lie between 1 and "
                f"steps_per_cycle={self.steps_per_cycle}, got {steps}"
            )


def published() -> RoutingCollapseConfig:
    """The published scale, ten seeds at once on a GPU."""
    return RoutingCollapseConfig(
        # Some 580,000 GPT-2 tokens, so that a cycle sees its chunk about seven times [calc].
        corpus=CorpusConfig(words=300_000),
        tokenizer=TokenizerConfig(kind="gpt2"),
        device="cuda",
    )


def short() -> RoutingCollapseConfig:
    """The published model on a tenth of the steps; never fills the published-scale verdict."""
    return replace(published(), steps_per_cycle=30, recovery_steps=(3, 8, 15, 30))


def smoke() -> RoutingCollapseConfig:
    """Small enough for continuous integration: seconds on one CPU core for five seeds."""
    return RoutingCollapseConfig(
        corpus=CorpusConfig(words=30_000),
        tokenizer=TokenizerConfig(kind="bpe", vocab_size=512),
        model=MoEConfig(width=32, context=32),
        steps_per_cycle=15,
        # Five times faster and the routers still collapse, but the deepest layer then carries so
        # little of the loss that what its experts are worth cannot be told from noise.
        learning_rate=2e-3,
        held_out_windows=24,
        recovery_steps=(1, 4),  # no smoke claim reads recovery; a full cycle costs a sixth of a run
        group=5,
    )


PRESETS: dict[str, Callable[[], RoutingCollapseConfig]] = {
    "published": published,
    "short": short,
    "smoke": smoke,
}
"""Named configurations of the published arm."""

TIERS = {"gpu": "published", "smoke": "smoke"}
"""Preset that speaks for each tier."""


def _model(config: RoutingCollapseConfig, **changes: object) -> RoutingCollapseConfig:
    return replace(config, model=replace(config.model, **changes))  # type: ignore[arg-type]


ARMS: dict[str, Callable[[RoutingCollapseConfig], RoutingCollapseConfig]] = {
    "published": lambda config: config,
    # The order of the data, which the document names as the cause.
    "iid": lambda config: replace(config, order="iid"),
    "shuffled": lambda config: replace(config, order="shuffled"),
    # Routers pushed towards even use.
    "load_balanced_0.01": lambda config: replace(config, balancing=0.01),
    "load_balanced_0.1": lambda config: replace(config, balancing=0.1),
    "load_balanced_1.0": lambda config: replace(config, balancing=1.0),
    # Pieces of the model that could drive the collapse; 0.02 is GPT-2's initialisation.
    "small_embedding": lambda config: _model(config, embedding_std=0.02),
    "no_final_norm": lambda config: _model(config, final_norm=False),
    "frozen_router": lambda config: replace(config, frozen_router=True),
    "with_attention": lambda config: _model(config, attention=True),
    "dense": lambda config: _model(config, top_k=config.model.n_experts),
    "one_layer": lambda config: _model(config, n_layers=1),
    # Nulls of change and of the uniform start.
    "no_updates": lambda config: replace(config, learning_rate=0.0),
    "sharp_router": lambda config: replace(_model(config, router_scale=8.0), cycles=0),
}
"""Variants of a configuration, by name."""
