"""The block: against other code for the same function, its derivatives, its causality."""

import dataclasses
import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import gradcheck, gradgradcheck

from decouple.models.equilibrium import activate, build_equilibrium, logsumexp, softmax
from decouple.models.equilibrium_config import (
    EquilibriumConfig,
    RelaxationConfig,
    parameter_count,
)
from decouple.models.equilibrium_linearisation import (
    activation_slope,
    jacobian_product,
    linearise,
    on_complex,
    transposed_product,
)

# Forward-mode differentiation loads torch code that is deprecated within torch itself.
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")

SMALL = EquilibriumConfig(width=8, context=5, n_heads=2, embedding_std=1.0, residual_scale=1.0)


def make(config=SMALL, vocab_size=11, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return build_equilibrium(config, vocab_size, generator).double()


def draw(*shape, seed=1):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@st.composite
def blocks(draw_from):
    """A model, and three vectors of its state's shape, of any small shape and scale."""
    n_heads = draw_from(st.integers(1, 3))
    width = n_heads * draw_from(st.integers(2, 4))
    length = draw_from(st.integers(1, 6))
    config = EquilibriumConfig(
        width=width,
        context=length,
        n_heads=n_heads,
        expansion=draw_from(st.integers(1, 4)),
        leak=draw_from(st.sampled_from([0.5, 1.0])),
        damping=draw_from(st.sampled_from([0.0, 1.0])),
        norm=draw_from(st.sampled_from(["layer", "rms"])),
        activation=draw_from(st.sampled_from(["gelu", "silu"])),
        residual_scale=draw_from(st.floats(0.1, 3.0)),
    )
    seed = draw_from(st.integers(0, 1000))
    scale = draw_from(st.floats(0.1, 10.0))
    vectors = draw(3, draw_from(st.integers(1, 3)), length, width, seed=seed + 1)
    return make(config, seed=seed), scale * vectors[0], vectors[1], vectors[2]


@given(blocks())
@settings(max_examples=40, deadline=None)
def test_force_is_what_torchs_own_kernels_compute(drawn):
    model, state, inputs, _ = drawn
    config, (batch, length, width) = model.config, state.shape
    norm = F.layer_norm if config.norm == "layer" else F.rms_norm
    normed = norm(state, (width,), eps=1e-6)
    heads = F.linear(normed, model.query_key_value).view(batch, length, 3, config.n_heads, -1)
    query, key, value = heads.permute(2, 0, 3, 1, 4)
    query, key = (F.rms_norm(x, (width // config.n_heads,), eps=1e-6) for x in (query, key))
    mixed = F.scaled_dot_product_attention(query, key, value, is_causal=True)
    attention = F.linear(mixed.transpose(1, 2).reshape(state.shape), model.attention_out)
    hidden = F.linear(normed, model.up)
    hidden = F.silu(hidden) if config.activation == "silu" else F.gelu(hidden, approximate="tanh")
    expected = inputs - (config.leak + config.damping) * state + attention
    expected = expected + F.linear(hidden, model.down)
    torch.testing.assert_close(model.force(state, inputs), expected, rtol=1e-11, atol=1e-11)


@given(blocks())
@settings(max_examples=40, deadline=None)
def test_products_with_the_jacobian_are_those_of_automatic_differentiation(drawn):
    model, state, vector, other = drawn
    inputs = torch.zeros_like(state)

    def force(z):
        return model.force(z, inputs)

    value, at = linearise(model, state, inputs)
    expected, forward = torch.func.jvp(force, (state,), (vector,))
    (reverse,) = torch.func.vjp(force, state)[1](other)
    torch.testing.assert_close(value, expected, rtol=0, atol=0)
    product, transposed = jacobian_product(model, at, vector), transposed_product(model, at, other)
    torch.testing.assert_close(product, forward, rtol=1e-9, atol=1e-10)
    torch.testing.assert_close(transposed, reverse, rtol=1e-9, atol=1e-10)
    # ⟨Jv, w⟩ = ⟨v, Jᵀw⟩, without asking anyone else.
    left, right = (product * other).sum(), (vector * transposed).sum()
    assert abs(left - right) <= 1e-11 * product.norm() * other.norm()


@given(blocks())
@settings(max_examples=25, deadline=None)
def test_complex_path_equals_real_path_and_continues_it_analytically(drawn):
    model, state, vector, other = drawn
    inputs = torch.zeros_like(state)
    real = model.force(state, inputs)
    on_real_axis = model.force(state + 0j, inputs)
    torch.testing.assert_close(on_real_axis.real, real, rtol=1e-12, atol=1e-12)
    assert (on_real_axis.imag == 0).all()
    # Derivative by a complex step: no difference is taken, so only an analytic force gets this far.
    step = 1e-30
    _, at = linearise(model, state, inputs)
    derivative = model.force(state + 1j * step * vector, inputs).imag / step
    product = jacobian_product(model, at, vector)
    torch.testing.assert_close(derivative, product, rtol=1e-9, atol=1e-10)
    together = on_complex(lambda v: jacobian_product(model, at, v), vector + 1j * other)
    torch.testing.assert_close(together.real, product)
    torch.testing.assert_close(together.imag, jacobian_product(model, at, other))


@pytest.mark.parametrize("norm", ["layer", "rms"])
@pytest.mark.parametrize("activation", ["gelu", "silu"])
@pytest.mark.parametrize("number", [torch.float64, torch.complex128])
def test_force_has_forward_reverse_and_double_derivatives(norm, activation, number):
    config = dataclasses.replace(SMALL, width=4, norm=norm, activation=activation)
    model = make(config)
    inputs = draw(1, 3, 4)
    state = draw(1, 3, 4, seed=2).to(number)
    if number.is_complex:
        state = state + 0.2j * draw(1, 3, 4, seed=3)
    state.requires_grad_()
    parameters = [model.query_key_value, model.down]

    def force(z, *weights):
        named = dict(zip(["model.query_key_value", "model.down"], weights, strict=True))
        return torch.func.functional_call(Caller(model), named, (z, inputs))

    assert gradcheck(force, (state, *parameters), check_forward_ad=True, fast_mode=True)
    assert gradgradcheck(force, (state, *parameters), fast_mode=True)


class Caller(torch.nn.Module):
    """The force as the call of a module, in which functional_call replaces parameters."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, state, inputs):
        return self.model.force(state, inputs)


@given(
    x=st.lists(st.floats(-30, 30), min_size=2, max_size=6),
    name=st.sampled_from(["gelu", "silu"]),
)
def test_pieces_agree_with_torch_and_their_slope_with_the_complex_step(x, name):
    x = torch.tensor(x, dtype=torch.float64)
    torch.testing.assert_close(softmax(x + 0j).real, softmax(x))
    torch.testing.assert_close(logsumexp(x + 0j).real, torch.logsumexp(x, -1))
    torch.testing.assert_close(activate(x + 0j, name).real, activate(x, name))
    slope = activate(x + 1e-30j, name).imag / 1e-30
    torch.testing.assert_close(slope, activation_slope(x, name), rtol=1e-9, atol=1e-12)


@given(blocks(), st.integers(0, 5))
@settings(max_examples=25, deadline=None)
def test_force_is_causal_and_each_position_sees_itself(drawn, position):
    model, state, inputs, vector = drawn
    position %= state.shape[1]
    force = model.force(state, inputs)
    # Along the vector at one position only: earlier ones must not notice, bit by bit.
    moved = state.clone()
    moved[:, position] += vector[:, position]
    change = model.force(moved, inputs) - force
    assert (change[:, :position] == 0).all()
    weights = model.attend(state).weights
    assert (weights.diagonal(dim1=-2, dim2=-1) > 0).all()
    assert (weights.triu(1) == 0).all()
    torch.testing.assert_close(weights.sum(-1), torch.ones_like(weights[..., 0]))
    # Transposed: nothing that comes later is blamed for what happens here.
    _, at = linearise(model, state, inputs)
    here = torch.zeros_like(state)
    here[:, position] = vector[:, position]
    assert (transposed_product(model, at, here)[:, position + 1 :] == 0).all()


def test_later_positions_do_see_earlier_ones():
    model, state, inputs = make(), draw(2, 5, 8), draw(2, 5, 8, seed=3)
    moved = state.clone()
    moved[:, 0] = draw(2, 8, seed=4)
    change = (model.force(moved, inputs) - model.force(state, inputs)).norm(dim=-1)
    assert (change > 1e-3).all()


@given(blocks())
@settings(max_examples=15, deadline=None)
def test_cost_is_the_sum_over_tokens_and_its_gradient_is_closed(drawn):
    model, state, *_ = drawn
    tokens = torch.randint(0, 11, state.shape[:2], generator=torch.Generator().manual_seed(3))
    state = state.requires_grad_()
    cost = model.cost(state, tokens)
    summed = F.cross_entropy(model.logits(state).flatten(0, 1), tokens.flatten(), reduction="sum")
    torch.testing.assert_close(cost.sum(), summed)
    (expected,) = torch.autograd.grad(cost.sum(), state)
    torch.testing.assert_close(model.cost_gradient(state, tokens), expected, atol=1e-12, rtol=1e-9)
    stacked = torch.stack([state, 2 * state])
    both = model.cost_gradient(stacked, tokens)
    torch.testing.assert_close(both[1], model.cost_gradient(2 * state, tokens))
    torch.testing.assert_close(model.cost(stacked, tokens)[0], cost)
    on_real_axis = model.cost_gradient(state + 0j, tokens)
    torch.testing.assert_close(on_real_axis.real, expected, atol=1e-12, rtol=1e-9)


def test_building_draws_from_the_generator_alone_and_repeats():
    before = torch.get_rng_state()
    one, two, other = make(seed=5), make(seed=5), make(seed=6)
    assert torch.equal(torch.get_rng_state(), before)
    for (name, a), b, c in zip(
        one.named_parameters(), two.parameters(), other.parameters(), strict=True
    ):
        assert torch.equal(a, b), name
        assert not torch.equal(a, c), name


def test_residual_scale_reaches_the_outputs_of_both_branches_and_nothing_else():
    small = make(dataclasses.replace(SMALL, residual_scale=0.1))
    for (name, scaled), full in zip(small.named_parameters(), make().parameters(), strict=True):
        factor = 0.1 if name in {"attention_out", "down"} else 1.0
        torch.testing.assert_close(scaled, factor * full)


@pytest.mark.parametrize("expansion", [1, 4])
def test_parameters_are_counted(expansion):
    config = dataclasses.replace(SMALL, expansion=expansion)
    model = make(config, vocab_size=13)
    counted = sum(parameter.numel() for parameter in model.parameters())
    assert parameter_count(config, 13) == counted


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"width": 0}, "width must be at least 1, got 0"),
        ({"n_heads": 3}, "n_heads must divide width=8, got 3"),
        ({"step": -0.1}, "step must be positive and finite, got -0.1"),
        ({"residual_scale": math.inf}, "residual_scale must be positive and finite, got inf"),
        ({"damping": -1.0}, "damping must be finite and not negative, got -1.0"),
        ({"leak": 0.0, "damping": 0.0}, r"leak \+ damping must be positive, got 0.0"),
        ({"norm": "batch"}, "norm must be one of layer, rms, got 'batch'"),
        ({"activation": "relu"}, "activation must be one of gelu, silu, got 'relu'"),
    ],
)
def test_impossible_shapes_are_refused_with_name_value_and_expectation(change, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        dataclasses.replace(SMALL, **change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 0}, "steps must be at least 1, got 0"),
        ({"tolerance": -1e-3}, "tolerance must be finite and not negative, got -0.001"),
        ({"coarse": "half"}, "coarse must be None or one of bfloat16, tf32, got 'half'"),
    ],
)
def test_impossible_relaxations_are_refused_with_name_value_and_expectation(change, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        RelaxationConfig(**change)


def test_long_sequences_and_empty_vocabularies_are_refused():
    with pytest.raises(ValueError, match=r"^tokens must be at most context=5 long, got 6$"):
        make().embed(torch.zeros(1, 6, dtype=torch.int64))
    with pytest.raises(ValueError, match=r"^vocab_size must be at least 1, got 0$"):
        make(vocab_size=0)
