"""Configuration of the equilibrium-propagation campaign; imports no torch."""

import math
from dataclasses import dataclass, field
from typing import Literal

from decouple.data import CorpusConfig, TokenizerConfig
from decouple.experiments.ep_plateau.gate_config import GateConfig
from decouple.models.equilibrium_config import EquilibriumConfig
from decouple.models.transformer_config import TransformerConfig
from decouple.training.equilibrium_trainer_config import EquilibriumTrainerConfig

DEVICES = ("cpu", "cuda")
WEIGHTS = ("raw", "average")
PRECISIONS = ("float32", "float64")
STARTS = ("fresh", "published", "plateau")
READOUTS = ("campaign", "mixing", "gate")
ESTIMATORS = ("frozen", "tracking", "adjoint", "bptt")


@dataclass(frozen=True, kw_only=True, slots=True)
class StartConfig:
    """The weights that a run begins with."""

    kind: Literal["fresh", "published", "plateau"] = "fresh"
    """Freshly drawn, the last of the document's own run, or those at the plateau point."""

    source: "EPPlateauConfig | None" = None
    """Run that the weights come from; None for fresh ones."""

    swapped: Literal["frozen", "tracking", "adjoint", "bptt"] = "frozen"
    """Estimator that goes on from the plateau point [ours]."""

    up_factor: float = 1.0
    """Factor on the initial feed-forward input weights; large ones make a start that is not
    contractive [ours]."""

    def __post_init__(self) -> None:
        """Refuse starts that cannot be made."""
        if self.kind not in STARTS:
            raise ValueError(f"kind must be one of {', '.join(STARTS)}, got {self.kind!r}")
        if (self.kind == "fresh") != (self.source is None):
            raise ValueError(
                f"source must be given unless kind is 'fresh', and only then, got {self.kind!r}"
            )
        if self.swapped not in ESTIMATORS:
            raise ValueError(
                f"swapped must be one of {', '.join(ESTIMATORS)}, got {self.swapped!r}"
            )
        if not (math.isfinite(self.up_factor) and self.up_factor > 0):
            raise ValueError(f"up_factor must be positive and finite, got {self.up_factor}")


@dataclass(frozen=True, kw_only=True, slots=True)
class TriangulationConfig:
    """How gradients of the same weights are compared, exp1."""

    batches: int = 8
    """Held-out batches, each estimate's agreement with itself over all their pairs [ours]."""

    batch: int = 24
    """Windows in each of them [doc: section 0]."""

    horizon: int = 150
    """Steps K through which the reference gradient is backpropagated [doc: exp1]."""

    long_horizon: int = 400
    """Steps of the gradient that shows whether K was enough [doc: exp1]."""

    long_batches: int = 8
    """Batches on which the longer horizon is tried [ours]."""

    averaged: tuple[int, ...] = (1, 2, 4, 8)
    """Numbers of batches that both gradients are averaged over before they are compared [ours]."""

    batches_at_once: int | None = None
    """Batches that are relaxed and nudged at a time, to bound memory; None takes all [ours]."""

    micro_batch: int | None = None
    """Windows backpropagated through `horizon` steps at a time, to bound memory, and through more
    steps in proportion fewer; None takes all [ours]."""

    precision: Literal["float32", "float64"] = "float32"
    """Arithmetic of the comparison, whatever the training used [ours]."""

    def __post_init__(self) -> None:
        """Refuse comparisons of nothing."""
        if self.batches < 2:
            raise ValueError(f"batches must be at least 2 to make a pair, got {self.batches}")
        if self.batch < 1:
            raise ValueError(f"batch must be at least 1, got {self.batch}")
        if not 1 <= self.horizon < self.long_horizon:
            raise ValueError(
                f"horizon must be from 1 to below long_horizon={self.long_horizon}, "
                f"got {self.horizon}"
            )
        if list(self.averaged) != sorted(set(self.averaged)) or not all(
            1 <= count <= self.batches for count in self.averaged
        ):
            raise ValueError(
                f"averaged must increase from 1 to at most batches={self.batches}, "
                f"got {self.averaged}"
            )
        if not 1 <= self.long_batches <= self.batches:
            raise ValueError(
                f"long_batches must be from 1 to batches={self.batches}, got {self.long_batches}"
            )
        for name in ("batches_at_once", "micro_batch"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1 or None, got {value}")
        if self.precision not in PRECISIONS:
            raise ValueError(
                f"precision must be one of {', '.join(PRECISIONS)}, got {self.precision!r}"
            )

    @property
    def windows_at_once(self) -> int | None:
        """Windows that are relaxed at a time where they belong to no batch."""
        return None if self.batches_at_once is None else self.batches_at_once * self.batch


@dataclass(frozen=True, kw_only=True, slots=True)
class ConstructedConfig:
    """Recipe of a point at which the frozen correction collapses, from trained weights [ours]."""

    attention_factor: float = 8.0
    """Factor on the output weights of the attention: more of what is not symmetric."""

    margin: float = 0.98
    """Euler step ε as a part of the largest under which the free phase still converges."""

    tolerance: float = 1e-2
    """Force residual at which the free phase stops: what the gate lets through."""

    adjoint_residual: float = 0.5
    """Relative error of the adjoint equation that tracking may leave; it sets the nudge."""

    nudged_steps: int = 40
    """Euler steps T2 of every nudged phase [doc: section 0, t2sel]."""

    def __post_init__(self) -> None:
        """Refuse recipes that make no point."""
        for name in ("attention_factor", "margin", "tolerance", "adjoint_residual"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"{name} must be positive and finite, got {value}")
        if self.nudged_steps < 1:
            raise ValueError(f"nudged_steps must be at least 1, got {self.nudged_steps}")


@dataclass(frozen=True, kw_only=True, slots=True)
class EPPlateauConfig:
    """One run of the campaign: text, model, training, and what is read off it.

    The defaults are the published run where the document says, and ours where it is silent.
    """

    corpus: CorpusConfig = field(default_factory=lambda: CorpusConfig(words=1_500_000))
    """Text; the document's is TinyStories, to be given as a file."""

    tokenizer: TokenizerConfig = field(default_factory=lambda: TokenizerConfig(vocab_size=4096))
    """Tokenizer, trained on the text [doc: section 0, BPE-4096]."""

    model: EquilibriumConfig | TransformerConfig = field(default_factory=EquilibriumConfig)
    """Equilibrium block, or the standard decoder for the baseline [doc: section 0]."""

    training: EquilibriumTrainerConfig = field(default_factory=EquilibriumTrainerConfig)
    """Estimator, contraction machinery and schedule [doc: section 0]."""

    start: StartConfig = field(default_factory=StartConfig)
    """Weights that training begins with."""

    weights: Literal["raw", "average"] = "raw"
    """Weights that everything is measured on, in every arm. The document keeps an average of decay
    0.999 too, of which at step 200 four fifths would still be the start: what it prints of early
    steps cannot be of that [ours]."""

    readouts: tuple[str, ...] = ()
    """What is read off beside the trajectory: `campaign`, exp1, 2, 6 and 7 on an equilibrium
    block; `mixing`, exp7 alone; `gate`, exp4."""

    snapshots: tuple[int, ...] = (0, 200, 800, 2000)
    """Steps at which the weights are kept for exp1 and exp6 [doc: exp1]; the last always is."""

    record_every: int = 100
    """Steps between records of residual, regulariser and gate [ours]."""

    validate_every: int = 200
    """Steps between measurements of the held-out loss [ours]."""

    held_out_fraction: float = 0.05
    """Part of the tokens, at the end of the text, that is never trained on [ours]."""

    held_out_windows: int = 96
    """Held-out windows of the validation loss, the same for all seeds [ours]."""

    excursion_residual: float = 5e-2
    """Mean force residual above which a step counts as an excursion: between the gate and the fuse
    [ours, the document counts excursions without a threshold]."""

    triangulation: TriangulationConfig = field(default_factory=TriangulationConfig)
    """How gradients are compared."""

    constructed: ConstructedConfig | None = None
    """Recipe of the plateau point; None: the last checkpoint is the plateau point."""

    gate: GateConfig = field(default_factory=GateConfig)
    """Scale of the short runs about the gate."""

    grid_steps: int = 1200
    """Steps of each warm-started run of the regulariser's grid [doc: exp5]."""

    swap_steps: int = 1000
    """Steps of each run that goes on from the plateau point with another estimator [ours]."""

    learning_rates: tuple[float, ...] = (
        1e-6, 1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1,
    )  # fmt: skip
    """Step sizes of the one-step sweep [doc: exp2 names 1e-4, 3e-4 and 1e-2]."""

    distances: tuple[int, ...] = (1, 8, 16, 64, 200)
    """Distances at which influence is measured, in tokens [doc: exp7]."""

    position_bins: int = 8
    """Equal bins of positions for the loss by position [ours]."""

    influence_windows: int = 8
    """Held-out windows in which influence is measured [ours]."""

    influence_queries: int = 4
    """Positions of a window at which it is looked for [ours]."""

    perturbation: float = 1e-3
    """Length of the change of the input whose influence is measured, relative to it [ours]."""

    threads: int = 1
    """CPU threads within one operation; it fixes the last bits [ours]."""

    device: Literal["cpu", "cuda"] = "cpu"
    """Where the model trains [ours]."""

    def __post_init__(self) -> None:
        """Refuse values no run can have."""
        at_least = {"record_every": 1, "validate_every": 1, "held_out_windows": 1}
        at_least |= {"position_bins": 1, "threads": 1, "grid_steps": 1, "swap_steps": 1}
        at_least |= {"influence_windows": 1, "influence_queries": 1}
        for name, minimum in at_least.items():
            if getattr(self, name) < minimum:
                raise ValueError(f"{name} must be at least {minimum}, got {getattr(self, name)}")
        for name in ("excursion_residual", "perturbation"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"{name} must be positive and finite, got {value}")
        if not 0 < self.held_out_fraction < 1:
            raise ValueError(
                f"held_out_fraction must be between 0 and 1, got {self.held_out_fraction}"
            )
        for name, known in (("device", DEVICES), ("weights", WEIGHTS)):
            if getattr(self, name) not in known:
                raise ValueError(
                    f"{name} must be one of {', '.join(known)}, got {getattr(self, name)!r}"
                )
        unknown = [name for name in self.readouts if name not in READOUTS]
        if unknown:
            raise ValueError(f"readouts must be out of {', '.join(READOUTS)}, got {unknown}")
        for name in ("snapshots", "learning_rates", "distances"):
            values = getattr(self, name)
            if list(values) != sorted(set(values)) or any(value < 0 for value in values):
                raise ValueError(f"{name} must increase and not be negative, got {values}")
        for name in ("record_every", "validate_every"):
            if self.training.steps % getattr(self, name):
                raise ValueError(
                    f"{name} must divide training.steps={self.training.steps}, "
                    f"got {getattr(self, name)}"
                )
        if self.model.context % self.position_bins:
            raise ValueError(
                f"position_bins must divide model.context={self.model.context}, "
                f"got {self.position_bins}"
            )
        if isinstance(self.model, TransformerConfig):
            wrong = [name for name in self.readouts if name != "mixing"]
            if wrong:
                raise ValueError(f"readouts must be mixing alone for a decoder, got {wrong}")
        if isinstance(self.model, EquilibriumConfig) and self.training.contraction is None:
            raise ValueError(
                "training.contraction must be given for an equilibrium block, got None"
            )

    @property
    def descent(self) -> tuple[int, ...]:
        """Snapshots that the run reaches, without its last step."""
        return tuple(step for step in self.snapshots if step < self.training.steps)
