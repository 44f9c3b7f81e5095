import pytest
import torch
from torch.func import functional_call, grad, vmap

from decouple.models.conductor import VECTORS, Conductor
from decouple.models.gpt2 import build_gpt2, residual_stream
from decouple.models.gpt2_config import BaseShape
from decouple.training.ensemble import stack_parameters
from decouple.training.numerics import cpu_numerics

SHAPE = BaseShape(layers=4, width=16, heads=2, context=12, vocab_size=40)
BLOCKS = (1, 2)
ALL = tuple(range(SHAPE.layers))
TOKENS = torch.randint(40, (2, 9), generator=torch.Generator().manual_seed(1))


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    with cpu_numerics(1):
        yield


def make(seed=0, std=1.0):
    generator = torch.Generator().manual_seed(seed)
    conductor = Conductor(build_gpt2(SHAPE, generator), BLOCKS)
    with torch.no_grad():
        conductor.vectors.normal_(0.0, std, generator=generator)
    return conductor


def plain(conductor):
    with torch.no_grad():
        return conductor.model(TOKENS).logits


@torch.no_grad()
def test_vectors_of_zero_are_a_plain_gpt2():
    conductor = Conductor(build_gpt2(SHAPE, torch.Generator().manual_seed(0)), BLOCKS)
    assert torch.equal(conductor.vectors, torch.zeros(2, 16))
    torch.testing.assert_close(conductor(TOKENS).logits, plain(conductor))


@torch.no_grad()
def test_a_scale_of_zero_takes_the_vectors_out():
    conductor = make()
    torch.testing.assert_close(conductor(TOKENS, 0.0).logits, plain(conductor))
    assert not torch.allclose(conductor(TOKENS).logits, plain(conductor), atol=1e-3)


@torch.no_grad()
def test_only_what_follows_a_vector_sees_it():
    conductor = make()
    off, on = conductor(TOKENS, 0.0, layers=ALL), conductor(TOKENS, layers=ALL)
    assert torch.equal(on.states[0], off.states[0])
    torch.testing.assert_close(on.states[1] - off.states[1], conductor.vectors[0].expand(2, 9, 16))
    # After the next block the difference is no longer the vector alone.
    behind = on.states[2] - off.states[2] - conductor.vectors.sum(0)
    assert behind.abs().max() > 1e-3
    assert torch.equal(off.states[3], residual_stream(conductor.model, TOKENS)[3])


@torch.no_grad()
def test_states_are_those_of_the_injected_stream():
    conductor = make()
    injected = dict(zip(BLOCKS, conductor.vectors, strict=True))
    expected = residual_stream(conductor.model, TOKENS, injected=injected)
    states = conductor(TOKENS, layers=(2, 0)).states
    assert torch.equal(states[0], expected[2])
    assert torch.equal(states[1], expected[0])


@torch.no_grad()
def test_the_scale_multiplies_every_vector():
    conductor, twice = make(), make()
    twice.vectors.mul_(2)
    assert torch.equal(conductor(TOKENS, 2.0).logits, twice(TOKENS).logits)


@torch.no_grad()
def test_logits_at_some_positions_are_those_of_all():
    conductor = make()
    output = conductor(TOKENS)
    positions = torch.tensor([[3, 0, 8], [5, 5, 1]])
    some = conductor(TOKENS, positions=positions).logits
    for row in range(2):
        torch.testing.assert_close(some[row], output.logits[row, positions[row]])
    torch.testing.assert_close(output.final @ conductor.model.lm_head.weight.T, output.logits)


@torch.no_grad()
def test_between_passes_the_model_is_untouched():
    conductor = make()
    conductor(TOKENS, layers=ALL)
    with pytest.raises(IndexError):
        conductor(torch.full((1, 3), 99), layers=ALL)  # no such token
    assert all(not block._forward_hooks for block in conductor.model.transformer.h)
    torch.testing.assert_close(conductor(TOKENS, 0.0).logits, plain(conductor))


def test_stacked_conductors_are_the_single_ones():
    members = [make(seed) for seed in range(3)]
    parameters = stack_parameters(members)
    assert parameters[VECTORS].shape == (3, 2, 16)

    def loss(parameters):
        return functional_call(members[0], parameters, (TOKENS,)).logits.logsumexp(-1).mean()

    values, slopes = vmap(torch.func.grad_and_value(loss))(parameters)[::-1]
    for position, member in enumerate(members):
        own = member(TOKENS).logits.logsumexp(-1).mean()
        torch.testing.assert_close(values[position], own)
        (slope,) = torch.autograd.grad(own, [member.vectors])
        torch.testing.assert_close(slopes[VECTORS][position], slope, rtol=1e-4, atol=1e-7)
        assert slope.abs().max() > 0


def test_the_gradient_is_that_of_finite_differences():
    conductor = make().double()

    def loss(vectors):
        output = functional_call(conductor, {VECTORS: vectors}, (TOKENS, 0.7))
        return output.logits.square().mean()

    start = conductor.vectors.detach()
    slope = grad(loss)(start)
    step = torch.zeros_like(start)
    step[1, 3] = 1e-5
    difference = (loss(start + step) - loss(start - step)) / 2e-5
    assert difference.item() == pytest.approx(slope[1, 3].item(), rel=1e-6)


@pytest.mark.parametrize("blocks", [(), (2, 1), (1, 1)])
def test_blocks_must_increase(blocks):
    with pytest.raises(ValueError, match="blocks must be one block or more, increasing, got"):
        Conductor(make().model, blocks)


@pytest.mark.parametrize("blocks", [(-1,), (1, 4)])
def test_blocks_must_be_the_models(blocks):
    with pytest.raises(ValueError, match=r"blocks must lie between 0 and 3, .* got"):
        Conductor(make().model, blocks)
