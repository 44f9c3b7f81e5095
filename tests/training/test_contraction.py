"""Regulariser, controller, gate, fuse and average: each by what it promises."""

import dataclasses
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from decouple.models.equilibrium import build_equilibrium
from decouple.models.equilibrium_config import EquilibriumConfig
from decouple.training.contraction import (
    Controller,
    Fuse,
    ParameterAverage,
    jacobian_penalty,
    judge_estimate,
    rademacher,
)
from decouple.training.equilibrium_trainer_config import ContractionConfig
from decouple.training.estimators.base import NudgedPhase

CONFIG = ContractionConfig(floor=0.1, ceiling=32.0, target_residual=1e-3, gain=0.1)


def make(seed=0, **changes):
    config = EquilibriumConfig(width=4, context=4, n_heads=2, embedding_std=1.0, residual_scale=1.0)
    generator = torch.Generator().manual_seed(seed)
    model = build_equilibrium(dataclasses.replace(config, **changes), 7, generator).double()
    return model, torch.randn(2, 4, 4, dtype=torch.float64, generator=generator)


def squared_norm(model, state):
    jacobian = torch.func.vmap(torch.func.jacrev(model.branches))(state)
    return jacobian.square().sum() / state.numel()


@given(seed=st.integers(0, 100), norm=st.sampled_from(["layer", "rms"]))
@settings(max_examples=10, deadline=None)
def test_penalty_is_the_squared_norm_over_any_orthogonal_set_of_probes(seed, norm):
    # Rows of a Hadamard matrix: signs, as the probes are, whose mean of v vᵀ is the identity.
    model, state = make(seed, norm=norm)
    hadamard = torch.ones(1, 1, dtype=torch.float64)
    while len(hadamard) < state[0].numel():
        hadamard = torch.cat(
            [torch.cat([hadamard, hadamard], 1), torch.cat([hadamard, -hadamard], 1)]
        )
    probes = hadamard.view(16, 1, 4, 4).expand(16, 2, 4, 4)
    found = jacobian_penalty(model, state, probes)
    torch.testing.assert_close(found, squared_norm(model, state), rtol=1e-10, atol=0)


def test_penalty_over_random_signs_is_unbiased():
    model, state = make()
    generator = torch.Generator().manual_seed(5)
    samples = torch.stack(
        [
            jacobian_penalty(model, state, rademacher(state, 1, generator)).detach()
            for _ in range(400)
        ]
    )
    standard_error = samples.std() / 20
    exact = squared_norm(model, state)
    assert abs(samples.mean() - exact) < 4 * standard_error
    assert standard_error < 0.03 * exact  # tight enough to notice a wrong factor


def test_penalty_moves_the_parameters_down_the_jacobian_and_leaves_leak_and_damping_out():
    model, state = make()
    probes = rademacher(state, 64, torch.Generator().manual_seed(0))
    assert set(probes.unique().tolist()) == {-1.0, 1.0}
    penalty = jacobian_penalty(model, state, probes)
    weights = [model.query_key_value, model.attention_out, model.up, model.down]
    gradients = torch.autograd.grad(penalty, weights)
    before = squared_norm(model, state)
    with torch.no_grad():
        for weight, gradient in zip(weights, gradients, strict=True):
            weight.sub_(gradient, alpha=0.05)
    assert squared_norm(model, state) < 0.95 * before
    damped, _ = make(damping=5.0)
    damped.load_state_dict(model.state_dict())
    assert torch.equal(
        jacobian_penalty(damped, state, probes), jacobian_penalty(model, state, probes)
    )


def test_penalty_gradient_is_the_derivative_of_the_penalty():
    model, state = make()
    probes = rademacher(state, 2, torch.Generator().manual_seed(0))
    (gradient,) = torch.autograd.grad(jacobian_penalty(model, state, probes), model.up)
    direction = torch.randn(model.up.shape, generator=torch.Generator().manual_seed(1)).double()
    values = []
    for sign in (1, -1, -1):
        with torch.no_grad():
            model.up.add_(direction, alpha=sign * 1e-5)
        values.append(jacobian_penalty(model, state, probes).item())
    numerical = (values[0] - values[2]) / 2e-5
    assert numerical == pytest.approx((gradient * direction).sum().item(), rel=1e-6)


@given(residuals=st.lists(st.floats(0, 1e3, allow_nan=False), min_size=1, max_size=60))
def test_weight_stays_between_floor_and_ceiling_and_moves_the_right_way(residuals):
    controller = Controller(CONFIG)
    assert controller.weight == pytest.approx(CONFIG.floor)
    for residual in residuals:
        before = controller.weight.item()
        controller.update(torch.tensor([residual]))
        after = controller.weight.item()
        assert CONFIG.floor * (1 - 1e-6) <= after <= CONFIG.ceiling * (1 + 1e-6)
        if residual > 1.01 * CONFIG.target_residual:
            assert after > before or after == pytest.approx(CONFIG.ceiling)
        elif residual < 0.99 * CONFIG.target_residual:
            assert after < before or after == pytest.approx(CONFIG.floor)


def test_controller_step_is_gain_times_the_log_of_the_ratio_up_to_one():
    controller = Controller(CONFIG)
    controller.update(torch.tensor([1.0e-3, 2.0e-3]))  # mean 1.5 times the target
    assert controller.weight == pytest.approx(0.1 * 1.5**0.1)
    controller.update(torch.tensor([1e6]))
    assert controller.weight == pytest.approx(0.1 * 1.5**0.1 * math.exp(0.1))


@pytest.mark.parametrize(("held", "relief"), [(1.0, 1e-5), (1e-9, 1.0)])
def test_controller_leaves_its_limit_at_once_however_long_it_was_held_there(held, relief):
    controller = Controller(CONFIG)
    for _ in range(1000):
        controller.update(torch.tensor([held]))
    limit = CONFIG.ceiling if held > relief else CONFIG.floor
    assert controller.weight == pytest.approx(limit)
    controller.update(torch.tensor([relief]))
    change = math.log(controller.weight.item() / limit)
    assert change == pytest.approx(-CONFIG.gain if held > relief else CONFIG.gain, rel=1e-4)


def test_controller_takes_what_is_not_a_number_for_far_above_target():
    controller, other = Controller(CONFIG), Controller(CONFIG)
    controller.update(torch.tensor([torch.nan]))
    other.update(torch.tensor([1e9]))
    assert torch.equal(controller.weight, other.weight)
    assert controller.weight > CONFIG.floor


def test_controller_and_fuse_go_on_bit_by_bit_from_their_state():
    residuals = torch.rand(20, 3, generator=torch.Generator().manual_seed(0))
    for kind in (Controller, Fuse):
        straight, stopped = kind(CONFIG), kind(CONFIG)
        for residual in residuals[:9]:
            stopped.update(residual)
        resumed = kind(CONFIG)
        resumed.load_state_dict(stopped.state_dict())
        for residual in residuals:
            straight.update(residual)
        for residual in residuals[9:]:
            resumed.update(residual)
        for name, value in straight.state_dict().items():
            assert torch.equal(value, resumed.state_dict()[name])


def phase(growth=(1.0, 1.0), adjoint=(0.01, 0.01)):
    return NudgedPhase(torch.tensor(growth), torch.tensor(adjoint), torch.zeros(1, 2))


@pytest.mark.parametrize(
    ("residual", "nudged", "free", "certified"),
    [
        ((1e-4, 1e-4), phase(), True, True),
        ((1e-4, 1e-4), None, True, True),
        ((1e-1, 1e-1), None, False, True),
        ((1e-6, 1.5e-2), phase(), False, True),  # the mean is below the limit, the worst is not
        ((1e-2, 1e-2), phase(), True, True),  # at the limit
        ((1e-4, torch.nan), phase(), False, True),
        ((1e-4, 1e-4), phase(growth=(1.0, 50.0)), True, False),
        ((1e-4, 1e-4), phase(growth=(1.0, torch.nan)), True, False),
        ((1e-4, 1e-4), phase(adjoint=(0.6, 0.0)), True, False),
        ((1e-4, 1e-4), phase(adjoint=(torch.inf, 0.0)), True, False),
        ((1e-1, 1e-4), phase(growth=(9.0, 1.0)), False, False),
    ],
)
def test_gate_asks_the_worst_sample_about_both_phases(residual, nudged, free, certified):
    verdicts = judge_estimate(torch.tensor(residual), nudged, CONFIG)
    assert bool(verdicts.free) is free
    assert bool(verdicts.nudged) is certified
    assert bool(verdicts.open) is (free and certified)


@given(
    residuals=st.lists(st.sampled_from([0.05, 0.1, 0.11, math.nan]), max_size=40),
    patience=st.integers(1, 5),
)
def test_fuse_blows_after_so_many_steps_in_a_row(residuals, patience):
    fuse = Fuse(dataclasses.replace(CONFIG, fuse_patience=patience))
    row = 0
    for residual in residuals:
        row = 0 if residual <= 0.1 else row + 1
        assert bool(fuse.update(torch.tensor([residual, residual]))) is (row >= patience)


@given(decay=st.floats(0, 0.999), steps=st.integers(0, 8))
def test_average_is_the_exponential_moving_average(decay, steps):
    model, _ = make()
    average = ParameterAverage(model, decay)
    expected = model.down.detach().clone()
    for step in range(steps):
        with torch.no_grad():
            model.down.add_(step + 1.0)
        average.update(model)
        expected = decay * expected + (1 - decay) * model.down.detach()
    torch.testing.assert_close(average.state_dict()["down"], expected)
    again = ParameterAverage(model, decay)
    again.load_state_dict(average.state_dict())
    assert all(torch.equal(again.values[name], v) for name, v in average.values.items())


def test_an_average_that_never_moves_is_refused():
    with pytest.raises(ValueError, match=r"^decay must be in \[0, 1\), got 1.0$"):
        ParameterAverage(make()[0], 1.0)
