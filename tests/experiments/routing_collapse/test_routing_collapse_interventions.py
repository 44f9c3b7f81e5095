import torch

from decouple.data import CorpusConfig, TokenizerConfig
from decouple.experiments.routing_collapse import RoutingCollapseConfig
from decouple.experiments.routing_collapse.evaluation import HeldOut, as_rows, merge
from decouple.experiments.routing_collapse.interventions import (
    dominant_expert,
    outlier_rows,
    recovery_rows,
    removal_rows,
)
from decouple.experiments.routing_collapse.runner import make_loss
from decouple.metrics.alignment import head_alignment
from decouple.metrics.language import entropy, head_entropy, token_cross_entropy
from decouple.models.moe import Interventions, build_moe
from decouple.models.moe_config import MoEConfig
from decouple.training.ensemble import stack_parameters

VOCAB = 17
CONFIG = RoutingCollapseConfig(
    corpus=CorpusConfig(words=10),
    tokenizer=TokenizerConfig(kind="bytes"),
    model=MoEConfig(width=8, context=6, n_layers=2),
    cycles=1,
    steps_per_cycle=4,
    batch=3,
    recovery_steps=(1, 4),
    group=2,
)


def models():
    return [build_moe(CONFIG.model, VOCAB, torch.Generator().manual_seed(s)) for s in range(2)]


def draw(*shape):
    return torch.randint(VOCAB, shape, generator=torch.Generator().manual_seed(9))


WINDOWS = draw(7, 7)  # not a multiple of the batch


def setting():
    parameters = stack_parameters(models())
    held_out = HeldOut(models()[0].to("meta"), WINDOWS, CONFIG.batch)
    return parameters, held_out, dominant_expert(held_out.measure(parameters))


def value(rows, seed, condition):
    (found,) = [row[-1] for row in rows[seed] if row[3] == condition]
    return found


def plain_loss(model, interventions=None):
    logits = model(WINDOWS[:, :-1], interventions=interventions).logits
    return token_cross_entropy(logits, WINDOWS[:, 1:]).mean().item()


def close(a, b):
    return abs(a - b) < 1e-5


def test_micro_batches_measure_what_one_batch_of_one_model_does():
    parameters, held_out, _ = setting()
    measured = held_out.measure(parameters)
    torch.testing.assert_close(measured.loss, held_out.loss(parameters))
    for seed, model in enumerate(models()):
        output = model(WINDOWS[:, :-1])
        assert close(measured.loss[seed].item(), plain_loss(model))
        assert close(measured.head_entropy[seed].item(), head_entropy(output.logits).item())
        each = entropy(output.logits.softmax(-1)).mean()
        assert close(measured.output_entropy[seed].item(), each.item())
        probabilities = output.probabilities.flatten(1, 2)
        torch.testing.assert_close(measured.probabilities[seed], probabilities)
        states, targets = output.expert_outputs.flatten(1, 2), WINDOWS[:, 1:].flatten()
        alignment = head_alignment(states, model.tokens, targets)
        torch.testing.assert_close(measured.alignment[seed].float(), alignment)


def test_each_seed_loses_its_own_dominant_expert():
    parameters, held_out, dominant = setting()
    with torch.no_grad():  # make seed 0 depend on expert 2, seed 1 on expert 0
        parameters["blocks.1.router.bias"][0, 2] += 5
        parameters["blocks.1.router.bias"][1, 0] += 5
    dominant = dominant_expert(held_out.measure(parameters))
    assert dominant.tolist() == [2, 0]
    rows = removal_rows(CONFIG, parameters, held_out, dominant)
    for seed, model in enumerate(models()):
        expert = dominant[seed]
        with torch.no_grad():
            model.blocks[1].router.bias[expert] += 5
        losses = []
        for each in range(4):
            removed = Interventions.neutral(CONFIG.model)
            removed.output_scale[1, each] = 0.0
            losses.append(plain_loss(model, removed))
        assert close(value(rows, seed, "dominant_removed"), losses.pop(expert))
        assert close(value(rows, seed, "other_removed"), max(losses))
        skipped, forbidden = (Interventions.neutral(CONFIG.model) for _ in range(2))
        skipped.output_scale[1] = 0.0
        forbidden.allowed[1, expert] = False
        assert close(value(rows, seed, "layer_removed"), plain_loss(model, skipped))
        assert close(value(rows, seed, "dominant_rerouted"), plain_loss(model, forbidden))


def test_the_outlier_moves_the_dominant_expert_by_the_stated_length_downhill():
    parameters, held_out, dominant = setting()
    before = {name: tensor.detach().clone() for name, tensor in parameters.items()}
    noise = draw(2, 3, 7)
    caught = {}

    class Spy(HeldOut):
        def loss(self, parameters, interventions=None):
            caught.update(parameters)
            return super().loss(parameters, interventions)

    loss = make_loss(held_out.model, 0.0)
    spy = Spy(held_out.model, WINDOWS, CONFIG.batch)
    rows = outlier_rows(CONFIG, parameters, spy, dominant, loss, noise)
    assert all(torch.equal(before[name], parameters[name]) for name in parameters)
    for seed, model in enumerate(models()):
        expert, moved, size = int(dominant[seed]), 0.0, 0.0
        for name, tensor in before.items():
            change = caught[name][seed] - tensor[seed]
            if name.startswith("blocks.1.experts."):
                moved += change[expert].square().sum().item()
                size += tensor[seed, expert].square().sum().item()
                change = change[[e for e in range(4) if e != expert]]
            assert not change.any(), name
        assert abs((moved / size) ** 0.5 - CONFIG.outlier_step) < 1e-4
        alone = {name: tensor[seed] for name, tensor in before.items()}
        tiny = {
            name: tensor + 1e-3 * (caught[name][seed] - tensor) for name, tensor in alone.items()
        }
        assert loss(tiny, noise[seed])[0] < loss(alone, noise[seed])[0]
        model.load_state_dict({name: tensor[seed] for name, tensor in caught.items()})
        assert close(value(rows, seed, "outlier_hit"), plain_loss(model))


def test_recovery_trains_copies_with_and_without_the_dominant_expert():
    parameters, held_out, dominant = setting()
    before = {name: tensor.detach().clone() for name, tensor in parameters.items()}
    loss = make_loss(held_out.model, 0.0)
    rows = recovery_rows(CONFIG, parameters, held_out, dominant, loss, draw(2, 4, 3, 7))
    assert all(torch.equal(before[name], parameters[name]) for name in parameters)
    for seed in range(2):
        found = {(row[3], row[0]): row[-1] for row in rows[seed]}
        steps = (0, 1, 4)
        assert set(found) == {(c, s) for c in ("dominant_rerouted", "continued") for s in steps}
        assert close(found["continued", 0], held_out.loss(parameters)[seed].item())
        for step in (1, 4):
            assert found["continued", step] != found["continued", 0]
            assert found["dominant_rerouted", step] != found["continued", step]


def test_rows_carry_their_coordinates():
    values = torch.arange(6.0).view(1, 2, 3)
    rows = as_rows("usage", values, step=4)[0]
    assert rows[0] == (4, 0, 0, "trained", "usage", 0.0)
    assert rows[-1] == (4, 1, 2, "trained", "usage", 5.0)
    assert as_rows("a", values[0, :, 0], step=1)[1] == [(1, None, None, "trained", "a", 3.0)]
    assert as_rows("a", values[:, :, 0], step=1)[0][1] == (1, 1, None, "trained", "a", 3.0)
    own = as_rows("a", values[:, 1], step=1, condition="hit", layer=7)[0]
    assert own[2] == (1, 7, 2, "hit", "a", 5.0)
    joined = merge([as_rows("a", torch.zeros(2), step=0), as_rows("b", torch.ones(2), step=0)])
    assert [[row[4] for row in seed] for seed in joined] == [["a", "b"], ["a", "b"]]
