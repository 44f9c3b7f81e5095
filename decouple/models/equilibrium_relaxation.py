"""Relaxation of the equilibrium transformer to its fixed point, sample by sample.

    z ← z + ε F(z),   until ‖F(z)‖ / ‖z‖ ≤ tolerance or T1 steps are done

Each sample stops by itself and does not move again, so that its fixed point is the same whatever it
shares a batch with. The host learns late, or on a GPU asynchronously, that all have stopped: steps
taken meanwhile move nothing.
"""

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor

from decouple.models.equilibrium import EquilibriumTransformer
from decouple.models.equilibrium_config import RelaxationConfig

SPECIALISATIONS = 64
"""Graphs of one step that a process may hold: one for each shape, tolerance and kind of block."""


class Relaxation(NamedTuple):
    """A relaxed state and how it was reached."""

    state: Tensor
    """(B, T, C)."""

    residual: Tensor
    """(B,) force residual ‖F(z)‖ / ‖z‖ at the state; the step residual is ε times this."""

    steps: Tensor
    """(B,) steps in which the sample moved."""

    trace: Tensor
    """(evaluations, 2) mean and worst force residual of the batch at each step, the last at the
    state itself."""

    evaluations: int
    """Force evaluations of the whole batch."""


def sample_norm(vector: Tensor) -> Tensor:
    """Euclidean norm of each sample: (..., T, C), real or complex, to (...)."""
    norm: Tensor = torch.linalg.vector_norm(vector, dim=(-2, -1))
    return norm


def relative_norm(vector: Tensor, reference: Tensor) -> Tensor:
    """‖vector‖ / ‖reference‖ of each sample: (..., T, C) to (...)."""
    return sample_norm(vector) / sample_norm(reference)


@torch.no_grad()
def relax(
    model: EquilibriumTransformer,
    inputs: Tensor,
    config: RelaxationConfig,
    *,
    start: Tensor | None = None,
) -> Relaxation:
    """Follow the force to where it vanishes.

    Args:
        model: The block.
        inputs: x (B, T, C).
        config: Number of steps, tolerance, arithmetic.
        start: State (B, T, C) to begin in; the block's own start if None.
    """
    step = compiled(relaxation_step, inputs.device.type) if config.compiled else relaxation_step
    inputs = inputs.detach()
    state = model.start(inputs) if start is None else start.detach()
    moving = torch.ones(len(inputs), dtype=torch.bool, device=inputs.device)
    steps = torch.zeros(len(inputs), dtype=torch.int64, device=inputs.device)
    trace: list[Tensor] = []

    def descend(tolerance: float, budget: int) -> None:
        nonlocal state, moving, steps
        all_stopped = AllStopped(tolerance)
        for _ in range(budget):
            state, moving, residual = step(model, state, inputs, moving, tolerance)
            steps = steps + moving
            trace.append(residual)
            if all_stopped(moving):
                break

    budget = config.steps
    if config.coarse is not None:
        # A share fixed beforehand: what one sample needs must not shorten another's polish.
        budget -= config.steps // 2
        with coarse_products(config.coarse, inputs.device.type):
            descend(config.coarse_tolerance, config.steps // 2)
        moving = torch.ones_like(moving)
    descend(config.tolerance, budget)
    residual = relative_norm(model.force(state, inputs), state)
    residuals = torch.stack([*trace, residual])
    return Relaxation(
        state=state,
        residual=residual,
        steps=steps,
        trace=torch.stack([residuals.mean(-1), residuals.amax(-1)], dim=-1),
        evaluations=len(residuals),
    )


def relaxation_step(
    model: EquilibriumTransformer, state: Tensor, inputs: Tensor, moving: Tensor, tolerance: float
) -> tuple[Tensor, Tensor, Tensor]:
    """One Euler step of the samples that still move: new state, who moved, residual before."""
    force = model.force(state, inputs)
    residual = relative_norm(force, state)
    moving = moving & ~(residual <= tolerance)  # a residual that is not a number never stops
    state = torch.where(moving[:, None, None], state + model.config.step * force, state)
    return state, moving, residual


class AllStopped:
    """Whether no sample moves any more, as far as the host knows without waiting for the device.

    On a GPU the answer is copied in the background and read once it has arrived, so the loop runs a
    few steps longer than it must, in which nothing moves. On a CPU it is read at once.
    """

    def __init__(self, tolerance: float) -> None:
        self.never = tolerance == 0
        self.flag: Tensor | None = None
        self.arrived: torch.cuda.Event | None = None

    def __call__(self, moving: Tensor) -> bool:
        """Ask, and on a GPU send the next question on its way."""
        if self.never:
            return False
        if not moving.is_cuda:
            return not bool(moving.any())
        if self.flag is None or self.arrived is None:
            self.flag = torch.ones((), dtype=torch.bool, pin_memory=True)
            self.arrived = torch.cuda.Event()  # type: ignore[no-untyped-call]
        elif not self.arrived.query():  # type: ignore[no-untyped-call]
            return False
        elif not self.flag.item():  # pinned host memory: nothing to wait for
            return True
        self.flag.copy_(moving.any(), non_blocking=True)
        self.arrived.record()
        return False


@contextmanager
def coarse_products(precision: str, device_type: str) -> Iterator[None]:
    """Let matrix products run in bfloat16 or, on CUDA, in TF32; the state stays as it is."""
    if precision == "bfloat16":
        with torch.autocast(device_type, dtype=torch.bfloat16):
            yield
        return
    if device_type != "cuda":
        yield
        return
    # Not `fp32_precision` alone: it disagrees with the older flag that torch's compiler also reads.
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


@functools.cache
def compiled(function: Callable[..., Any], device_type: str) -> Callable[..., Any]:
    """One graph for all of a step, replayed as a CUDA graph where there is a GPU.

    Args:
        function: Pure function of tensors, a model and constants.
        device_type: `cuda` asks for CUDA graphs.
    """
    # At torch's own limit of 8 the ninth shape of a run would be an error.
    limits = torch._dynamo.config
    limits.recompile_limit = max(limits.recompile_limit, SPECIALISATIONS)
    if device_type != "cuda":
        return torch.compile(function, fullgraph=True, dynamic=False)
    graph = torch.compile(function, fullgraph=True, dynamic=False, mode="reduce-overhead")

    @functools.wraps(function)
    def replay(*arguments: Any) -> Any:
        # The next replay overwrites what this one returns.
        torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]
        results = graph(*arguments)
        if isinstance(results, Tensor):
            return results.clone()
        return tuple(result.clone() for result in results)

    return replay
