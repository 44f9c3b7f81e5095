"""Training steps of the mixture of experts, beside the loop that one would otherwise write.

`make benchmarks` prints both in one run, as a ratio of their times. The plain loop trains
one seed after the other, sends tokens to their experts one expert at a time, and uses AdamW as it
comes; ours trains the seeds as one more dimension. Both do the same arithmetic on the same windows,
which the last test holds.
"""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from decouple.experiments.routing_collapse import PRESETS
from decouple.experiments.routing_collapse.runner import make_loss
from decouple.models.moe import MoETransformer, build_moe
from decouple.training.ensemble import make_optimizer, stack_parameters, train_steps
from decouple.training.numerics import cpu_numerics

CONFIG = PRESETS["smoke"]()
VOCABULARY, SEEDS, STEPS = 512, 5, 5


class PlainMoE(nn.Module):
    """The same function, with a loop over experts that gathers and scatters their tokens."""

    def __init__(self, model: MoETransformer) -> None:
        super().__init__()
        self.model = model

    def forward(self, tokens: Tensor) -> Tensor:
        model = self.model
        x = model.tokens[tokens] + model.positions[: tokens.shape[1]]
        for block in model.blocks:
            states = block.norm(x).flatten(0, 1)
            probabilities = block.router(states).softmax(-1)
            gates, chosen = probabilities.topk(model.config.top_k, dim=-1)
            mixed = torch.zeros_like(states)
            experts = block.experts
            for expert in range(model.config.n_experts):
                token, slot = (chosen == expert).nonzero(as_tuple=True)
                hidden = F.gelu(states[token] @ experts.up[expert] + experts.up_bias[expert])
                output = hidden @ experts.down[expert] + experts.down_bias[expert]
                mixed = mixed.index_add(0, token, output * gates[token, slot].unsqueeze(-1))
            x = x + mixed.view_as(x)
        return model.norm(x) @ model.tokens.T


def _models() -> list[MoETransformer]:
    return [
        build_moe(CONFIG.model, VOCABULARY, torch.Generator().manual_seed(seed))
        for seed in range(SEEDS)
    ]


def _windows() -> Tensor:
    shape = (SEEDS, STEPS, CONFIG.batch, CONFIG.model.context + 1)
    return torch.randint(VOCABULARY, shape, generator=torch.Generator().manual_seed(7))


def _train_plain(windows: Tensor) -> Tensor:
    losses = []
    for seed, model in enumerate(_models()):
        plain = PlainMoE(model)
        optimizer = torch.optim.AdamW(
            plain.parameters(), lr=CONFIG.learning_rate, weight_decay=CONFIG.weight_decay
        )
        for step in range(STEPS):
            batch = windows[seed, step]
            logits = plain(batch[:, :-1])
            loss = F.cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.detach())
    return torch.stack(losses).view(SEEDS, STEPS).T


def _train_stacked(windows: Tensor) -> Tensor:
    models = _models()
    parameters = stack_parameters(models)
    optimizer = make_optimizer(
        parameters, learning_rate=CONFIG.learning_rate, weight_decay=CONFIG.weight_decay
    )
    return train_steps(parameters, optimizer, make_loss(models[0], 0.0), windows)


@pytest.mark.benchmark(group="five steps of five seeds")
@pytest.mark.parametrize("train", [_train_stacked, _train_plain], ids=["stacked", "plain-loop"])
def test_training_steps(benchmark, train):
    with cpu_numerics(1):
        losses = benchmark.pedantic(train, args=(_windows(),), rounds=5, warmup_rounds=1)
    assert losses.isfinite().all()


def test_both_loops_train_the_same():
    with cpu_numerics(1):
        ours, plain = _train_stacked(_windows()), _train_plain(_windows())
    torch.testing.assert_close(ours, plain, rtol=1e-4, atol=1e-4)
