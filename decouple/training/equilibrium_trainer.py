"""Training of one model with the gradient estimator as a part to swap.

A step: draw a batch, estimate the task gradient, judge it, add the regulariser, update, average.
Nothing in it waits for the device; every `check_every` steps the host reads what happened. All that
a run is made of is saved together and at once, so a run stopped anywhere goes on bit by bit.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from decouple.models.equilibrium import EquilibriumTransformer
from decouple.models.equilibrium_relaxation import relax
from decouple.models.transformer import Transformer
from decouple.training.checkpoint import load_checkpoint, save_checkpoint
from decouple.training.contraction import (
    BLOCK_PARAMETERS,
    Controller,
    Fuse,
    ParameterAverage,
    jacobian_penalty,
    judge_estimate,
    rademacher,
)
from decouple.training.ensemble import make_optimizer
from decouple.training.equilibrium_trainer_config import (
    ContractionConfig,
    EquilibriumTrainerConfig,
)
from decouple.training.equilibrium_trainer_record import Intervention, read_rows, step_row
from decouple.training.estimators.base import Estimate
from decouple.training.estimators.config import BackpropagationConfig
from decouple.training.estimators.cost import Evaluations
from decouple.training.estimators.registry import make_estimator

Weights: TypeAlias = Literal["raw", "average"]
"""The parameters as last updated, or their moving average."""


class HeldOut(NamedTuple):
    """A measurement on text that is not trained on."""

    loss: float
    """Mean cross-entropy per token, in nats."""

    residual: float
    """Worst force residual of the windows; 0 where the model has no fixed point."""

    weights: Weights
    """Which weights were measured."""


class EquilibriumTrainer:
    """A model, its optimiser and all else that a training run remembers.

    Args:
        config: Estimator, contraction, schedule.
        model: Trained in place.
        windows: (n, T + 1) token ids on the device of the model; each epoch visits them in a new
            random order, and what is left over from whole batches is dropped.
        seed: Seed of the order of the data and of the regulariser's probes.

    Raises:
        TypeError: If the estimator is for another kind of model.
        ValueError: If there are fewer windows than a batch holds.
    """

    def __init__(
        self, config: EquilibriumTrainerConfig, model: nn.Module, windows: Tensor, seed: int
    ) -> None:
        plain = isinstance(config.estimator, BackpropagationConfig)
        needed = Transformer if plain else EquilibriumTransformer
        if not isinstance(model, needed):
            raise TypeError(
                f"model must be of type {needed.__name__} for {type(config.estimator).__name__}, "
                f"got {type(model).__name__}"
            )
        if len(windows) < config.batch:
            raise ValueError(
                f"windows must hold at least batch={config.batch} windows, got {len(windows)}"
            )
        self.config, self.model, self.windows = config, model, windows
        self.estimator = make_estimator(config.estimator)
        self.parameters: dict[str, Tensor] = dict(model.named_parameters())
        self.optimizer = make_optimizer(
            self.parameters, learning_rate=config.learning_rate, weight_decay=config.weight_decay
        )
        self.average = ParameterAverage(model, config.average_decay)
        device = windows.device
        if config.contraction is not None:
            self.controller = Controller(config.contraction, device)
            self.fuse = Fuse(config.contraction, device)
        self.order_generator = _stream(device, seed, 0)
        self.probe_generator = _stream(device, seed, 1)
        self.order = torch.empty(0, dtype=torch.int64, device=device)
        self.cursor = 0
        self.step = 0
        self.status = "running"
        self.history: list[list[float]] = []

    def run(
        self,
        *,
        until: int | None = None,
        checkpoint: Path | None = None,
        identity: str = "",
        progress: Callable[[int, int, str], None] | None = None,
    ) -> str:
        """Train to the end, to divergence or to a blown fuse, whichever comes first.

        Args:
            until: Step at which to pause, the status still `running`; None goes to the end.
            checkpoint: File that holds the state every `checkpoint_every` steps; a run that finds
                its own state there goes on from it. Left in place for the caller to remove.
            identity: Says which run the checkpoint belongs to; any difference makes it another.
            progress: Called at every check with steps done, steps in all and the last loss.

        Returns:
            Status: `running` if paused, `finished`, or with the cause `diverged at step …` or
            `fuse blown at step …`.
        """
        config = self.config
        if checkpoint is not None:
            state = load_checkpoint(checkpoint, identity, self.windows.device)
            if state is not None:
                self.load_state_dict(state)
        end = config.steps if until is None else min(until, config.steps)
        while self.status == "running" and self.step < end:
            steps = min(config.check_every, end - self.step)
            rows = [self.train_step() for _ in range(steps)]
            kept, ended = read_rows(
                torch.stack(rows).tolist(),
                first=self.step - steps + 1,
                contraction=config.contraction,
            )
            self.history += kept
            self.status = ended or self.status
            last = self.status != "running" or self.step == config.steps
            if checkpoint is not None and (last or self.step % config.checkpoint_every == 0):
                save_checkpoint(checkpoint, identity, self.state_dict())
            if progress is not None:
                note = f"loss {self.history[-1][0]:.4f}" if self.history else self.status
                progress(self.step, config.steps, note)
        if self.status == "running" and self.step == config.steps:
            self.status = "finished"
        return self.status

    def train_step(self) -> Tensor:
        """Take one optimiser step; returns the row of `METRICS` as a tensor on the device."""
        config = self.config
        warming = self.step - config.precontraction + 1
        rate = config.learning_rate
        if 0 < warming < config.warmup:
            rate *= warming / config.warmup
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        batch = self.next_batch()
        if self.step < config.precontraction:
            estimate = self._without_task(batch)
        else:
            estimate = self.estimator.estimate(self.model, batch)
        row = self._set_gradients(estimate)
        self.optimizer.step()
        self.average.update(self.model)
        self.step += 1
        return row

    def next_batch(self) -> Tensor:
        """Next batch (B, T + 1), from a new order of the windows where this one is used up."""
        if self.cursor + self.config.batch > len(self.order):
            self.order = torch.randperm(
                len(self.windows), generator=self.order_generator, device=self.windows.device
            )
            self.cursor = 0
        chosen = self.order[self.cursor : self.cursor + self.config.batch]
        self.cursor += self.config.batch
        return self.windows[chosen].long()

    def _without_task(self, batch: Tensor) -> Estimate:
        """Free phase and loss, no task gradient."""
        model = self.model
        assert isinstance(model, EquilibriumTransformer)  # the configuration has seen to it
        with torch.no_grad():
            free = relax(model, model.embed(batch[:, :-1]), self.estimator.relaxation)
            loss = model.cost(free.state, batch[:, 1:]).sum() / batch[:, 1:].numel()
        return Estimate(
            loss=loss,
            gradients={name: torch.zeros_like(p) for name, p in self.parameters.items()},
            state=free.state,
            residual=free.residual,
            free_trace=free.trace,
            nudged=None,
            evaluations=Evaluations(forces=free.evaluations),
        )

    def _set_gradients(self, estimate: Estimate) -> Tensor:
        """Hand the optimiser its gradients, and say in a row of `METRICS` what was done."""
        gradients = dict(estimate.gradients)
        done = Intervention.none(estimate.residual)
        if self.config.contraction is not None:
            done = self._contract(estimate, gradients, self.config.contraction)
        for name, parameter in self.parameters.items():
            parameter.grad = gradients[name]
        block = self.model if isinstance(self.model, EquilibriumTransformer) else None
        return step_row(estimate, done, gradients, 0.0 if block is None else block.config.step)

    def _contract(
        self, estimate: Estimate, gradients: dict[str, Tensor], config: ContractionConfig
    ) -> Intervention:
        """Judge the estimate and add the regulariser's to its gradients."""
        assert isinstance(self.model, EquilibriumTransformer)  # the configuration has seen to it
        assert estimate.state is not None
        verdicts = judge_estimate(estimate.residual, estimate.nudged, config, estimate.solution)
        # Chosen, not multiplied: a gradient that is refused may hold what is not a number. It
        # counts as zero, so what the optimiser remembers of earlier ones still moves weights.
        for name, g in gradients.items():
            gradients[name] = torch.where(verdicts.open, g, 0.0)
        weight = self.controller.weight
        probes = rademacher(estimate.state, config.probes, self.probe_generator)
        penalty = jacobian_penalty(self.model, estimate.state, probes)
        pulls = torch.autograd.grad(penalty, [self.parameters[name] for name in BLOCK_PARAMETERS])
        for name, pull in zip(BLOCK_PARAMETERS, pulls, strict=True):
            gradients[name] = gradients[name] + weight.to(pull.dtype) * pull
        self.controller.update(estimate.residual)
        return Intervention(
            free_valid=verdicts.free,
            nudged_valid=verdicts.nudged,
            weight=weight,
            penalty=penalty.detach(),
            blown=self.fuse.update(estimate.residual),
        )

    @contextmanager
    def weights(self, which: Weights) -> Iterator[None]:
        """Put the weights asked for into the model, and the trained ones back afterwards.

        Raises:
            ValueError: If there are no such weights.
        """
        if which not in ("raw", "average"):
            raise ValueError(f"weights must be one of raw, average, got {which!r}")
        if which == "raw":
            yield
            return
        trained = {name: value.detach().clone() for name, value in self.parameters.items()}
        self._put(self.average.values)
        try:
            yield
        finally:
            self._put(trained)

    @torch.no_grad()
    def _put(self, values: dict[str, Tensor]) -> None:
        for name, parameter in self.parameters.items():
            parameter.copy_(values[name])

    @torch.no_grad()
    def held_out(self, windows: Tensor, *, weights: Weights) -> HeldOut:
        """Measure the loss on windows (n, T + 1) with the weights asked for."""
        tokens, targets = windows[:, :-1].long(), windows[:, 1:].long()
        with self.weights(weights):
            if isinstance(self.model, EquilibriumTransformer):
                free = relax(self.model, self.model.embed(tokens), self.estimator.relaxation)
                loss = self.model.cost(free.state, targets).sum() / targets.numel()
                return HeldOut(loss.item(), free.residual.max().item(), weights)
            loss = F.cross_entropy(self.model(tokens).flatten(0, 1), targets.flatten())
            return HeldOut(loss.item(), 0.0, weights)

    def state_dict(self) -> dict[str, Any]:
        """All that the run remembers; the tensors are the run's own, not copies."""
        state = {
            "step": self.step,
            "status": self.status,
            "history": self.history,
            "order": self.order,
            "cursor": self.cursor,
            "parameters": {name: value.detach() for name, value in self.parameters.items()},
            "optimizer": self.optimizer.state_dict(),
            "average": self.average.state_dict(),
            "order_generator": self.order_generator.get_state(),
            "probe_generator": self.probe_generator.get_state(),
        }
        if self.config.contraction is not None:
            state["controller"] = self.controller.state_dict()
            state["fuse"] = self.fuse.state_dict()
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` gave."""
        self.step, self.status, self.cursor = state["step"], state["status"], state["cursor"]
        self.history = [list(row) for row in state["history"]]
        self.order = state["order"]
        self._put(state["parameters"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.average.load_state_dict(state["average"])
        self.order_generator.set_state(state["order_generator"].cpu())
        self.probe_generator.set_state(state["probe_generator"].cpu())
        if self.config.contraction is not None:
            self.controller.load_state_dict(state["controller"])
            self.fuse.load_state_dict(state["fuse"])


def _stream(device: torch.device, seed: int, stream: int) -> torch.Generator:
    """One of the independent streams of randomness of a seed."""
    entropy = np.random.SeedSequence([seed, stream]).generate_state(1, np.uint64)
    return torch.Generator(device).manual_seed(int(entropy[0]))
