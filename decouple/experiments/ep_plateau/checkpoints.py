"""Training one arm and measuring it, kept so that either can be taken up where it stopped.

The document's own run is the start of several arms. Whichever process needs it first trains it,
under a lock; the others wait and read.
"""

import functools
import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import torch
from filelock import FileLock
from torch import Tensor, nn

from decouple.data import corpus_fingerprint, tokenizer_fingerprint
from decouple.experiments.ep_plateau.config import EPPlateauConfig
from decouple.experiments.ep_plateau.preparation import ORDER, Data, stream
from decouple.experiments.ep_plateau.rows import Row
from decouple.training.checkpoint import load_checkpoint, save_checkpoint
from decouple.training.equilibrium_trainer import EquilibriumTrainer

Progress: TypeAlias = Callable[[int, int, str], None]
Weights: TypeAlias = dict[str, Tensor]

PARTS = ("data", "models", "training", "experiments/ep_plateau")
"""Where the code lies that decides what training gives."""

READING = ("metrics",)
"""Where more of the code lies that decides what is read off it."""


@dataclass(frozen=True, slots=True)
class Trained:
    """What a training leaves behind."""

    status: str
    """`finished`, or how it ended."""

    steps: int
    """Steps taken."""

    history: list[list[float]]
    """(steps, metrics) as `equilibrium_trainer_record.METRICS` names them."""

    validation: dict[int, float]
    """Held-out loss by step."""

    snapshots: dict[int, Weights]
    """Weights as they are measured, by step; the last step always among them."""

    @property
    def last(self) -> Weights:
        """Weights at the end."""
        return self.snapshots[max(self.snapshots)]


def train(
    config: EPPlateauConfig,
    model: nn.Module,
    data: Data,
    seed: int,
    *,
    checkpoint: Path,
    identity: str,
    progress: Progress | None = None,
) -> Trained:
    """Train a model as an arm has it, measuring and keeping weights on the way.

    Args:
        config: Configuration of the arm.
        model: Where to begin; trained in place.
        data: Windows to train and to measure on.
        seed: Replicate; decides the order of the windows.
        checkpoint: File that holds the state every `training.checkpoint_every` steps; a run that
            finds its own state there goes on from it. Left in place for the caller to remove.
        identity: Says which run the checkpoint belongs to.
        progress: Called at every measurement.
    """
    trainer = EquilibriumTrainer(config.training, model, data.train, stream(seed, ORDER))
    validation: dict[int, float] = {}
    snapshots: dict[int, Weights] = {}
    state = load_checkpoint(checkpoint, identity, config.device)
    if state is not None:
        trainer.load_state_dict(state["trainer"])
        validation, snapshots = state["validation"], state["snapshots"]

    def measure() -> None:
        if trainer.step in validation and trainer.step in snapshots:
            return
        last = trainer.step == config.training.steps or trainer.status != "running"
        if trainer.step % config.validate_every == 0 or last:
            loss = trainer.held_out(data.validation, weights=config.weights).loss
            if math.isfinite(loss):  # weights that have diverged have no loss
                validation[trainer.step] = loss
        if trainer.step in config.snapshots or last:
            with trainer.weights(config.weights):
                snapshots[trainer.step] = {
                    name: value.detach().clone() for name, value in model.named_parameters()
                }

    measure()
    for step in _milestones(config):
        if step <= trainer.step or trainer.status != "running":
            continue
        trainer.run(until=step)
        measure()
        if step % config.training.checkpoint_every == 0:
            content: dict[str, Any] = {
                "trainer": trainer.state_dict(),
                "validation": validation,
                "snapshots": snapshots,
            }
            save_checkpoint(checkpoint, identity, content)
        if progress is not None:
            progress(trainer.step, config.training.steps, f"loss {validation[max(validation)]:.4f}")
    return Trained(trainer.status, len(trainer.history), trainer.history, validation, snapshots)


def _milestones(config: EPPlateauConfig) -> list[int]:
    """Steps at which training pauses to measure, to keep weights or to save its state."""
    steps = config.training.steps
    pauses = {*range(0, steps, config.validate_every), *config.snapshots, steps}
    pauses |= set(range(0, steps, config.training.checkpoint_every))
    return sorted(step for step in pauses if 0 < step <= steps)


def train_once(
    config: EPPlateauConfig,
    build: Callable[[], nn.Module],
    data: Data,
    seed: int,
    folder: Path,
    progress: Progress | None = None,
) -> Trained:
    """The training of an arm from a folder, or made now and kept there, once for all processes.

    Args:
        config: Configuration of the arm.
        build: Makes the model to begin with.
        data: Windows.
        seed: Replicate.
        folder: Where it is kept.
        progress: Called at every measurement.
    """
    identity = _identity(config, seed)
    name = f"trained-{identity[:24]}"
    kept, unfinished = folder / f"{name}.pt", folder / f"{name}.unfinished.pt"
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / f"{name}.lock"):
        state = load_checkpoint(kept, identity, config.device)
        if state is None:
            trained = train(
                config,
                build(),
                data,
                seed,
                checkpoint=unfinished,
                identity=identity,
                progress=progress,
            )
            state = {name: getattr(trained, name) for name in Trained.__slots__}
            save_checkpoint(kept, identity, state)
            unfinished.unlink(missing_ok=True)
        return Trained(**state)


def measure_once(
    config: EPPlateauConfig,
    stages: Mapping[str, Callable[[], Sequence[Row]]],
    seed: int,
    folder: Path,
    progress: Progress | None = None,
) -> list[Row]:
    """Rows of several readouts, each kept in a folder as soon as it is there.

    A readout reads weights that are kept too and nothing that another leaves behind, so that one
    which was interrupted begins again and those before it are not made twice.

    Args:
        config: Configuration of the arm.
        stages: Readouts in their order, by name.
        seed: Replicate.
        folder: Where rows are kept.
        progress: Called after each with the number done, the number of all and its name.
    """
    parts = (_identity(config, seed), config, tuple(stages), _code(READING))
    identity = hashlib.sha256(repr(parts).encode()).hexdigest()
    path = folder / f"read-{identity[:24]}.pt"
    kept: dict[str, list[list[Any]]] = load_checkpoint(path, identity, "cpu") or {}
    for done, (name, stage) in enumerate(stages.items(), start=1):
        if name not in kept:
            kept[name] = [list(row) for row in stage()]
            save_checkpoint(path, identity, kept)
        if progress is not None:
            progress(done, len(stages), name)
    return [Row(*values) for name in stages for values in kept[name]]


@torch.no_grad()
def load_weights(model: nn.Module, weights: Weights) -> None:
    """Put weights that were kept into a model."""
    for name, value in model.named_parameters():
        value.copy_(weights[name])


def _identity(config: EPPlateauConfig, seed: int) -> str:
    """Digest of all that decides what training gives."""
    parts: Sequence[object] = (
        corpus_fingerprint(config.corpus),
        tokenizer_fingerprint(config.tokenizer),
        config.model,
        config.training,
        config.start,
        config.weights,
        config.snapshots,
        config.validate_every,
        config.held_out_fraction,
        config.held_out_windows,
        config.threads,
        config.device,
        seed,
        torch.__version__,
        _code(PARTS),
    )
    return hashlib.sha256(repr(parts).encode()).hexdigest()


@functools.cache
def _code(parts: tuple[str, ...]) -> str:
    """Digest of the sources in some folders: what they make and is kept must not outlive them."""
    root = Path(__file__).parents[2]
    digest = hashlib.sha256()
    for part in parts:
        for file in sorted((root / part).rglob("*.py")):
            digest.update(file.read_bytes())
    return digest.hexdigest()
