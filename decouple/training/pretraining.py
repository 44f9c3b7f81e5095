"""Pretraining of a GPT-2 from random weights, on a CPU in a minute or on a GPU in minutes.

The text lies on the device as one row of tokens, and all windows are drawn before the first step:
nothing in the loop waits for the device, and a run that was interrupted goes on bit by bit.
"""

import hashlib
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import GPT2LMHeadModel

from decouple.models.gpt2 import build_gpt2
from decouple.training.checkpoint import load_checkpoint, save_checkpoint
from decouple.training.ensemble import make_optimizer
from decouple.training.numerics import cpu_numerics
from decouple.training.pretraining_config import PretrainingConfig, learning_rate_at

Progress = Callable[[int, int, str], None]
"""(steps done, steps in all, note)."""

# Streams of randomness of a seed.
INITIALISATION, WINDOWS = range(2)


@dataclass(frozen=True, kw_only=True, slots=True)
class PretrainingResult:
    """What pretraining leaves behind."""

    model: GPT2LMHeadModel
    """The trained model, on its device."""

    losses: list[float]
    """Mean training loss of every `check_every` steps, in nats per token."""

    held_out_loss: float
    """Mean cross-entropy on the held-out windows, in float32, in nats per token."""

    status: str
    """`finished`, or at which step the loss was no longer finite."""


def pretrain(
    config: PretrainingConfig,
    tokens: np.ndarray,
    held_out: np.ndarray,
    *,
    checkpoint: Path | None = None,
    progress: Progress | None = None,
) -> PretrainingResult:
    """Train a new model to predict the next token.

    Args:
        config: Shape, steps and schedule.
        tokens: (N,) token ids of the text.
        held_out: (n, T + 1) windows that the text does not hold.
        checkpoint: File for the state of an unfinished run; one that is found there is taken up.
            Left in place for the caller to remove.
        progress: Called at every check.

    Returns:
        Model, losses and status.

    Raises:
        ValueError: The text is too short, or holds a token that the model has no row for.
        RuntimeError: The configured device is not there.
    """
    if len(tokens) < config.block + 1:
        raise ValueError(
            f"tokens must hold at least block + 1 = {config.block + 1} tokens, got {len(tokens)}"
        )
    vocab_size = config.shape.vocab_size
    for name, ids in (("tokens", tokens), ("held_out", held_out)):
        if ids.min() < 0 or ids.max() >= vocab_size:
            raise ValueError(
                f"{name} must lie in [0, {vocab_size}), got {ids.min()} to {ids.max()}"
            )
    check_device(config)
    with cpu_numerics(config.threads):
        trainer = _Trainer(config, tokens)
        status = trainer.run(_identity(config, tokens), checkpoint, progress)
        loss = _held_out_loss(trainer.model, torch.from_numpy(held_out), config)
    return PretrainingResult(
        model=trainer.model, losses=trainer.history, held_out_loss=loss, status=status
    )


def check_device(config: PretrainingConfig) -> None:
    """Refuse a device that is not there.

    Raises:
        RuntimeError: There is no such device.
    """
    if config.device == "cuda" and not torch.cuda.is_available():
        raise RuntimeError("device='cuda' is configured, but torch finds no CUDA device")


class _Trainer:
    """Model, optimiser and text of a run."""

    def __init__(self, config: PretrainingConfig, tokens: np.ndarray) -> None:
        self.config = config
        entropy = np.random.SeedSequence([config.seed, INITIALISATION]).generate_state(1, np.uint64)
        generator = torch.Generator().manual_seed(int(entropy[0]))
        # The fused attention: nothing here is mapped over models.
        self.model = build_gpt2(config.shape, generator, attention="sdpa")
        module: nn.Module = self.model  # whose `to` is typed
        module.to(config.device)
        self.optimizer = make_optimizer(
            dict(self.model.named_parameters()),
            learning_rate=config.learning_rate,
            weight_decay=config.weight_decay,
        )
        offsets = np.random.default_rng([config.seed, WINDOWS]).integers(
            len(tokens) - config.block, size=(config.steps, config.batch)
        )
        self.tokens = torch.from_numpy(tokens.astype(np.int32)).to(config.device)  # (N,)
        self.offsets = torch.from_numpy(offsets).to(config.device)  # (steps, B)
        self.within = torch.arange(config.block + 1, device=config.device)  # (T + 1,)
        self.loss: Callable[[Tensor], Tensor] = self._loss
        if config.compiled:
            self.loss = torch.compile(self._loss)
        self.step = 0
        self.history: list[float] = []

    def run(self, identity: str, checkpoint: Path | None, progress: Progress | None) -> str:
        """Take the steps that are left; returns the status."""
        config = self.config
        if checkpoint is not None:
            state = load_checkpoint(checkpoint, identity, config.device)
            if state is not None:
                self._load_state_dict(state)
        while self.step < config.steps:
            steps = min(config.check_every, config.steps - self.step)
            losses = torch.stack([self._train_step() for _ in range(steps)]).double()
            mean = losses.mean().item()
            if not np.isfinite(mean):
                bad = int(losses.isfinite().logical_not().nonzero()[0])
                return f"diverged at step {self.step - steps + bad + 1}: loss is {losses[bad]}"
            self.history.append(mean)
            if checkpoint is not None and self.step % config.checkpoint_every == 0:
                save_checkpoint(checkpoint, identity, self._state_dict())
            if progress is not None:
                progress(self.step, config.steps, f"loss {mean:.3f}")
        return "finished"

    def _train_step(self) -> Tensor:
        """One step of AdamW; returns the loss before it, on the device."""
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate_at(self.config, self.step)
        windows = self.tokens[self.offsets[self.step, :, None] + self.within].long()  # (B, T + 1)
        loss = self.loss(windows)
        self.optimizer.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip)
        self.optimizer.step()
        self.step += 1
        return loss.detach()

    def _loss(self, windows: Tensor) -> Tensor:
        low = torch.autocast(self.config.device, torch.bfloat16)
        with low if self.config.bfloat16 else nullcontext():
            logits = self.model(windows[:, :-1]).logits  # (B, T, V)
        return F.cross_entropy(logits.float().flatten(0, 1), windows[:, 1:].flatten())

    def _state_dict(self) -> dict[str, Any]:
        return {
            "step": self.step,
            "history": self.history,
            "parameters": {n: value.detach() for n, value in self.model.named_parameters()},
            "optimizer": self.optimizer.state_dict(),
        }

    @torch.no_grad()
    def _load_state_dict(self, state: dict[str, Any]) -> None:
        self.step, self.history = state["step"], list(state["history"])
        for name, parameter in self.model.named_parameters():
            parameter.copy_(state["parameters"][name])
        self.optimizer.load_state_dict(state["optimizer"])


@torch.no_grad()
def _held_out_loss(model: GPT2LMHeadModel, windows: Tensor, config: PretrainingConfig) -> float:
    """Mean cross-entropy of windows (n, T + 1), batch by batch."""
    total = torch.zeros((), dtype=torch.float64, device=config.device)
    for batch in torch.split(windows.to(config.device, torch.int64), config.batch):
        logits = model(batch[:, :-1]).logits
        loss = F.cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten(), reduction="sum")
        total += loss.double()
    return total.item() / windows[:, 1:].numel()


def _identity(config: PretrainingConfig, tokens: np.ndarray) -> str:
    """Digest of all that decides how a run goes on from a checkpoint, short of the code."""
    digest = hashlib.sha256(repr((config, torch.__version__)).encode())
    digest.update(np.ascontiguousarray(tokens).data)
    return digest.hexdigest()
