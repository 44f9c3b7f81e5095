"""Fine-tuning in phases: which parameters move, how fast, and what is kept on the way.

Seeds train side by side as in `decouple.training.ensemble`. A phase names the groups of parameters
that it trains, all others stay bit for bit what they are, and begins with an optimiser of its own.
A run is measured and its state stored after every few epochs; one that is interrupted goes on from
the last state and ends exactly as if it had not been.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor
from torch.func import vmap

from decouple.training.checkpoint import load_checkpoint, save_checkpoint
from decouple.training.cycles import Progress, Row
from decouple.training.difference_checkpoint import (
    DamagedTensorError,
    pack,
    packed_bytes,
    unpack,
)
from decouple.training.divergence import FINISHED, sound, status_after
from decouple.training.ensemble import Loss, Parameters

PROGRESS_CALLS = 20
"""Reports of progress between two measurements."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Phase:
    """A stretch of training with one optimiser."""

    epochs: int
    """Passes over the data; a phase of none is left out."""

    every: int
    """Epochs between two measurements; divides the epochs."""

    rates: Mapping[str, float]
    """Step size of groups of parameters; a group that is not named, or at 0, is not trained."""

    cosine: frozenset[str] = frozenset()
    """Groups whose rate falls to 0 along half a cosine; the others keep theirs."""

    scale: tuple[float, float] = (1.0, 1.0)
    """Scale that the loss is handed at the start and at the end, on a straight line between."""

    def __post_init__(self) -> None:
        if self.epochs < 0 or self.every < 1 or self.epochs % self.every:
            raise ValueError(
                "every must be at least 1 and divide the epochs of a phase, "
                f"got every={self.every} and epochs={self.epochs}"
            )

    def scale_at(self, done: float) -> float:
        """Scale after a part of the phase, from 0 to 1."""
        start, end = self.scale
        return start + (end - start) * done


@dataclass(frozen=True, kw_only=True, slots=True)
class Moment:
    """Where a run stands when it is measured."""

    phase: int
    """Index of the phase; −1 before the first."""

    epoch: int
    """Epochs of the phase that are done."""

    scale: float
    """The scale that the phase has come to."""

    training_loss: Tensor | None
    """(S,) mean recorded loss since the last measurement; None before training."""

    stored_bytes: int
    """Bytes of parameters and optimiser state in the checkpoint, of all seeds together."""


START = Moment(phase=-1, epoch=0, scale=0.0, training_loss=None, stored_bytes=0)
"""Before anything is trained; nothing is stored yet."""

Evaluate: TypeAlias = Callable[[Moment, Parameters], list[list[Row]]]
"""Measures all seeds; returns the rows of each."""

Batches: TypeAlias = Callable[[int, int], tuple[Tensor, ...]]
"""(phase, epoch from 0) to the tensors of that epoch, each (S, steps, B, ...)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FineTuned:
    """What a run leaves behind."""

    parameters: Parameters
    """Trained parameters, (S, ...) by name."""

    rows: list[list[Row]]
    """Measurements of each seed in order, up to the last before it diverged."""

    status: list[str]
    """For each seed `finished`, or at which step it diverged and what became non-finite."""


class Leg(NamedTuple):
    """Training between two measurements."""

    phase: int
    """Index of the phase."""

    end: int
    """Epochs of the phase that are done after it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FineTuning:
    """All that decides a run but the parameters it starts from."""

    phases: Sequence[Phase]
    """In the order of training."""

    steps: int
    """Optimiser steps in an epoch."""

    batches: Batches
    """Tensors of an epoch."""

    loss: Loss
    """(parameters of one model, *tensors of one batch, scale) to objective and recorded loss."""

    evaluate: Evaluate
    """Measures all seeds: at the start, and after every few epochs."""

    group_of: Callable[[str], str | None]
    """Name of a parameter to its group; None for one that no phase trains."""

    base: Mapping[str, Tensor]
    """Parameters (...) that checkpoints are stored as differences from."""

    weight_decay: float
    """Decoupled weight decay of AdamW."""

    checkpoint: Path
    """File that holds the state after each measurement. A run that finds its own there goes on from
    it; it is left in place for the caller to remove."""

    identity: str
    """Says which run a checkpoint belongs to."""

    memory: Parameters = field(default_factory=dict)
    """Tensors that `evaluate` carries from one measurement to the next, empty at first. They are
    part of a checkpoint, and back in place before a run that is taken up goes on."""

    bfloat16: bool = False
    """Compute losses under autocast."""

    progress: Progress | None = None
    """Called several times between two measurements."""

    @property
    def legs(self) -> list[Leg]:
        """The stretches between measurements, in order."""
        return [
            Leg(index, end)
            for index, phase in enumerate(self.phases)
            for end in range(phase.every, phase.epochs + 1, phase.every)
        ]

    def steps_before(self, number: int) -> int:
        """Optimiser steps before a leg, counted over all phases."""
        return self.steps * sum(self.phases[leg.phase].every for leg in self.legs[:number])


def fine_tune(parameters: Parameters, run: FineTuning) -> FineTuned:
    """Train all seeds through the phases.

    A seed whose loss or parameters become non-finite is given up at the next measurement, and its
    rows up to the one before are kept. The others go on.

    Args:
        parameters: Stacked parameters (S, ...) by name; trained in place.
        run: Phases, data, loss and measurements.
    """
    state = _load(run, parameters)
    if state is None:
        n_seeds = len(next(iter(parameters.values())))
        state = {"legs": 0, "status": [FINISHED] * n_seeds, "moments": None}
        state["rows"] = run.evaluate(START, parameters)
    first, status, rows, moments = (state[key] for key in ("legs", "status", "rows", "moments"))
    optimizer = None
    for number, leg in enumerate(run.legs):
        begins = number == 0 or run.legs[number - 1].phase != leg.phase
        if number < first or FINISHED not in status:
            continue
        if optimizer is None or begins:
            optimizer = make_phase_optimizer(parameters, run, leg.phase)
            if number == first and not begins:
                _restore_moments(optimizer, moments)
        losses, after = _train(parameters, optimizer, run, number)
        status = status_after(status, losses, after, parameters, run.steps_before(number))
        packed = {
            "parameters": pack(parameters, run.base),
            "moments": pack(_moments(optimizer), {}),
        }
        phase = run.phases[leg.phase]
        moment = Moment(
            phase=leg.phase,
            epoch=leg.end,
            scale=phase.scale_at(leg.end / phase.epochs),
            training_loss=losses.double().mean(0),
            stored_bytes=sum(packed_bytes(part) for part in packed.values()),
        )
        if FINISHED in status:
            for seed, measured in enumerate(run.evaluate(moment, sound(parameters, status))):
                if status[seed] == FINISHED:
                    rows[seed] += measured
        packed["memory"] = pack(run.memory, {})
        state = {**packed, "legs": number + 1, "status": status, "rows": rows}
        save_checkpoint(run.checkpoint, run.identity, state)
    return FineTuned(parameters=parameters, rows=rows, status=status)


def make_phase_optimizer(
    parameters: Parameters, run: FineTuning, index: int
) -> torch.optim.AdamW | None:
    """AdamW over the groups that a phase trains, and over nothing else: decay moves no other.

    Args:
        parameters: Stacked parameters; from here on those that are trained require gradients and
            the others do not.
        run: Phases and groups.
        index: The phase.

    Returns:
        The optimiser, one parameter group for each rate above 0; None if nothing is trained.
    """
    rates = {group: rate for group, rate in run.phases[index].rates.items() if rate > 0}
    members: dict[str, list[Tensor]] = {group: [] for group in rates}
    for name, value in parameters.items():
        group = run.group_of(name)
        value.requires_grad_(group in rates)
        if group in rates:
            members[group].append(value)
    groups = [
        {"params": members[group], "lr": rate, "name": group, "rate": rate}
        for group, rate in rates.items()
        if members[group]
    ]
    if not groups:
        return None
    return torch.optim.AdamW(groups, weight_decay=run.weight_decay, fused=True)


def set_rates(optimizer: torch.optim.AdamW, phase: Phase, done: float) -> None:
    """Set the rates of those groups that follow a cosine, η (1 + cos π p) / 2.

    Args:
        optimizer: From `make_phase_optimizer`.
        phase: Its phase.
        done: Part p of the phase that is done, from 0 to 1.
    """
    for group in optimizer.param_groups:
        if group["name"] in phase.cosine:
            group["lr"] = group["rate"] * (1 + math.cos(math.pi * done)) / 2


def _train(
    parameters: Parameters, optimizer: torch.optim.AdamW | None, run: FineTuning, number: int
) -> tuple[Tensor, Tensor]:
    """Train one leg; nothing in the loop waits for the device.

    Returns:
        (steps, S) recorded losses, each before its update; and (S,) that of the last batch after.
    """
    leg = run.legs[number]
    phase = run.phases[leg.phase]
    device = next(iter(parameters.values())).device
    before = run.steps_before(number)
    every = max(1, phase.every * run.steps // PROGRESS_CALLS)
    history: list[Tensor] = []
    batch: list[Tensor] = []

    def losses(batch: Sequence[Tensor], scale: float) -> tuple[Tensor, Tensor]:
        with torch.autocast(device.type, torch.bfloat16, enabled=run.bfloat16):
            pair: tuple[Tensor, Tensor] = vmap(partial(run.loss, scale=scale))(parameters, *batch)
        return pair

    for epoch in range(leg.end - phase.every, leg.end):
        tensors = run.batches(leg.phase, epoch)
        for step in range(run.steps):
            done = (epoch * run.steps + step) / (phase.epochs * run.steps)
            batch = [tensor[:, step] for tensor in tensors]
            with torch.set_grad_enabled(optimizer is not None):
                objective, recorded = losses(batch, phase.scale_at(done))
            if optimizer is not None:
                set_rates(optimizer, phase, done)
                optimizer.zero_grad()
                torch.autograd.backward(objective.sum())
                optimizer.step()
            history.append(recorded.detach())
            if run.progress is not None and (len(history) % every == 0):
                total = run.steps_before(len(run.legs))
                note = f"phase {leg.phase + 1}, epoch {epoch + 1}/{phase.epochs}"
                run.progress(before + len(history), total, note)
    with torch.no_grad():
        after = losses(batch, phase.scale_at(leg.end / phase.epochs))[1]
    return torch.stack(history), after


def _moments(optimizer: torch.optim.AdamW | None) -> dict[str, Tensor]:
    """What an optimiser remembers, by the parameter's number and the moment's name."""
    remembered = {} if optimizer is None else optimizer.state_dict()["state"]
    return {
        f"{number}.{key}": value
        for number, moments in remembered.items()
        for key, value in moments.items()
    }


def _restore_moments(optimizer: torch.optim.AdamW | None, moments: Mapping[str, Tensor]) -> None:
    if optimizer is None:
        return
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in moments.items():
        number, _, key = name.partition(".")
        state.setdefault(int(number), {})[key] = value
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def _load(run: FineTuning, parameters: Parameters) -> dict[str, Any] | None:
    """The run's own state, its parameters already put in place; None if there is none to use."""
    state = load_checkpoint(run.checkpoint, run.identity, "cpu")
    if state is None:
        return None
    try:
        values = unpack(state.pop("parameters"), run.base)
        state["moments"] = unpack(state["moments"], {})
        memory = unpack(state.pop("memory"), {})
    except DamagedTensorError as error:
        # Starting afresh is always right.
        warnings.warn(f"checkpoint {run.checkpoint.name} ignored: {error}", stacklevel=3)
        return None
    device = next(iter(parameters.values())).device
    with torch.no_grad():
        for name, value in parameters.items():
            value.copy_(values[name])
    run.memory.update({name: value.to(device) for name, value in memory.items()})
    return state
