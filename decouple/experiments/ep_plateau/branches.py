"""Size of the branches and spread of the attention at the equilibrium, exp6."""

import torch
from torch import Tensor

from decouple.experiments.ep_plateau.config import EPPlateauConfig
from decouple.experiments.ep_plateau.rows import Row
from decouple.metrics.branches import attention_entropy, logit_std, rms, share
from decouple.models.equilibrium import EquilibriumTransformer, activate, linear, normalise
from decouple.models.equilibrium_relaxation import relax
from decouple.training.estimators.registry import make_estimator


@torch.no_grad()
def branch_rows(
    config: EPPlateauConfig,
    model: EquilibriumTransformer,
    windows: Tensor,
    *,
    step: int,
    point: str | None,
    condition: str = "trained",
) -> list[Row]:
    """What the branches of a block do at the fixed points of some text.

    Metrics: `attention_share` and `feedforward_share`, ‖branch‖ / ‖x_in‖; the Frobenius norms
    `weight_norm_attention_out`, `weight_norm_down` and `weight_norm_up` (published as |WO|, |pj|
    and |fc|); `attention_entropy` in nats; `query_key_rms` of the normalised queries and keys, 1 by
    construction; `logit_std` of the attention logits, as which the published "logit std" is read,
    since it stands beside the attention's entropy.

    Args:
        config: Configuration of the arm, whose free phase finds the fixed points.
        model: The block, with the weights to measure.
        windows: (n, T + 1) token ids.
        step: Training step at which the weights stood.
        point: Name of the point, see `Row`.
        condition: Name of the condition, see `Row`.
    """
    inputs = model.embed(windows[:, :-1].long())  # (n, T, C)
    state = relax(model, inputs, make_estimator(config.training.estimator).relaxation).state
    normed, _ = normalise(state, centred=model.config.norm == "layer")
    attended = model.attend(normed)
    hidden = activate(linear(normed, model.up), model.config.activation)  # (n, T, 4C)
    scores = attended.query @ attended.key.transpose(-2, -1) * model.temperature  # (n, H, T, T)
    values = {
        "attention_share": share(model.mix(attended), inputs),
        "feedforward_share": share(linear(hidden, model.down), inputs),
        "weight_norm_attention_out": torch.linalg.vector_norm(model.attention_out),
        "weight_norm_down": torch.linalg.vector_norm(model.down),
        "weight_norm_up": torch.linalg.vector_norm(model.up),
        "attention_entropy": attention_entropy(attended.weights),
        "query_key_rms": rms(torch.stack([attended.query, attended.key])),
        "logit_std": logit_std(scores),
    }
    return [
        Row(metric, value.item(), step, point=point, condition=condition)
        for metric, value in values.items()
    ]
