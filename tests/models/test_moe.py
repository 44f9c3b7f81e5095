import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import erf
from torch.func import functional_call, stack_module_state, vmap

from decouple.metrics.routing import token_entropy
from decouple.models.moe import Interventions, MoETransformer, build_moe
from decouple.models.moe_config import MoEConfig, parameter_count

VOCAB = 11
SMALL = MoEConfig(width=8, context=6, n_layers=3, n_heads=2)


def make(config=SMALL, seed=0, dtype=torch.float64):
    return build_moe(config, VOCAB, torch.Generator().manual_seed(seed)).to(dtype)


def tokens(seed=1, batch=2, length=SMALL.context):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(VOCAB, (batch, length), generator=generator)


def reference(model, ids):
    """The published model for one sequence, token by token and expert by expert, in numpy."""
    p = {name: value.detach().numpy() for name, value in model.named_parameters()}

    def norm(x, prefix):
        centred = x - x.mean()
        scaled = centred / np.sqrt((centred**2).mean() + 1e-5)
        return scaled * p[f"{prefix}.weight"] + p[f"{prefix}.bias"]

    logits, probabilities = [], []
    for position, token in enumerate(ids):
        x = p["tokens"][token] + p["positions"][position]
        for layer in range(model.config.n_layers):
            prefix = f"blocks.{layer}"
            h = norm(x, f"{prefix}.norm")
            scores = p[f"{prefix}.router.weight"] @ h + p[f"{prefix}.router.bias"]
            weights = np.exp(scores) / np.exp(scores).sum()
            probabilities.append(weights)
            for expert in np.argsort(weights)[-model.config.top_k :]:
                experts = f"{prefix}.experts"
                a = h @ p[f"{experts}.up"][expert] + p[f"{experts}.up_bias"][expert, 0]
                a = a * 0.5 * (1 + erf(a / math.sqrt(2)))
                y = a @ p[f"{experts}.down"][expert] + p[f"{experts}.down_bias"][expert, 0]
                x = x + weights[expert] * y
        logits.append(p["tokens"] @ norm(x, "norm"))
    shape = (len(ids), model.config.n_layers, model.config.n_experts)
    return np.array(logits), np.array(probabilities).reshape(shape).transpose(1, 0, 2)


@pytest.mark.parametrize(("attention", "expected"), [(False, 8_560_016), (True, 8_825_232)])
def test_published_shape_has_the_published_number_of_parameters(attention, expected):
    config = MoEConfig(attention=attention)
    with torch.device("meta"):
        model = MoETransformer(config, 50_257)
    assert sum(parameter.numel() for parameter in model.parameters()) == expected
    assert parameter_count(config, 50_257) == expected


@given(
    config=st.builds(
        MoEConfig,
        width=st.sampled_from([4, 8]),
        context=st.integers(1, 5),
        n_layers=st.integers(1, 3),
        n_experts=st.integers(2, 4),
        top_k=st.integers(1, 2),
        expansion=st.integers(1, 4),
        attention=st.booleans(),
        pre_norm=st.booleans(),
        final_norm=st.booleans(),
    ),
    vocab_size=st.integers(1, 20),
)
@settings(max_examples=40, deadline=None)
def test_parameter_count_is_what_the_module_holds(config, vocab_size):
    with torch.device("meta"):
        model = MoETransformer(config, vocab_size)
    counted = sum(parameter.numel() for parameter in model.parameters())
    assert parameter_count(config, vocab_size) == counted


@pytest.mark.parametrize("top_k", [1, 2, 4])
def test_forward_agrees_with_experts_dispatched_one_by_one(top_k):
    model = make(MoEConfig(width=8, context=6, n_layers=3, top_k=top_k))
    ids = tokens()
    output = model(ids)
    for row in range(len(ids)):
        logits, probabilities = reference(model, ids[row].numpy())
        np.testing.assert_allclose(output.logits[row].detach(), logits, rtol=1e-9, atol=1e-9)
        found = output.probabilities[:, row].detach()
        np.testing.assert_allclose(found, probabilities, rtol=1e-9, atol=1e-12)


def test_shapes_of_the_output():
    output = make()(tokens())
    assert output.logits.shape == (2, 6, VOCAB)
    assert output.probabilities.shape == output.gates.shape == output.selected.shape == (3, 2, 6, 4)
    assert output.hidden.shape == (2, 6, 8)
    assert output.expert_outputs.shape == (4, 2, 6, 8)


def test_expert_outputs_are_those_of_the_deepest_layer():
    model = make(MoEConfig(width=8, context=6, n_layers=1, final_norm=False))
    ids = tokens()
    output = model(ids)
    start = model.tokens[ids] + model.positions
    mixed = (output.gates[0].movedim(-1, 0).unsqueeze(-1) * output.expert_outputs).sum(0)
    torch.testing.assert_close(output.hidden, start + mixed)


@given(k=st.integers(1, 4))
@settings(max_examples=8, deadline=None)
def test_exactly_k_experts_serve_a_token_even_when_all_are_equally_liked(k):
    model = make(MoEConfig(width=8, context=6, n_layers=2, top_k=k))
    with torch.no_grad():
        for block in model.blocks:
            block.router.weight.zero_()
            block.router.bias.zero_()
    output = model(tokens())
    assert (output.selected.sum(-1) == k).all()
    assert ((output.gates > 0) == output.selected).all()
    torch.testing.assert_close(output.probabilities, torch.full_like(output.probabilities, 0.25))


def test_gates_keep_their_softmax_mass_unless_renormalised():
    plain = make()(tokens())
    torch.testing.assert_close(plain.gates, plain.probabilities * plain.selected)
    assert (plain.gates.sum(-1) < 1).all()
    again = make(MoEConfig(width=8, context=6, n_layers=3, renormalise=True))(tokens())
    torch.testing.assert_close(again.gates.sum(-1), torch.ones_like(again.gates.sum(-1)))


def test_without_attention_a_token_is_read_alone_and_with_it_only_backwards():
    ids = tokens(batch=1)
    changed = ids.clone()
    changed[0, 3] = (ids[0, 3] + 1) % VOCAB
    alone = make()
    difference = (alone(ids).logits - alone(changed).logits).abs().amax(-1)[0]
    assert (difference > 0).tolist() == [False, False, False, True, False, False]
    causal = make(MoEConfig(width=8, context=6, n_layers=2, n_heads=2, attention=True))
    difference = (causal(ids).logits - causal(changed).logits).abs().amax(-1)[0]
    assert (difference[:3] < 1e-12).all()
    assert (difference[3:] > 1e-6).all()


def test_attention_agrees_with_torch():
    torch_attention = torch.nn.functional.scaled_dot_product_attention
    attention = make(MoEConfig(width=8, context=6, n_heads=2, attention=True)).blocks[0].attention
    x = torch.randn(2, 6, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    query, key, value = (
        part.view(2, 6, 2, 4).transpose(1, 2)
        for part in attention.qkv(attention.norm(x)).chunk(3, dim=-1)
    )
    mixed = torch_attention(query, key, value, is_causal=True).transpose(1, 2).reshape(2, 6, 8)
    torch.testing.assert_close(attention(x), attention.out(mixed))


def test_scaling_an_expert_to_zero_is_deleting_its_output():
    model, ids = make(), tokens()
    interventions = Interventions.neutral(SMALL)
    torch.testing.assert_close(model(ids, interventions=interventions), model(ids))
    interventions.output_scale[1, 2] = 0.0
    removed = model(ids, interventions=interventions)
    assert not torch.equal(removed.logits, model(ids).logits)
    with torch.no_grad():
        model.blocks[1].experts.down[2].zero_()
        model.blocks[1].experts.down_bias[2].zero_()
    torch.testing.assert_close(removed.logits, model(ids).logits)


def test_scaling_all_experts_of_a_layer_to_zero_is_skipping_the_layer():
    model, ids = make(), tokens()
    interventions = Interventions.neutral(SMALL)
    interventions.output_scale[2] = 0.0
    skipped = model(ids, interventions=interventions)
    shorter = make(MoEConfig(width=8, context=6, n_layers=2))
    state = {k: v for k, v in model.state_dict().items() if not k.startswith("blocks.2")}
    shorter.load_state_dict(state)
    torch.testing.assert_close(skipped.logits, shorter(ids).logits)


def test_a_forbidden_expert_gets_no_mass_and_the_others_share_it():
    model, ids = make(), tokens()
    interventions = Interventions.neutral(SMALL)
    interventions.allowed[0, 1] = False
    before, after = model(ids), model(ids, interventions=interventions)
    expected = before.probabilities[0].clone()
    expected[..., 1] = 0.0
    expected = expected / expected.sum(-1, keepdim=True)
    torch.testing.assert_close(after.probabilities[0], expected)
    assert not after.selected[0, ..., 1].any()
    assert (after.selected[0].sum(-1) == 2).all()


def test_fewer_experts_than_k_may_be_left():
    config = MoEConfig(width=8, context=6, n_layers=1, n_experts=2)
    interventions = Interventions.neutral(config)
    interventions.allowed[0, 0] = False
    output = make(config)(tokens(), interventions=interventions)
    assert (output.selected[0].sum(-1) == 1).all()
    assert torch.equal(output.gates[0, ..., 1], torch.ones(2, 6, dtype=torch.float64))


@pytest.mark.parametrize("attention", [False, True])
def test_vmap_over_stacked_parameters_is_each_model_by_itself(attention):
    config = MoEConfig(width=8, context=6, n_layers=2, n_heads=2, attention=attention)
    models = [make(config, seed) for seed in range(3)]
    parameters, _ = stack_module_state(models)
    ids = torch.stack([tokens(seed) for seed in range(3)])
    neutral = Interventions.neutral(config)
    interventions = Interventions(*(value.repeat(3, 1, 1) for value in neutral))
    interventions.output_scale[1, 0, 2] = 0.0
    interventions.allowed[2, 1, 3] = False

    def one(parameters, ids, interventions):
        given = {"interventions": interventions}
        return functional_call(models[0], parameters, (ids,), given)

    together = vmap(one)(parameters, ids, interventions)
    for seed, model in enumerate(models):
        own = Interventions(*(value[seed] for value in interventions))
        alone = model(ids[seed], interventions=own)
        for batched, single in zip(together, alone, strict=True):
            torch.testing.assert_close(batched[seed], single)


def test_initialisation_draws_from_the_generator_alone_and_repeats():
    before = torch.get_rng_state()
    first, second, other = make(seed=5), make(seed=5), make(seed=6)
    assert torch.equal(before, torch.get_rng_state())
    for name, value in first.named_parameters():
        assert torch.equal(value, second.get_parameter(name))
    assert not torch.equal(first.tokens, other.tokens)


def test_initialisation_is_that_of_torchs_own_modules():
    config = MoEConfig(width=32, n_layers=1, context=64, embedding_std=0.5, attention=True)
    model = build_moe(config, 400, torch.Generator().manual_seed(0))
    parameters = dict(model.named_parameters())
    embedding = parameters.pop("tokens")
    assert embedding.std().item() == pytest.approx(0.5, rel=0.05)
    assert parameters.pop("positions").std().item() == pytest.approx(0.5, rel=0.05)
    for name, value in parameters.items():
        if "norm" in name:
            assert torch.equal(value, torch.full_like(value, float(name.endswith("weight"))))
            continue
        bound = (128 if ".down" in name else 32) ** -0.5  # 1/√fan_in, also of the biases
        assert value.abs().max().item() <= bound
        assert value.abs().max().item() > 0.7 * bound
        if value.numel() > 1000:
            assert value.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.1)


def test_router_scale_multiplies_router_weights_only():
    plain, sharp = make(), make(MoEConfig(width=8, context=6, n_layers=3, router_scale=8.0))
    for name, value in plain.named_parameters():
        factor = 8.0 if name.endswith("router.weight") else 1.0
        torch.testing.assert_close(sharp.get_parameter(name), factor * value)


def test_untrained_router_entropy_is_the_published_one():
    config = MoEConfig(n_layers=2)
    entropies = []
    for seed in range(4):
        model = build_moe(config, 200, torch.Generator().manual_seed(seed))
        ids = torch.randint(200, (4, 128), generator=torch.Generator().manual_seed(seed))
        with torch.no_grad():
            entropies.append(token_entropy(model(ids).probabilities.flatten(1, 2)))
    assert torch.stack(entropies).mean().item() == pytest.approx(1.275, abs=0.02)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"top_k": 5}, "top_k must be between 1 and n_experts=4, got 5"),
        ({"top_k": 0}, "top_k must be between 1 and n_experts=4, got 0"),
        ({"width": 0}, "width must be at least 1, got 0"),
        ({"width": 6, "attention": True}, "n_heads must divide width=6 .* got 4"),
        ({"embedding_std": 0.0}, "embedding_std must be positive and finite, got 0.0"),
        ({"router_scale": math.nan}, "router_scale must be positive and finite, got nan"),
    ],
)
def test_impossible_shapes_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        MoEConfig(**changes)


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="tokens must be at most context=6 long, got 7"):
        make()(tokens(length=7))
    with pytest.raises(ValueError, match="vocab_size must be at least 1, got 0"):
        build_moe(SMALL, 0, torch.Generator())
