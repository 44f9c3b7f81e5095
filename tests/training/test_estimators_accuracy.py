"""Every estimator against exact implicit differentiation, in float64: orders, limits, errors.

The referee itself is held against finite differences of the loss at the fixed point.
"""

import dataclasses
import math
from typing import NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from decouple.models.equilibrium import EquilibriumTransformer, build_equilibrium
from decouple.models.equilibrium_config import EquilibriumConfig, RelaxationConfig
from decouple.models.equilibrium_relaxation import relax
from decouple.training.estimators.base import read_gradient
from decouple.training.estimators.config import (
    AdjointConfig,
    BPTTConfig,
    EquilibriumPropagationConfig,
    ImplicitConfig,
)
from decouple.training.estimators.implicit import dense_jacobian
from decouple.training.estimators.registry import make_estimator

SETTLED = RelaxationConfig(steps=400, tolerance=1e-14)
LONG = 110
"""Steps of a nudged phase that leave nothing of the start in float64, for the blocks below."""


class Case(NamedTuple):
    model: EquilibriumTransformer
    windows: torch.Tensor


def make(seed=0, *, dtype=torch.float64, batch=2, length=4, **changes):
    config = EquilibriumConfig(
        width=8, context=length, n_heads=2, embedding_std=1.0, residual_scale=1.0, step=0.35
    )
    generator = torch.Generator().manual_seed(seed)
    model = build_equilibrium(dataclasses.replace(config, **changes), 11, generator).to(dtype)
    return Case(model, torch.randint(0, 11, (batch, length + 1), generator=generator))


@st.composite
def cases(draw):
    """Any small contractive block, strongly asymmetric, with a batch for it."""
    n_heads = draw(st.sampled_from([1, 2]))
    case = make(
        draw(st.integers(0, 10_000)),
        batch=draw(st.integers(1, 3)),
        length=draw(st.integers(2, 5)),
        width=n_heads * draw(st.integers(4, 5)),
        n_heads=n_heads,
        embedding_std=draw(st.floats(0.7, 2.0)),
        residual_scale=draw(st.floats(0.5, 1.0)),
        norm=draw(st.sampled_from(["layer", "rms"])),
        activation=draw(st.sampled_from(["gelu", "silu"])),
    )
    # A narrow state whose centred part comes near 0, where the norm is steep, may never settle.
    free, jacobian, _ = dense(case)
    assume(free.residual.max() <= SETTLED.tolerance)
    assume(spectral_radius(case, jacobian) < 0.85)  # to the power LONG below 1e-7
    return case


def spectral_radius(case, jacobian):
    """Factor by which the slowest mode shrinks in one Euler step."""
    step_matrix = torch.eye(jacobian.shape[-1]) + case.model.config.step * jacobian
    return torch.linalg.eigvals(step_matrix).abs().max().item()


def flat(gradients):
    return torch.cat([gradient.flatten() for gradient in gradients.values()])


def gradient(case, config):
    return flat(make_estimator(config).estimate(*case).gradients)


def exact(case):
    found = make_estimator(ImplicitConfig(relaxation=SETTLED, tolerance=1e-11)).estimate(*case)
    assert found.solution.status() == "solved"
    return flat(found.gradients)


def distance(found, expected):
    return ((found - expected).norm() / expected.norm()).item()


def propagation(**changes):
    options = {"relaxation": SETTLED, "steps": LONG, "beta": 1e-3} | changes
    return EquilibriumPropagationConfig(**options)


def slope(x, y):
    return np.polyfit(np.log(x), np.log(y), 1)[0]


def dense(case):
    """Fixed point, Jacobian (B, n, n) and cost gradient (B, n) there."""
    inputs = case.model.embed(case.windows[:, :-1]).detach()
    free = relax(case.model, inputs, SETTLED)
    cost_gradient = case.model.cost_gradient(free.state, case.windows[:, 1:]).detach()
    return free, dense_jacobian(case.model, free.state, inputs), cost_gradient.flatten(1)


def respond(case, config, free):
    """Response (B, n) of an estimator from a given end of the free phase."""
    inputs = case.model.embed(case.windows[:, :-1]).detach()
    estimator = make_estimator(config)
    with torch.no_grad():
        return estimator.respond(case.model, inputs, case.windows[:, 1:], free).vector.flatten(1)


@given(cases())
@settings(max_examples=8, deadline=None)
def test_the_referee_is_the_derivative_of_the_loss_at_the_fixed_point(case):
    estimate = make_estimator(ImplicitConfig(relaxation=SETTLED)).estimate(*case)
    generator = torch.Generator().manual_seed(0)
    for name, parameter in case.model.named_parameters():
        direction = torch.randn(parameter.shape, dtype=torch.float64, generator=generator)
        losses = []
        for sign in (1.0, -1.0):
            with torch.no_grad():
                parameter.add_(direction, alpha=sign * 1e-5)
                inputs = case.model.embed(case.windows[:, :-1])
                state = relax(case.model, inputs, SETTLED).state
                losses.append(case.model.cost(state, case.windows[:, 1:]).mean())
                parameter.sub_(direction, alpha=sign * 1e-5)
        numerical = (losses[0] - losses[1]) / 2e-5 / (case.windows.shape[1] - 1)
        analytical = (estimate.gradients[name] * direction).sum()
        assert abs(numerical - analytical) < 1e-7 * max(1.0, direction.norm()), name


@pytest.mark.parametrize("correction", ["frozen", "tracking"])
@pytest.mark.parametrize(
    ("points", "betas"),
    [(1, (1e-4, 2e-4, 4e-4)), (2, (1e-3, 2e-3, 4e-3)), (4, (1e-2, 1.6e-2, 2.5e-2))],
)
@given(case=cases())
@settings(max_examples=4, deadline=None)
def test_error_is_of_order_n_in_the_nudge(correction, points, betas, case):
    expected = exact(case)
    errors = [
        distance(
            gradient(case, propagation(points=points, correction=correction, beta=beta)), expected
        )
        for beta in betas
    ]
    assert slope(betas, errors) == pytest.approx(points, abs=0.1)
    assert errors[0] < 1e-3  # exact in the limit


@given(case=cases())
@settings(max_examples=8, deadline=None)
def test_adjoint_is_implicit_and_corrected_propagation_goes_there(case):
    expected = exact(case)
    adjoint = AdjointConfig(relaxation=SETTLED, steps=300, tolerance=1e-14)
    assert distance(gradient(case, adjoint), expected) < 1e-12
    for correction in ("frozen", "tracking"):
        found = gradient(case, propagation(points=4, correction=correction, beta=2e-3))
        assert distance(found, expected) < 1e-6  # of order β⁴, times what a block makes of it


@given(case=cases(), points=st.sampled_from([1, 2, 4]))
@settings(max_examples=8, deadline=None)
def test_without_correction_the_limit_is_another_gradient(case, points):
    free, jacobian, cost_gradient = dense(case)
    wrong = torch.linalg.solve(jacobian, cost_gradient).view_as(free.state)
    _, predicted = read_gradient(*case, free.state, wrong)
    found = gradient(case, propagation(points=points, correction="none", beta=1e-5))
    assert distance(found, flat(predicted)) < 1e-4
    # How wrong it is does not depend on the nudge; zero only where the Jacobian is symmetric.
    expected = exact(case)
    error = distance(flat(predicted), expected)
    assert distance(found, expected) == pytest.approx(error, rel=1e-2, abs=1e-4)
    other = gradient(case, propagation(points=points, correction="none", beta=1e-4))
    assert distance(other, expected) == pytest.approx(error, rel=1e-2, abs=1e-3)


@pytest.mark.parametrize("seed", range(4))
def test_uncorrected_error_is_large_on_a_typical_block(seed):
    case = make(seed)
    found = gradient(case, propagation(correction="none"))
    assert 0.15 < distance(found, exact(case)) < 0.9


@given(case=cases(), steps=st.integers(1, 12))
@settings(max_examples=8, deadline=None)
def test_truncation_error_is_a_power_of_the_step_matrix_whatever_the_nudge(case, steps):
    free, jacobian, cost_gradient = dense(case)
    transposed = jacobian.transpose(1, 2)
    step_matrix = torch.eye(jacobian.shape[-1]) + case.model.config.step * transposed
    limit = torch.linalg.solve(transposed, cost_gradient)
    power = torch.linalg.matrix_power(step_matrix, steps)
    predicted = limit - (power @ limit.unsqueeze(-1)).squeeze(-1)
    # Before it has settled, it is far enough from the limit for the comparison to mean something.
    left_over = (predicted - limit).norm()
    iterated = AdjointConfig(relaxation=SETTLED, steps=steps, tolerance=0.0)
    assert (respond(case, iterated, free) - predicted).norm() < 1e-12 * limit.norm()
    for correction in ("frozen", "tracking"):
        for beta in (3e-4, 1e-4):
            config = propagation(correction=correction, beta=beta, steps=steps)
            found = respond(case, config, free)
            assert (found - predicted).norm() < 1e-5 * limit.norm()
            assert (found - limit).norm() == pytest.approx(left_over.item(), rel=1e-2, abs=1e-6)


@given(case=cases(), points=st.sampled_from([2, 4]))
@settings(max_examples=6, deadline=None)
def test_tracking_is_frozen_once_the_free_phase_has_converged(case, points):
    frozen, tracking = (
        gradient(case, propagation(points=points, correction=c, beta=1e-3))
        for c in ("frozen", "tracking")
    )
    assert distance(tracking, frozen) < 1e-4


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_tracking_outlives_a_free_phase_that_has_not_converged(seed):
    case = make(seed)
    expected = exact(case)
    residuals, errors = [], []
    for steps in (3, 6, 9):
        early = RelaxationConfig(steps=steps, tolerance=0.0)
        config = propagation(relaxation=early, beta=1e-4, steps=70)
        estimate = make_estimator(config).estimate(*case)
        residuals.append(estimate.residual.norm().item())
        errors.append(distance(flat(estimate.gradients), expected))
        tracking = gradient(case, dataclasses.replace(config, correction="tracking"))
        assert distance(tracking, expected) < 1e-6
    assert errors[0] > 1e-3
    # What the frozen correction leaves is of first order in the residual of the free phase.
    assert slope(residuals, errors) == pytest.approx(1.0, abs=0.15)


@given(case=cases())
@settings(max_examples=6, deadline=None)
def test_bptt_goes_to_implicit(case):
    expected = exact(case)
    few, many = (distance(gradient(case, BPTTConfig(steps=k)), expected) for k in (12, 40))
    assert many < max(0.1 * few, 1e-12)
    assert distance(gradient(case, BPTTConfig(steps=250)), expected) < 1e-11


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_bptt_goes_to_implicit_at_the_rate_of_the_slowest_mode(seed):
    case = make(seed, damping=0.0)
    expected = exact(case)
    _, jacobian, _ = dense(case)
    radius = spectral_radius(case, jacobian)
    horizons = np.array([40, 50, 60, 70])
    errors = [distance(gradient(case, BPTTConfig(steps=int(k))), expected) for k in horizons]
    rate = np.polyfit(horizons, np.log(errors / horizons), 1)[0]  # error = K ρ^K
    assert rate == pytest.approx(math.log(radius), rel=0.15)


def all_estimators(relaxation=SETTLED, steps=LONG):
    yield BPTTConfig(steps=60)
    yield AdjointConfig(relaxation=relaxation, steps=steps)
    yield ImplicitConfig(relaxation=relaxation)
    for correction in ("none", "frozen", "tracking"):
        for points in (1, 2, 4):
            for relative in (True, False):
                yield EquilibriumPropagationConfig(
                    relaxation=relaxation,
                    steps=20,
                    points=points,
                    correction=correction,
                    relative=relative,
                )


@pytest.mark.parametrize(
    ("dtype", "within"), [(torch.float64, 1e-11), (torch.float32, 5e-5)], ids=["f64", "f32"]
)
@pytest.mark.parametrize("config", list(all_estimators()), ids=repr)
def test_gradient_does_not_change_when_the_batch_is_repeated(config, dtype, within):
    if dtype == torch.float32 and not isinstance(config, BPTTConfig):
        config = dataclasses.replace(config, relaxation=RelaxationConfig(tolerance=1e-6))
    case = make(dtype=dtype)
    repeated = Case(case.model, case.windows.repeat(4, 1))
    assert distance(gradient(repeated, config), gradient(case, config)) < within


def test_one_sided_nudge_takes_the_drift_of_an_early_stop_for_a_response():
    case = make()
    expected = exact(case)
    early = RelaxationConfig(steps=8, tolerance=0.0)
    betas = (1e-2, 1e-3, 1e-4)
    one, two, four = (
        [
            distance(gradient(case, propagation(relaxation=early, points=n, beta=b)), expected)
            for b in betas
        ]
        for n in (1, 2, 4)
    )
    assert slope(betas, one) == pytest.approx(-1.0, abs=0.02)
    # Differences of points that drift together do not: their error is that of J alone.
    assert two == pytest.approx([two[0]] * 3, rel=0.01)
    assert four == pytest.approx([two[0]] * 3, rel=0.01)
    assert one[0] > 10 * two[0]


@pytest.mark.parametrize("correction", ["frozen", "tracking"])
def test_rounding_grows_as_the_nudge_shrinks_and_spares_the_adjoint(correction):
    case = make(batch=8)
    expected = exact(case)
    single = Case(case.model.float(), case.windows)
    relaxation = RelaxationConfig(tolerance=3e-7)
    betas = (1e-6, 1e-5, 1e-4)
    errors = [
        distance(
            gradient(single, propagation(relaxation=relaxation, correction=correction, beta=beta)),
            expected.float(),
        )
        for beta in betas
    ]
    assert slope(betas, errors) == pytest.approx(-1.0, abs=0.15)
    adjoint = AdjointConfig(relaxation=relaxation, tolerance=1e-6)
    assert distance(gradient(single, adjoint), expected.float()) < 5e-6 < errors[0]


@pytest.mark.parametrize("correction", ["frozen", "tracking"])
def test_default_nudge_keeps_enough_digits_in_float32(correction):
    case = make(batch=8)
    expected = exact(case)
    options = {"relaxation": RelaxationConfig(tolerance=1e-6), "correction": correction}
    config = EquilibriumPropagationConfig(**options)
    found = gradient(Case(case.model.float(), case.windows), config)
    cosine = torch.nn.functional.cosine_similarity(found.double(), expected, dim=0)
    assert cosine > 0.999
    assert found.norm() / expected.norm() == pytest.approx(1.0, abs=0.02)


def test_loss_is_the_mean_per_token_and_the_same_for_all():
    case = make()
    free, *_ = dense(case)
    logits = case.model.logits(free.state).flatten(0, 1)
    expected = torch.nn.functional.cross_entropy(logits, case.windows[:, 1:].flatten())
    for config in all_estimators():
        found = make_estimator(config).estimate(*case).loss
        torch.testing.assert_close(found, expected.detach(), rtol=1e-9, atol=0)
