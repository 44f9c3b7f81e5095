"""What a nudged phase reports, the nudge itself, complex arithmetic, compiled steps, refusals."""

import dataclasses
import functools
import subprocess
import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from decouple.models import equilibrium_relaxation
from decouple.models.equilibrium import build_equilibrium
from decouple.models.equilibrium_config import EquilibriumConfig, RelaxationConfig
from decouple.models.equilibrium_linearisation import linearise
from decouple.models.equilibrium_relaxation import compiled, relax
from decouple.models.transformer import build_transformer
from decouple.models.transformer_config import TransformerConfig
from decouple.training.estimators.config import (
    AdjointConfig,
    BackpropagationConfig,
    BPTTConfig,
    EquilibriumPropagationConfig,
    ImplicitConfig,
)
from decouple.training.estimators.equilibrium_propagation import nudged_step
from decouple.training.estimators.implicit import dense_jacobian
from decouple.training.estimators.nudging import (
    first_harmonic,
    growth,
    nudge_strength,
    phases,
    with_conjugates,
)
from decouple.training.estimators.registry import make_estimator

SETTLED = RelaxationConfig(steps=400, tolerance=1e-14)


def make(seed=0, *, batch=3, **changes):
    config = EquilibriumConfig(
        width=8, context=5, n_heads=2, embedding_std=1.0, residual_scale=1.0, step=0.35
    )
    generator = torch.Generator().manual_seed(seed)
    model = build_equilibrium(dataclasses.replace(config, **changes), 11, generator).double()
    return model, torch.randint(0, 11, (batch, 6), generator=generator)


@given(points=st.sampled_from([1, 2, 4]), order=st.integers(1, 6))
def test_first_harmonic_keeps_the_linear_term_and_drops_all_others_below_order_n(points, order):
    like = torch.ones(3, dtype=torch.float64)
    circle = phases(points, like)
    assert circle.is_complex() == (points > 2)
    radius, coefficient = 0.5, torch.tensor([1.0, -2.0, 3.0]).double()
    displacements = torch.stack([coefficient * (radius * factor) ** order for factor in circle])
    found = first_harmonic(displacements, circle)
    kept = order % points == 1 % points
    expected = coefficient * radius**order if kept else torch.zeros(3).double()
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-15)
    followed = displacements[: points // 2 + 1]
    restored = with_conjugates(followed, points)
    torch.testing.assert_close(restored, displacements, rtol=0, atol=1e-15)


@given(scale=st.floats(1e-3, 1e3), beta=st.floats(1e-4, 1.0))
def test_relative_nudge_is_a_share_of_each_samples_state(scale, beta):
    state = torch.arange(1.0, 25).double().view(2, 3, 4) * torch.tensor([1.0, scale])[:, None, None]
    gradient = torch.linspace(-1, 2, 24).double().view(2, 3, 4)
    radius = nudge_strength(state, gradient, beta, relative=True)
    share = (radius * gradient).flatten(1).norm(dim=1) / state.flatten(1).norm(dim=1)
    torch.testing.assert_close(share, torch.full((2,), beta).double())
    absolute = nudge_strength(state, gradient, beta, relative=False)
    assert (absolute == beta).all()
    assert absolute.shape == radius.shape == (2, 1, 1)


def test_growth_tells_settled_from_on_the_way_from_running_away():
    steps = torch.arange(1, 41).double()
    ways = torch.stack([1 - 0.5**steps, 1 - 0.999**steps, 1.3**steps], dim=-1)  # (40, 3)
    found = growth(list(ways.unsqueeze(1)))
    assert found[0] == pytest.approx(1.0, abs=1e-5)
    assert 1.9 < found[1] < 2.0
    assert found[2] == pytest.approx(1.3**20)
    # Of several points the one that grew most speaks for the sample.
    points = torch.stack([ways, ways.flip(-1)], dim=1)  # (40, 2, 3)
    assert torch.equal(growth(list(points)), torch.stack([found[2], found[1], found[2]]))


@pytest.mark.parametrize("points", [1, 2, 4])
@pytest.mark.parametrize("correction", ["none", "frozen", "tracking"])
def test_nudged_phase_reports_growth_and_the_true_adjoint_residual(points, correction):
    model, windows = make()
    config = EquilibriumPropagationConfig(
        relaxation=SETTLED, points=points, correction=correction, steps=100
    )
    inputs = model.embed(windows[:, :-1]).detach()
    free = relax(model, inputs, SETTLED)
    with torch.no_grad():
        found = make_estimator(config).respond(model, inputs, windows[:, 1:], free)
    cost_gradient = model.cost_gradient(found.state, windows[:, 1:]).detach().flatten(1)
    transposed = dense_jacobian(model, found.state, inputs).transpose(1, 2)
    mismatch = (transposed @ found.vector.flatten(1)[..., None]).squeeze(-1) - cost_gradient
    expected = mismatch.norm(dim=1) / cost_gradient.norm(dim=1)
    torch.testing.assert_close(found.nudged.adjoint_residual, expected, rtol=1e-6, atol=1e-12)
    assert (found.nudged.growth - 1).abs().max() < 1e-6
    assert found.nudged.trace.shape == (100, 2)
    assert (found.nudged.trace[:, 0] <= found.nudged.trace[:, 1]).all()
    # Without the correction the adjoint equation is not even approximately solved.
    assert (expected > 0.1).all() if correction == "none" else (expected < 0.1).all()


def strongly_asymmetric():
    """A block whose antisymmetric part outgrows its contraction a little off the fixed point."""
    model, _ = make(context=6, residual_scale=2.0, step=0.3)
    return model, torch.randint(0, 11, (3, 7), generator=torch.Generator().manual_seed(1))


def test_free_residual_does_not_certify_the_nudged_phase():
    model, windows = strongly_asymmetric()
    gentle, strong = (
        make_estimator(
            EquilibriumPropagationConfig(
                relaxation=RelaxationConfig(steps=600, tolerance=1e-14), beta=beta
            )
        ).estimate(model, windows)
        for beta in (1e-3, 0.3)
    )
    assert torch.equal(gentle.residual, strong.residual)
    assert gentle.residual.max() < 1e-13
    assert gentle.nudged.growth.max() == pytest.approx(1.0, abs=0.01)
    assert gentle.nudged.adjoint_residual.max() < 0.05
    assert strong.nudged.growth.max() > 1e3  # an explosion, from a perfect free phase
    assert strong.nudged.adjoint_residual.max() > 1e3


def test_tracking_survives_an_early_stop_at_which_the_frozen_correction_runs_away():
    model, windows = strongly_asymmetric()
    frozen, tracking = (
        make_estimator(
            EquilibriumPropagationConfig(
                relaxation=RelaxationConfig(steps=20), beta=1e-3, correction=correction
            )
        ).estimate(model, windows)
        for correction in ("frozen", "tracking")
    )
    assert torch.equal(frozen.residual, tracking.residual)
    assert frozen.nudged.growth.max() > 1e3
    assert tracking.nudged.growth.max() < 2
    assert tracking.nudged.adjoint_residual.max() < 0.3


def test_complex_nudged_step_equals_the_real_one_on_real_displacements():
    model, windows = make()
    inputs = model.embed(windows[:, :-1]).detach()
    base = relax(model, inputs, SETTLED).state
    _, at = linearise(model, base, inputs)
    generator = torch.Generator().manual_seed(2)
    moved = torch.randn(2, *base.shape, dtype=torch.float64, generator=generator)
    beta = torch.tensor([0.1, -0.2]).double().view(2, 1, 1, 1)
    for correction in (at, None):
        arguments = (model, base, inputs, windows[:, 1:])
        real = nudged_step(*arguments, moved, beta, correction)
        both = nudged_step(*arguments, moved + 0j, beta + 0j, correction)
        torch.testing.assert_close(both.real, real, rtol=1e-12, atol=1e-13)
        assert (both.imag == 0).all()


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
@pytest.mark.parametrize(
    "config",
    [
        EquilibriumPropagationConfig(relaxation=SETTLED, steps=5),
        EquilibriumPropagationConfig(relaxation=SETTLED, steps=5, correction="tracking", points=4),
        AdjointConfig(relaxation=SETTLED, steps=30),
    ],
    ids=["frozen", "tracking", "adjoint"],
)
@pytest.mark.filterwarnings("ignore:Torchinductor does not support code generation for complex")
def test_compiled_estimate_equals_eager_estimate(config, fast_compiler):
    model, windows = make()
    eager = make_estimator(config).estimate(model, windows)
    graph = make_estimator(dataclasses.replace(config, compiled=True)).estimate(model, windows)
    for name, gradient in eager.gradients.items():
        torch.testing.assert_close(graph.gradients[name], gradient, rtol=1e-9, atol=1e-12)
    assert graph.evaluations == eager.evaluations


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore:TensorFloat32 tensor cores")
@pytest.mark.filterwarnings("ignore:Torchinductor does not support code generation for complex")
@pytest.mark.parametrize("graph", [False, True])
@pytest.mark.parametrize("points", [2, 4])
@pytest.mark.parametrize("correction", ["none", "frozen", "tracking"])
def test_gpu_estimate_equals_cpu_estimate(correction, points, graph):
    model, windows = make()
    config = EquilibriumPropagationConfig(
        relaxation=SETTLED, steps=20, correction=correction, points=points
    )
    expected = make_estimator(config).estimate(model, windows)
    config = dataclasses.replace(config, compiled=graph)
    found = make_estimator(config).estimate(model.cuda(), windows.cuda())
    for name, gradient in expected.gradients.items():
        torch.testing.assert_close(found.gradients[name].cpu(), gradient, rtol=1e-7, atol=1e-10)


def test_adjoint_stops_each_sample_by_itself():
    model, windows = make(batch=4)
    config = AdjointConfig(relaxation=SETTLED, tolerance=1e-6)
    together = make_estimator(config).estimate(model, windows)
    assert (together.nudged.adjoint_residual <= 1e-6).all()
    for sample in range(4):
        alone = make_estimator(config).estimate(model, windows[sample : sample + 1])
        torch.testing.assert_close(
            alone.nudged.adjoint_residual[0],
            together.nudged.adjoint_residual[sample],
            rtol=1e-6,
            atol=0,
        )


def test_adjoint_is_causal_it_blames_nothing_on_later_positions(monkeypatch):
    model, windows = make()
    inputs = model.embed(windows[:, :-1]).detach()
    free = relax(model, inputs, SETTLED)
    estimator = make_estimator(AdjointConfig(relaxation=SETTLED, steps=200, tolerance=1e-13))
    for position in range(5):
        blame = torch.zeros_like(free.state)
        blame[:, position] = 1.0 + torch.arange(8)
        monkeypatch.setattr(model, "cost_gradient", lambda *_, blame=blame: blame)
        with torch.no_grad():
            response = estimator.respond(model, inputs, windows[:, 1:], free).vector
        assert (response[:, position + 1 :] == 0).all()
        assert (response[:, : position + 1].norm(dim=-1) > 1e-6).all()


def test_estimates_leave_the_model_alone_and_repeat_bit_by_bit():
    model, windows = make()
    before = [parameter.clone() for parameter in model.parameters()]
    for config in (EquilibriumPropagationConfig(), AdjointConfig(), BPTTConfig(steps=20)):
        one, two = (make_estimator(config).estimate(model, windows) for _ in range(2))
        for name, gradient in one.gradients.items():
            assert torch.equal(gradient, two.gradients[name]), name
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


def test_backpropagation_is_the_gradient_of_the_baseline():
    generator = torch.Generator().manual_seed(0)
    model = build_transformer(TransformerConfig(width=8, context=5, n_heads=2), 11, generator)
    windows = torch.randint(0, 11, (3, 6), generator=generator)
    found = make_estimator(BackpropagationConfig()).estimate(model, windows)
    logits = model(windows[:, :-1])
    loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), windows[:, 1:].flatten())
    loss.backward()
    torch.testing.assert_close(found.loss, loss.detach())
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(found.gradients[name], parameter.grad)
    assert found.state is None
    assert (found.residual == 0).all()


@pytest.mark.parametrize(
    ("kind", "change", "message"),
    [
        (EquilibriumPropagationConfig, {"points": 3}, "points must be one of 1, 2, 4, got 3"),
        (
            EquilibriumPropagationConfig,
            {"correction": "asymmetric"},
            "correction must be one of none, frozen, tracking, got 'asymmetric'",
        ),
        (EquilibriumPropagationConfig, {"beta": 0.0}, "beta must be positive and finite, got 0.0"),
        (EquilibriumPropagationConfig, {"steps": 0}, "steps must be at least 1, got 0"),
        (AdjointConfig, {"steps": 0}, "steps must be at least 1, got 0"),
        (
            AdjointConfig,
            {"tolerance": -1.0},
            "tolerance must be finite and not negative, got -1.0",
        ),
        (BPTTConfig, {"steps": 0}, "steps must be at least 1, got 0"),
        (BPTTConfig, {"micro_batch": 0}, "micro_batch must be at least 1 or None, got 0"),
        (ImplicitConfig, {"newton_steps": 0}, "newton_steps must be at least 1, got 0"),
    ],
)
def test_impossible_estimators_are_refused_with_name_value_and_expectation(kind, change, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        kind(**change)


@pytest.mark.parametrize(
    "module",
    [
        "decouple.models.equilibrium_config",
        "decouple.models.transformer_config",
        "decouple.training.estimators.config",
        "decouple.training.equilibrium_trainer_config",
    ],
)
def test_configurations_cost_no_torch(module):
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("size", [1, 2, 7])
def test_bptt_in_micro_batches_is_bptt_of_the_batch(size):
    model, windows = make()
    whole = make_estimator(BPTTConfig(steps=9)).estimate(model, windows)
    parts = make_estimator(BPTTConfig(steps=9, micro_batch=size)).estimate(model, windows)
    torch.testing.assert_close(parts.gradients, whole.gradients)
    for name in ("loss", "state", "residual", "free_trace"):
        torch.testing.assert_close(getattr(parts, name), getattr(whole, name))
    assert parts.evaluations == whole.evaluations


def test_what_is_no_estimator_and_what_is_too_large_is_refused():
    with pytest.raises(TypeError, match=r"^config must configure an estimator, got dict$"):
        make_estimator({})
    model, windows = make()
    with pytest.raises(ValueError, match=r"T·C at most largest=39 for a dense Jacobian, got 40$"):
        make_estimator(ImplicitConfig(largest=39)).estimate(model, windows)
