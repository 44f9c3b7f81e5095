"""Relaxation: one fixed point whatever the way to it, and samples that do not touch each other."""

import dataclasses
import functools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from decouple.models import equilibrium_relaxation
from decouple.models.equilibrium import build_equilibrium
from decouple.models.equilibrium_config import EquilibriumConfig, RelaxationConfig
from decouple.models.equilibrium_relaxation import (
    coarse_products,
    compiled,
    relative_norm,
    relax,
)

CONFIG = EquilibriumConfig(width=8, context=6, n_heads=2, embedding_std=1.0, step=0.3)
FAR = RelaxationConfig(steps=800, tolerance=3e-15)


def make(config=CONFIG, seed=0):
    return build_equilibrium(config, 13, torch.Generator().manual_seed(seed)).double()


def embedded(model, batch=4, length=6, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return model.embed(torch.randint(0, 13, (batch, length), generator=generator)).detach()


@given(
    seed=st.integers(0, 200),
    step=st.floats(0.15, 0.6),
    start=st.floats(0.2, 5.0),
    damping=st.sampled_from([0.0, 1.0]),
    norm=st.sampled_from(["layer", "rms"]),
)
@settings(max_examples=10, deadline=None)
def test_a_contractive_block_has_one_fixed_point(seed, step, start, damping, norm):
    config = dataclasses.replace(CONFIG, damping=damping, norm=norm)
    inputs = embedded(make(config, seed))
    reached = relax(make(config, seed), inputs, FAR)
    assert reached.residual.max() < 1e-13
    assert torch.allclose(make(config, seed).force(reached.state, inputs), torch.zeros(()).double())
    # Neither the step nor where it began makes a difference.
    other = make(dataclasses.replace(config, step=step), seed)
    generator = torch.Generator().manual_seed(seed)
    away = start * torch.randn(inputs.shape, dtype=torch.float64, generator=generator)
    again = relax(other, inputs, FAR, start=away)
    torch.testing.assert_close(again.state, reached.state, rtol=0, atol=1e-11)


def test_the_fixed_point_is_also_newtons():
    model = make()
    inputs = embedded(model)
    state = model.start(inputs)
    jacobian = torch.func.vmap(torch.func.jacrev(model.force))
    for _ in range(12):
        dense = jacobian(state, inputs).reshape(len(state), 48, 48)
        newton = torch.linalg.solve(dense, model.force(state, inputs).flatten(1))
        state = (state - newton.view_as(state)).detach()
    torch.testing.assert_close(relax(model, inputs, FAR).state, state, rtol=0, atol=1e-11)


def test_fixed_point_is_causal():
    model = make()
    inputs = embedded(model)
    moved = inputs.clone()
    moved[:, 3, 0] += 1.0  # in one channel: a norm takes no notice of the same shift in all
    steps = RelaxationConfig(steps=60, tolerance=0.0)
    change = relax(model, moved, steps).state - relax(model, inputs, steps).state
    assert (change[:, :3] == 0).all()
    assert (change[:, 3:].norm(dim=-1) > 1e-5).all()


@given(seed=st.integers(0, 500), scales=st.lists(st.floats(0.05, 20.0), min_size=2, max_size=5))
@settings(max_examples=10, deadline=None)
def test_each_sample_stops_by_itself_and_as_if_it_were_alone(seed, scales):
    model = make(seed=seed)
    inputs = embedded(model, batch=len(scales), seed=seed)
    inputs = inputs * torch.tensor(scales, dtype=torch.float64)[:, None, None]
    config = RelaxationConfig(steps=400, tolerance=1e-8)
    together = relax(model, inputs, config)
    for sample in range(len(scales)):
        alone = relax(model, inputs[sample : sample + 1], config)
        assert alone.steps[0] == together.steps[sample]
        torch.testing.assert_close(alone.state[0], together.state[sample], rtol=0, atol=1e-12)
    # A small input may leave a block that does not contract: then all its steps are taken.
    stopped = together.residual <= 1e-8
    assert (stopped | (together.steps == config.steps)).all()
    # One evaluation at the state; one more to see the end, where there is one before the last step.
    assert together.evaluations == together.steps.max() + (2 if stopped.all() else 1)


def test_samples_of_one_batch_do_stop_at_different_steps():
    model = make(dataclasses.replace(CONFIG, residual_scale=0.5))
    inputs = embedded(model) * torch.tensor([0.1, 1.0, 10.0, 100.0]).double()[:, None, None]
    steps = relax(model, inputs, RelaxationConfig(steps=400, tolerance=1e-8)).steps
    assert len(set(steps.tolist())) >= 3


def test_trace_holds_mean_and_worst_residual_of_every_step():
    model = make()
    inputs = embedded(model)
    found = relax(model, inputs, RelaxationConfig(steps=7, tolerance=0.0))
    state, rows = model.start(inputs), []
    for _ in range(8):
        residual = relative_norm(model.force(state, inputs), state)
        rows.append([residual.mean().item(), residual.max().item()])
        state = state + model.config.step * model.force(state, inputs)
    assert found.trace.shape == (8, 2)
    assert found.evaluations == 8
    torch.testing.assert_close(found.trace, torch.tensor(rows).double())
    assert (found.trace[:, 0] < found.trace[:, 1]).all()
    assert torch.equal(found.trace[-1, 1], found.residual.max())
    assert (found.steps == 7).all()


def test_a_state_that_is_not_a_number_never_counts_as_settled():
    model = make()
    inputs = embedded(model)
    inputs[1, 2, 3] = torch.nan
    found = relax(model, inputs, RelaxationConfig(steps=100, tolerance=1e-6))
    assert found.steps[1] == 100
    assert found.residual.isnan().tolist() == [False, True, False, False]
    assert (found.residual[[0, 2, 3]] <= 1e-6).all()


def test_coarse_arithmetic_ends_where_full_precision_does():
    model = make().float()
    inputs = embedded(model)
    config = RelaxationConfig(steps=150, tolerance=2e-6)
    exact = relax(model, inputs, config)
    coarse = relax(model, inputs, dataclasses.replace(config, coarse="bfloat16"))
    assert coarse.state.dtype == torch.float32
    assert (coarse.residual <= 2e-6).all()
    torch.testing.assert_close(coarse.state, exact.state, rtol=0, atol=2e-5)
    # It did go another way: its first residuals have the three digits of bfloat16, not seven.
    first, expected = coarse.trace[:2], exact.trace[:2]
    assert ((first - expected).abs() > 1e-4 * expected).all()
    # Nor would that way alone have led there.
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = relax(model, inputs, RelaxationConfig(steps=150, tolerance=0.0))
    assert (rough.state - exact.state).abs().max() > 1e-4


def test_tf32_is_asked_for_in_both_of_torchs_ways_and_taken_back():
    matmul, before = torch.backends.cuda.matmul, torch.get_float32_matmul_precision()
    with coarse_products("tf32", "cuda"):
        # Where the two disagree, asking for the older one, as torch's compiler may, raises.
        assert (matmul.fp32_precision, matmul.allow_tf32) == ("tf32", True)
    assert (matmul.fp32_precision, matmul.allow_tf32) == ("ieee", False)
    assert torch.get_float32_matmul_precision() == before == "highest"
    with coarse_products("tf32", "cpu"):
        assert not matmul.allow_tf32


def test_a_step_is_compiled_for_more_shapes_than_torch_lets_by_default(fast_compiler):
    def double(x):
        return 2 * x

    graph = compiled(double, "cpu")
    for size in range(2, 14):
        x = torch.ones(size)
        assert torch.equal(graph(x), 2 * x)


@pytest.fixture
def fast_compiler(monkeypatch):
    """Capture and lowering as in earnest, without the minutes of generating machine code."""
    torch._dynamo.reset()
    compiled.cache_clear()
    whole = functools.partial(torch.compile, backend="aot_eager")
    monkeypatch.setattr(equilibrium_relaxation.torch, "compile", whole)
    yield
    compiled.cache_clear()
    torch._dynamo.reset()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_compiled_step_equals_eager_step(fast_compiler):
    model = make()
    inputs = embedded(model)
    config = RelaxationConfig(steps=60, tolerance=1e-9)
    eager = relax(model, inputs, config)
    graph = relax(model, inputs, dataclasses.replace(config, compiled=True))
    torch.testing.assert_close(graph.state, eager.state, rtol=0, atol=1e-13)
    assert torch.equal(graph.steps, eager.steps)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore:TensorFloat32 tensor cores")
@pytest.mark.parametrize("coarse", [None, "tf32", "bfloat16"])
@pytest.mark.parametrize("graph", [False, True])
def test_gpu_reaches_the_same_fixed_point(coarse, graph):
    model = make().float()
    inputs = embedded(model)
    config = RelaxationConfig(steps=200, tolerance=2e-6)
    expected = relax(model, inputs, config)
    config = dataclasses.replace(config, coarse=coarse, compiled=graph)
    found = relax(model.cuda(), inputs.cuda(), config)
    assert (found.residual <= 2e-6).all()
    torch.testing.assert_close(found.state.cpu(), expected.state, rtol=0, atol=5e-5)
