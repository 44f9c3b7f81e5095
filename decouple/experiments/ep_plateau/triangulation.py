"""Three gradients of the same weights, exp1: the estimator's, BPTT's, and that of a longer BPTT.

All are taken on the same held-out batches. Where several numbers are averaged, it is said how.
"""

import math
from collections.abc import Sequence
from functools import cached_property
from itertools import combinations

import torch
from torch import Tensor

from decouple.experiments.ep_plateau.config import EPPlateauConfig
from decouple.experiments.ep_plateau.rows import Row
from decouple.metrics.gradients import cosine, flatten, norm_ratio, self_cosines
from decouple.models.equilibrium import EquilibriumTransformer
from decouple.models.equilibrium_relaxation import relax
from decouple.training.estimators.base import (
    EquilibriumEstimator,
    Estimate,
    NudgedPhase,
    read_gradient,
)
from decouple.training.estimators.config import BPTTConfig, EstimatorConfig
from decouple.training.estimators.registry import make_estimator

LARGEST = 1e100
"""Cap of ratios and growths, which also stands for one that is not a number."""

TOO_SHORT = 5
"""Steps of the backpropagation that is too short to give the gradient, a control."""


class Reference:
    """True gradients of some weights on some batches, through K steps and through more.

    Args:
        config: Configuration of the arm.
        model: The block with the weights in question; left as it is.
        batches: (n, B, T + 1) token ids.
    """

    def __init__(
        self, config: EPPlateauConfig, model: EquilibriumTransformer, batches: Tensor
    ) -> None:
        self.config, self.model, self.batches = config, model, batches
        self.short = self._through(config.triangulation.horizon, batches)
        self.flat = [flatten(each.gradients) for each in self.short]

    @cached_property
    def long(self) -> list[Estimate]:
        """Gradients through the longer horizon, of the first `long_batches`."""
        shape = self.config.triangulation
        return self._through(shape.long_horizon, self.batches[: shape.long_batches])

    def _through(self, steps: int, batches: Tensor) -> list[Estimate]:
        shape = self.config.triangulation
        micro = shape.micro_batch
        if micro is not None:  # what is held at a time grows with the steps
            micro = max(1, micro * shape.horizon // steps)
        return estimate(self.model, BPTTConfig(steps=steps, micro_batch=micro), batches)

    def rows(self, *, step: int, point: str) -> list[Row]:
        """What belongs to the weights, whatever plays EP.

        Metrics: `validation_loss_at`, mean loss of the batches; `cosine_bptt_horizons`, mean over
        batches, also under the condition `truncated`, where a backpropagation of a few steps takes
        the place of the shorter horizon; `self_cosine_bptt`, mean over pairs of batches.
        """
        few = self.batches[: len(self.long)]
        truncated = [flatten(each.gradients) for each in self._through(TOO_SHORT, few)]
        long = [flatten(each.gradients) for each in self.long]
        horizons = {
            condition: mean([cosine(a, b) for a, b in zip(ours, long, strict=True)])
            for condition, ours in (("trained", self.flat[: len(long)]), ("truncated", truncated))
        }
        loss = mean([each.loss.item() for each in self.short])
        return [
            Row("validation_loss_at", loss, step, point=point),
            Row("self_cosine_bptt", mean(self_cosines(self.flat)), step, point=point),
            *(
                Row("cosine_bptt_horizons", value, step, point=point, condition=condition)
                for condition, value in horizons.items()
            ),
        ]


def estimate(
    model: EquilibriumTransformer,
    estimator: EstimatorConfig,
    batches: Tensor,
    *,
    at_once: int | None = None,
) -> list[Estimate]:
    """Estimate of the gradient on each of the batches (n, B, T + 1).

    The samples of several batches relax and respond together, which none of them notices; only the
    gradients are read batch by batch.

    Args:
        model: The block; left as it is.
        estimator: What estimates.
        batches: (n, B, T + 1) token ids.
        at_once: Batches that relax and respond together, to bound memory; None takes all.
    """
    made = make_estimator(estimator)
    if not isinstance(made, EquilibriumEstimator):
        return [made.estimate(model, batch) for batch in batches]
    parts = torch.split(batches, at_once or len(batches))
    return [each for part in parts for each in _together(model, made, part)]


def _together(
    model: EquilibriumTransformer, made: EquilibriumEstimator, batches: Tensor
) -> list[Estimate]:
    """Estimates on batches whose samples all relax and respond together."""
    windows = batches.flatten(0, 1)
    with torch.no_grad():
        inputs = model.embed(windows[:, :-1])
        free = relax(model, inputs, made.relaxation)
        response = made.respond(model, inputs, windows[:, 1:], free)
    found, size = [], batches.shape[1]
    for index, batch in enumerate(batches):
        part = slice(index * size, (index + 1) * size)
        state = response.state[part]
        loss, gradients = read_gradient(model, batch, state, response.vector[part])
        nudged, solution = response.nudged, response.solution
        if nudged is not None:
            nudged = NudgedPhase(nudged.growth[part], nudged.adjoint_residual[part], nudged.trace)
        if solution is not None:
            solution = solution._replace(
                residual=solution.residual[part],
                adjoint_residual=solution.adjoint_residual[part],
            )
        found.append(
            Estimate(
                loss=loss,
                gradients=gradients,
                state=state,
                residual=free.residual[part],
                free_trace=free.trace,
                nudged=nudged,
                evaluations=response.evaluations,
                solution=solution,
            )
        )
    return found


def estimator_rows(
    config: EPPlateauConfig,
    reference: Reference,
    found: Sequence[Estimate],
    *,
    step: int,
    point: str,
    condition: str,
    detailed: bool,
) -> list[Row]:
    """How an estimator's gradients compare with the true ones.

    Metrics: `cosine_ep_bptt`, mean over batches; `norm_ratio`, ‖EP‖ / ‖BPTT‖, geometric mean over
    batches. Where detailed also `self_cosine_ep`, mean over pairs of batches;
    `cosine_averaged(batches)`, both gradients averaged over the first so many batches; and for the
    arm's own estimator `self_cosine_ep_pair(pair)`, `cosine_ep_bptt_by_group(group)`,
    `residual_at`, the mean force residual at the end of its free phase, `nudged_growth` and
    `adjoint_residual`, medians over samples.

    Args:
        config: Configuration of the arm.
        reference: True gradients of the weights in question.
        found: Estimates of what plays EP, on the batches of the reference.
        step: Training step at which the weights stood.
        point: Name of the point, see `Row`.
        condition: `trained` for the arm's own estimator, or the name of another.
        detailed: Whether more than direction and length is wanted.
    """
    ours = [flatten(each.gradients) for each in found]
    pairs = list(zip(ours, reference.flat, strict=True))
    ratios = [norm_ratio(a, b, largest=LARGEST) for a, b in pairs]

    def row(metric: str, value: float, **coordinates: object) -> Row:
        return Row(metric, value, step, point=point, condition=condition, **coordinates)  # type: ignore[arg-type]

    rows = [
        row("cosine_ep_bptt", mean([cosine(a, b) for a, b in pairs])),
        row("norm_ratio", math.exp(mean([math.log(max(r, 1 / LARGEST)) for r in ratios]))),
    ]
    if not detailed:
        return rows
    rows.append(row("self_cosine_ep", mean(self_cosines(ours))))
    for count in config.triangulation.averaged:
        a, b = (torch.stack(each[:count]).mean(0) for each in (ours, reference.flat))
        rows.append(row("cosine_averaged", cosine(a, b), batches=count))
    if condition != "trained":
        return rows
    rows += [
        row("self_cosine_ep_pair", value, pair=pair)
        for pair, value in enumerate(self_cosines(ours))
    ]
    for group in found[0].gradients:
        agreements = [
            cosine(a.gradients[group].double().flatten(), b.gradients[group].double().flatten())
            for a, b in zip(found, reference.short, strict=True)
        ]
        rows.append(row("cosine_ep_bptt_by_group", mean(agreements), group=group))
    rows.append(row("residual_at", mean([each.residual.mean().item() for each in found])))
    return rows + [row(metric, value) for metric, value in _nudged(found).items()]


def _nudged(found: Sequence[Estimate]) -> dict[str, float]:
    """Medians over the samples of all batches of what the nudged phase shows of itself."""
    phases = [each.nudged for each in found if each.nudged is not None]
    if not phases:
        return {}
    values = {
        "nudged_growth": torch.cat([phase.growth for phase in phases]),
        "adjoint_residual": torch.cat([phase.adjoint_residual for phase in phases]),
    }
    return {
        name: value.double().nan_to_num(LARGEST, LARGEST).clamp(max=LARGEST).median().item()
        for name, value in values.items()
    }


def average(estimates: Sequence[Estimate]) -> dict[str, Tensor]:
    """Mean of the gradients of estimates, by parameter name."""
    return {
        name: torch.stack([each.gradients[name] for each in estimates]).mean(0)
        for name in estimates[0].gradients
    }


def pair_count(batches: int) -> int:
    """Number of pairs among so many batches."""
    return len(list(combinations(range(batches), 2)))


def mean(values: Sequence[float]) -> float:
    """Arithmetic mean."""
    return math.fsum(values) / len(values)
