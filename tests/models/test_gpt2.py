"""GPT-2: loaded as it was saved, strictly and in silence; its states; the gauge."""

import json
import logging
from pathlib import Path

import huggingface_hub.constants
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch.func import functional_call, vmap
from transformers import GPT2Config, GPT2LMHeadModel

from decouple.metrics.alignment import head_alignment
from decouple.models.gpt2 import (
    apply_gauge_shift,
    build_gpt2,
    final_logits,
    final_states,
    load_base,
    residual_stream,
    stream,
)
from decouple.models.gpt2_config import BaseModelConfig, BaseShape, parameter_count, parse_base
from decouple.training.ensemble import stack_parameters
from decouple.training.numerics import cpu_numerics

SHAPE = BaseShape(layers=3, width=16, heads=2, context=12, vocab_size=40)
TOKENS = torch.randint(40, (2, 9), generator=torch.Generator().manual_seed(1))


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    with cpu_numerics(1):
        yield


def make(seed=0, shape=SHAPE):
    """A model whose biases and LayerNorms are not those of initialisation."""
    generator = torch.Generator().manual_seed(seed)
    model = build_gpt2(shape, generator)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
    return model


def save(model, folder):
    """The folder that another program would write."""
    model.config.save_pretrained(folder)
    save_file(dict(model.named_parameters()), folder / "model.safetensors", {"format": "pt"})
    return parse_base(str(folder))


@pytest.fixture
def saved(tmp_path):
    model = make()
    return model, save(model, tmp_path / "model")


def test_what_was_saved_is_loaded_in_silence(saved, capfd, caplog):
    model, config = saved
    with caplog.at_level(logging.DEBUG):
        loaded = load_base(config)
    assert capfd.readouterr() == ("", "")
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
    assert torch.equal(loaded(TOKENS).logits, model(TOKENS).logits)
    assert list(dict(loaded.named_parameters())) == list(dict(model.named_parameters()))
    assert "lm_head.weight" not in dict(loaded.named_parameters())
    assert loaded.lm_head.weight is loaded.transformer.wte.weight


def test_a_loaded_model_has_no_dropout_and_keeps_no_cache(tmp_path):
    model = GPT2LMHeadModel(
        GPT2Config(
            n_layer=1, n_embd=8, n_head=2, n_positions=12, vocab_size=40,
            bos_token_id=None, eos_token_id=None,
        )
    )  # fmt: skip
    assert model.config.resid_pdrop == 0.1  # the library's own setting
    loaded = load_base(save(model, tmp_path / "model"))
    assert not loaded.training
    assert loaded.dtype == torch.float32
    loaded.train()
    output = loaded(TOKENS)
    assert torch.equal(output.logits, loaded(TOKENS).logits)
    assert output.past_key_values is None


def test_weights_in_half_precision_become_float32(saved):
    model, config = saved
    half = {name: value.detach().half() for name, value in model.named_parameters()}
    file = f"{config.path}/model.safetensors"
    save_file(half, file, {"format": "pt"})
    assert {parameter.dtype for parameter in load_base(config).parameters()} == {torch.float32}


def test_a_checkpoint_as_the_hub_has_it_is_loaded_from_its_cache(
    tmp_path, monkeypatch, capfd, caplog
):
    # The released file names its tensors without the prefix and holds the causal masks as well.
    model = make()
    tensors = {n.removeprefix("transformer."): p for n, p in model.named_parameters()}
    for layer in range(SHAPE.layers):
        tensors[f"h.{layer}.attn.bias"] = torch.ones(12, 12).tril().view(1, 1, 12, 12)
    repository = tmp_path / "models--openai-community--gpt2"
    snapshot = repository / "snapshots" / "0123abcd"
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0123abcd")
    save_file(tensors, snapshot / "model.safetensors", {"format": "pt"})
    released = {
        "activation_function": "gelu_new", "architectures": ["GPT2LMHeadModel"],
        "attn_pdrop": 0.1, "bos_token_id": 50256, "embd_pdrop": 0.1, "eos_token_id": 50256,
        "initializer_range": 0.02, "layer_norm_epsilon": 1e-05, "model_type": "gpt2", "n_ctx": 12,
        "n_embd": 16, "n_head": 2, "n_layer": 3, "n_positions": 12, "resid_pdrop": 0.1,
        "summary_first_dropout": 0.1, "vocab_size": 40,
        "task_specific_params": {"text-generation": {"do_sample": True, "max_length": 50}},
    }  # fmt: skip
    (snapshot / "config.json").write_text(json.dumps(released))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with caplog.at_level(logging.DEBUG):
        loaded = load_base(BaseModelConfig())
    assert capfd.readouterr() == ("", "")
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
    assert torch.equal(loaded(TOKENS).logits, model(TOKENS).logits)


def test_a_base_that_is_not_here_is_refused_with_the_way_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="hf download openai-community/gpt2"):
        load_base(BaseModelConfig())


@pytest.mark.parametrize("keep", [0, 100, -50])
def test_damaged_weights_are_refused(saved, keep):
    _, config = saved
    file = Path(config.path) / "model.safetensors"
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(ValueError, match=r"base '.*model' cannot be read: "):
        load_base(config)


def test_a_weight_that_is_not_in_the_file_is_not_drawn_at_random(saved):
    _, config = saved
    file = f"{config.path}/model.safetensors"
    tensors = load_file(file)
    tensors.pop("transformer.h.1.mlp.c_fc.weight")
    save_file(tensors, file, {"format": "pt"})
    with pytest.raises(ValueError, match=r"missing keys: transformer\.h\.1\.mlp\.c_fc\.weight"):
        load_base(config)


def test_a_weight_of_another_shape_is_refused(saved):
    _, config = saved
    file = f"{config.path}/model.safetensors"
    tensors = load_file(file)
    tensors["transformer.wpe.weight"] = torch.zeros(11, 16)
    save_file(tensors, file, {"format": "pt"})
    with pytest.raises(ValueError, match=r"mismatched keys: .*transformer\.wpe\.weight"):
        load_base(config)


def test_a_new_model_is_drawn_from_its_generator_alone():
    def draw(seed):
        return dict(build_gpt2(SHAPE, torch.Generator().manual_seed(seed)).named_parameters())

    state = torch.get_rng_state()
    first = draw(0)
    torch.set_rng_state(state)
    torch.rand(3)
    again, other = draw(0), draw(1)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["transformer.wte.weight"], other["transformer.wte.weight"])
    assert sum(value.numel() for value in first.values()) == parameter_count(SHAPE)


def test_a_new_model_has_the_scale_of_gpt2():
    shape = BaseShape(layers=2, width=64, heads=2, context=64, vocab_size=300)
    model = dict(build_gpt2(shape, torch.Generator().manual_seed(0)).named_parameters())
    for name, value in model.items():
        if name.endswith("bias"):
            assert not value.any()
        elif "ln_" in name:
            assert (value == 1).all()
        else:
            expected = 0.01 if name.endswith("c_proj.weight") else 0.02  # 0.02 / √(2·2)
            assert value.std().item() == pytest.approx(expected, rel=0.1), name


def test_states_are_those_of_the_library_to_rounding():
    model = make().double()
    shown = model(TOKENS, output_hidden_states=True)
    states = stream(model, TOKENS)
    assert len(states.blocks) == 3
    # The library shows the input of each block, and then the output of the final LayerNorm.
    expected = [*shown.hidden_states[1:-1], shown.hidden_states[-1]]
    for found, wanted in zip([*states.blocks[:-1], states.after], expected, strict=True):
        torch.testing.assert_close(found, wanted, rtol=0, atol=1e-12)
    torch.testing.assert_close(final_logits(model, states.after), shown.logits, rtol=0, atol=1e-12)
    assert torch.equal(residual_stream(model, TOKENS), torch.stack(states.blocks))
    assert torch.equal(final_states(model, TOKENS).before, states.blocks[-1])
    assert torch.equal(final_states(model, TOKENS).after, states.after)


def test_gradients_are_those_of_the_library_to_rounding():
    model = make().double()
    parameters = dict(model.named_parameters())

    def loss(logits):
        return torch.nn.functional.cross_entropy(logits.flatten(0, 1), TOKENS.flatten())

    ours = torch.autograd.grad(
        loss(final_logits(model, stream(model, TOKENS).after)), list(parameters.values())
    )
    theirs = torch.autograd.grad(loss(model(TOKENS).logits), list(parameters.values()))
    for name, found, wanted in zip(parameters, ours, theirs, strict=True):
        torch.testing.assert_close(found, wanted, rtol=0, atol=1e-12, msg=name)


def test_the_epsilon_of_the_configuration_is_used(tmp_path):
    model = make().double()
    model.config.layer_norm_epsilon = 0.5
    for module in model.modules():
        if isinstance(module, torch.nn.LayerNorm):
            module.eps = 0.5
    found = final_logits(model, stream(model, TOKENS).after)
    torch.testing.assert_close(found, model(TOKENS).logits, rtol=0, atol=1e-12)


def test_an_injection_enters_the_stream_after_its_block():
    model, vector = make().double(), torch.linspace(-1, 1, 16).double()
    plain = residual_stream(model, TOKENS)
    moved = residual_stream(model, TOKENS, injected={1: vector})
    assert torch.equal(moved[0], plain[0])
    assert torch.equal(moved[1], plain[1] + vector)
    # By hand: the library's last block on the shifted stream.
    mask = torch.full((9, 9), -torch.inf).double().triu(1)
    expected = model.transformer.h[2](plain[1] + vector, attention_mask=mask)
    torch.testing.assert_close(moved[2], expected, rtol=0, atol=1e-12)
    after = final_states(model, TOKENS, injected={2: vector}).after
    torch.testing.assert_close(after, model.transformer.ln_f(plain[2] + vector))


@pytest.mark.parametrize("index", [-1, 3])
def test_an_injection_into_no_block_is_refused(index):
    with pytest.raises(ValueError, match=rf"blocks from 0 to 2, got {index}"):
        stream(make(), TOKENS, injected={0: torch.ones(16), index: torch.ones(16)})


def test_parameters_that_an_enclosing_call_puts_into_the_model_are_read():
    model, other = make(0), make(1)
    other_parameters = dict(other.named_parameters())

    class Caller(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, tokens):
            return stream(self.model, tokens).after

    given = {f"model.{name}": value for name, value in other_parameters.items()}
    found = functional_call(Caller(), given, (TOKENS,))
    assert torch.equal(found, stream(other, TOKENS).after)
    assert torch.equal(found, stream(model, TOKENS, other_parameters).after)


@pytest.mark.parametrize(
    ("name", "value"), [("activation_function", "relu"), ("scale_attn_by_inverse_layer_idx", True)]
)
def test_a_variant_of_the_architecture_is_refused(saved, name, value):
    _, config = saved
    file = Path(config.path) / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {name: value}))
    with pytest.raises(ValueError, match=rf"cannot be read: {name} must be .*, got {value!r}"):
        load_base(config)


def test_stacked_models_are_each_themselves_head_included():
    models = [make(seed) for seed in range(3)]
    parameters = stack_parameters(models)
    vectors = torch.randn(3, 16, generator=torch.Generator().manual_seed(2))
    architecture = make(3)

    def measure(parameters, vector):
        after = final_states(architecture, TOKENS, parameters, injected={1: vector}).after
        return (
            functional_call(architecture, parameters, (TOKENS,)).logits,
            final_logits(architecture, after, parameters),
            residual_stream(architecture, TOKENS, parameters),
        )

    logits, moved, states = vmap(measure)(parameters, vectors)
    for index, model in enumerate(models):
        after = final_states(model, TOKENS, injected={1: vectors[index]}).after
        torch.testing.assert_close(logits[index], model(TOKENS).logits)
        torch.testing.assert_close(moved[index], final_logits(model, after))
        torch.testing.assert_close(states[index], residual_stream(model, TOKENS))


def test_gradients_of_a_stack_are_those_of_each_model():
    models = [make(seed) for seed in range(2)]
    parameters = stack_parameters(models)

    def loss(parameters):
        logits = functional_call(models[0], parameters, (TOKENS[:, :-1],)).logits
        return torch.nn.functional.cross_entropy(logits.flatten(0, 1), TOKENS[:, 1:].flatten())

    vmap(loss)(parameters).sum().backward()
    for index, model in enumerate(models):
        loss(dict(model.named_parameters())).backward()
        for name, value in model.named_parameters():
            torch.testing.assert_close(parameters[name].grad[index], value.grad, msg=name)


MODELS = [make(seed).double() for seed in range(3)]


@settings(max_examples=10)
@given(seed=st.integers(0, 2**32 - 1), length=st.floats(0.1, 10.0))
def test_the_gauge_moves_the_raw_alignment_and_nothing_else(seed, length):
    model = MODELS[seed % len(MODELS)]
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(40, (2, 12), generator=generator)
    inputs, targets = tokens[:, :-1], tokens[:, 1:].flatten()
    vector = torch.randn(16, generator=generator, dtype=torch.float64)
    vector *= length / vector.norm()

    def measure():
        with torch.no_grad():
            states = final_states(model, inputs).after
            logits = final_logits(model, states)
            embedding, flat = model.transformer.wte.weight, states.flatten(0, 1)
            return (
                logits.log_softmax(-1),
                states,
                head_alignment(flat, embedding, targets, centred=False).item(),
                head_alignment(flat, embedding, targets, centred=True).item(),
            )

    before = measure()
    apply_gauge_shift(model, vector)
    after = measure()
    apply_gauge_shift(model, -vector)
    torch.testing.assert_close(after[0], before[0], rtol=0, atol=1e-10)
    torch.testing.assert_close(after[1], before[1], rtol=0, atol=1e-10)
    assert after[2] != pytest.approx(before[2], abs=1e-6)
    assert after[3] == pytest.approx(before[3], abs=1e-10)


def test_the_gauge_can_give_the_raw_alignment_either_sign():
    signs = []
    for direction in (1, -1):
        model = make()
        states = final_states(model, TOKENS).after.flatten(0, 1)
        apply_gauge_shift(model, direction * 20 * states.mean(0).detach())
        embedding = model.transformer.wte.weight
        signs.append(head_alignment(states, embedding, TOKENS.flatten(), centred=False).item())
    assert signs[0] > 0.1
    assert signs[1] < -0.1


def test_a_gauge_shift_of_another_width_is_refused():
    with pytest.raises(ValueError, match=r"vector must have shape \(16,\), got \(1, 16\)"):
        apply_gauge_shift(make(), torch.ones(1, 16))
