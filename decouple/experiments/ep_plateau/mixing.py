"""How far the state mixes its input, and where in a window the loss is made, exp7.

Influence is a finite difference: the input of a position is changed by a short vector, the state is
found anew, and how much it moved elsewhere is compared with the length of the change. It is taken
in double precision with the equilibrium solved tightly, on a copy whose input is embedded here and
now, with the weights that are measured.
"""

import copy
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from decouple.experiments.ep_plateau.config import EPPlateauConfig
from decouple.experiments.ep_plateau.rows import Row
from decouple.metrics.influence import Influence, binned_loss, change_on_halving, influence
from decouple.metrics.language import token_cross_entropy
from decouple.models.equilibrium import EquilibriumTransformer
from decouple.models.equilibrium_config import RelaxationConfig
from decouple.models.equilibrium_relaxation import relax
from decouple.models.transformer import Transformer
from decouple.training.estimators.registry import make_estimator

Model = EquilibriumTransformer | Transformer

TIGHT = RelaxationConfig(steps=1500, tolerance=1e-10)
"""Free phase of the probe: its error has to vanish beside the change that is looked for."""

DIRECTIONS = 7
"""Seed of the directions in which inputs are changed, the same for all arms and seeds."""


class Probe(NamedTuple):
    """Influence by distance, and whether to trust it."""

    influence: Influence
    """(D,) each, averaged over windows and queries."""

    halving: float
    """Largest relative change over the distances when the change of the input is halved."""

    residual: float
    """Worst force residual of all states; 0 where the model has no fixed point."""


def embed(model: Model, tokens: Tensor) -> Tensor:
    """Input (B, T, C) of the first block: token plus position embedding, of these weights."""
    if isinstance(model, EquilibriumTransformer):
        return model.embed(tokens)
    return F.embedding(tokens, model.tokens) + model.positions[: tokens.shape[-1]]


def settle(
    model: Model, inputs: Tensor, relaxation: RelaxationConfig, *, start: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """State (B, T, C) that the head reads, and its force residual (B,).

    It is the fixed point of an equilibrium block, and of the standard decoder what leaves the final
    norm, with residual 0.

    Args:
        model: Either kind.
        inputs: (B, T, C) embedded tokens.
        relaxation: How the fixed point is looked for.
        start: State (B, T, C) near the fixed point, to begin in.
    """
    if isinstance(model, EquilibriumTransformer):
        found = relax(model, inputs, relaxation, start=start)
        return found.state, found.residual
    state = inputs
    for block in model.blocks:
        state = block(state)
    return model.norm(state), inputs.new_zeros(len(inputs))


@torch.no_grad()
def probe_influence(
    model: Model,
    windows: Tensor,
    *,
    distances: tuple[int, ...],
    queries: tuple[int, ...],
    perturbation: float,
) -> Probe:
    """Influence ‖Δz_q‖ / δ of the input at position q − d on the state at q.

    The change has a random direction, so on average over directions the square of the influence is
    ‖∂z_q / ∂x_{q−d}‖_F² / C.

    Args:
        model: Left as it is.
        windows: (n, T + 1) token ids, of which the last is not read.
        distances: d; a negative one looks for influence on the past, which is none.
        queries: q, over which the influence is averaged; all q − d must be positions.
        perturbation: Length δ of the change, relative to the input it changes.

    Raises:
        ValueError: If a change would fall outside the window.
    """
    length = windows.shape[-1] - 1
    touched = [*queries, *(query - distance for query in queries for distance in distances)]
    if min(touched) < 0 or max(touched) >= length:
        raise ValueError(
            f"queries and distances must keep to the {length} positions of a window, got "
            f"queries={queries} and distances={distances}"
        )
    model = copy.deepcopy(model).double()
    inputs = embed(model, windows[:, :-1].long())  # (n, T, C)
    base, residual = settle(model, inputs, TIGHT)
    generator = torch.Generator().manual_seed(DIRECTIONS)
    residuals = [residual]
    whole: list[Influence] = []
    half: list[Influence] = []
    away = torch.tensor(distances, device=inputs.device)
    for query in queries:
        sources = query - away  # (D,)
        near = inputs[:, sources]  # (n, D, C)
        drawn = torch.randn(near.shape, generator=generator, dtype=near.dtype).to(near.device)
        change = perturbation * drawn * (_length(near) / _length(drawn))
        for found, step in ((whole, change), (half, change / 2)):
            states, residual = _changed(model, inputs, base, sources, step)
            here = base[:, None, query].expand_as(near)
            found.append(influence(here, states[:, :, query], _length(step).squeeze(-1)))
            residuals.append(residual)
    raw, relative = (torch.stack(parts).mean((0, 1)) for parts in zip(*whole, strict=True))  # (D,)
    halved = torch.stack([found.raw for found in half]).mean((0, 1))
    return Probe(
        influence=Influence(raw, relative),
        halving=change_on_halving(raw, halved).item(),
        residual=torch.cat(residuals).max().item(),
    )


def _changed(
    model: Model, inputs: Tensor, base: Tensor, sources: Tensor, change: Tensor
) -> tuple[Tensor, Tensor]:
    """States (n, D, T, C) where input `sources[i]` (D,) is changed by `change[:, i]` (n, D, C)."""
    windows, distances = change.shape[:2]
    changed = inputs[:, None].repeat(1, distances, 1, 1)  # (n, D, T, C)
    changed[:, torch.arange(distances, device=sources.device), sources] += change
    start = base[:, None].expand_as(changed).flatten(0, 1)
    states, residual = settle(model, changed.flatten(0, 1), TIGHT, start=start)
    return states.view(windows, distances, *states.shape[1:]), residual


def _length(vectors: Tensor) -> Tensor:
    length: Tensor = torch.linalg.vector_norm(vectors, dim=-1, keepdim=True)
    return length


def query_positions(length: int, distances: tuple[int, ...], count: int) -> tuple[int, ...]:
    """Positions from which the farthest change still lies in the window, evenly to its end."""
    first, last = max(distances), length - 1
    steps = max(count - 1, 1)
    return tuple(sorted({last - (last - first) * index // steps for index in range(count)}))


@torch.no_grad()
def mixing_rows(
    config: EPPlateauConfig,
    model: Model,
    windows: Tensor,
    *,
    step: int,
    point: str | None,
    condition: str = "trained",
) -> list[Row]:
    """Influence by distance and loss by position.

    Metrics: `influence` and `influence_relative` (over the norm of the state) by distance;
    `influence_halving` and `influence_residual`, which say whether they can be trusted (see
    `Probe`); `position_loss` by the first position of a bin.

    Args:
        config: Configuration of the arm.
        model: The model, with the weights to measure.
        windows: (n, T + 1) token ids; influence is measured on the first `influence_windows`.
        step: Training step at which the weights stood.
        point: Name of the point, see `Row`.
        condition: Name of the condition, see `Row`.
    """
    length = windows.shape[-1] - 1
    probe = probe_influence(
        model,
        windows[: config.influence_windows],
        distances=config.distances,
        queries=query_positions(length, config.distances, config.influence_queries),
        perturbation=config.perturbation,
    )

    width = length // config.position_bins
    losses = binned_loss(token_losses(config, model, windows), config.position_bins).tolist()
    by_distance = zip(
        config.distances,
        probe.influence.raw.tolist(),
        probe.influence.relative.tolist(),
        strict=True,
    )
    rows = [
        Row("influence_halving", probe.halving, step),
        Row("influence_residual", probe.residual, step),
    ]
    for distance, raw, relative in by_distance:
        rows.append(Row("influence", raw, step, distance=distance))
        rows.append(Row("influence_relative", relative, step, distance=distance))
    rows += [
        Row("position_loss", loss, step, position=index * width)
        for index, loss in enumerate(losses)
    ]
    return [row._replace(point=point, condition=condition) for row in rows]


@torch.no_grad()
def token_losses(config: EPPlateauConfig, model: Model, windows: Tensor) -> Tensor:
    """Cross-entropy of every predicted token of windows (n, T + 1), (n, T) in nats.

    The fixed point is looked for as in training.
    """
    tokens, targets = windows[:, :-1].long(), windows[:, 1:].long()
    relaxation = TIGHT
    if isinstance(model, EquilibriumTransformer):
        relaxation = make_estimator(config.training.estimator).relaxation
    state, _ = settle(model, embed(model, tokens), relaxation)
    return token_cross_entropy(F.linear(state, model.head), targets)
