import math
from dataclasses import replace

import pytest
import torch

from decouple.experiments.ep_plateau.presets import smoke
from decouple.experiments.ep_plateau.sweep import (
    WORST,
    loss_changes,
    loss_of,
    matched,
    stepped,
    with_regulariser,
)
from decouple.models.equilibrium import build_equilibrium
from decouple.models.equilibrium_config import EquilibriumConfig
from decouple.training.contraction import BLOCK_PARAMETERS, jacobian_penalty
from decouple.training.estimators.config import BPTTConfig
from decouple.training.estimators.registry import make_estimator

SHAPE = EquilibriumConfig(
    width=8, context=6, n_heads=2, leak=0.0, damping=1.0, step=0.6, norm="rms", activation="silu",
    embedding_std=0.5,
)  # fmt: skip
CONFIG = replace(smoke(), learning_rates=(1e-3, 1e-2, 1e6))


@pytest.fixture
def model():
    return build_equilibrium(SHAPE, 16, torch.Generator().manual_seed(0)).double()


@pytest.fixture
def windows():
    return torch.randint(16, (3, 7), generator=torch.Generator().manual_seed(1))


@pytest.fixture
def estimate(model, windows):
    return make_estimator(BPTTConfig(steps=80)).estimate(model, windows)


def weights(model):
    return {name: value.detach().clone() for name, value in model.named_parameters()}


def equal(model, before):
    return all(torch.equal(value, before[name]) for name, value in model.named_parameters())


def test_weights_are_what_they_were_bit_for_bit(model, windows, estimate):
    before = weights(model)
    loss_changes(CONFIG, model, estimate.gradients, windows)
    assert equal(model, before)


def test_weights_come_back_when_the_measurement_fails(model, estimate):
    before = weights(model)

    def fail():
        with stepped(model, estimate.gradients, 0.1):
            assert not equal(model, before)
            raise ArithmeticError

    with pytest.raises(ArithmeticError):
        fail()
    assert equal(model, before)


def test_a_small_step_lowers_the_loss_by_rate_times_squared_norm(model, windows, estimate):
    changes = loss_changes(CONFIG, model, estimate.gradients, windows)
    squared = sum(float((g**2).sum()) for g in estimate.gradients.values())
    assert changes[1e-3] == pytest.approx(-1e-3 * squared, rel=0.05)
    assert changes[1e-2] < changes[1e-3] < 0


def test_a_step_that_breaks_the_block_has_a_finite_cell(model, windows, estimate):
    changes = loss_changes(CONFIG, model, estimate.gradients, windows)
    assert changes[1e6] == WORST
    broken = {name: torch.full_like(g, math.nan) for name, g in estimate.gradients.items()}
    assert loss_changes(CONFIG, model, broken, windows) == dict.fromkeys(changes, WORST)


def test_a_matched_gradient_has_the_others_length_and_its_own_direction(estimate):
    long = {name: 486.0 * g for name, g in estimate.gradients.items()}
    found = matched(long, estimate.gradients)
    for name, gradient in estimate.gradients.items():
        torch.testing.assert_close(found[name], gradient)
    nothing = matched({n: g * math.inf for n, g in long.items()}, estimate.gradients)
    assert all(not g.any() for g in nothing.values())


def test_the_regulariser_is_added_to_the_branches_alone(model, estimate):
    added = with_regulariser(CONFIG, model, estimate.gradients, estimate.state, seed=1000)
    for name, gradient in estimate.gradients.items():
        assert torch.equal(added[name], gradient) == (name not in BLOCK_PARAMETERS)
    again = with_regulariser(CONFIG, model, estimate.gradients, estimate.state, seed=1000)
    assert all(torch.equal(added[name], again[name]) for name in added)
    # It is the floor times the gradient of the penalty, so a step along it lowers the penalty.
    pull = {name: added[name] - estimate.gradients[name] for name in BLOCK_PARAMETERS}
    zero = {name: pull.get(name, torch.zeros_like(g)) for name, g in estimate.gradients.items()}
    probes = torch.ones(1, *estimate.state.shape, dtype=torch.float64)
    before = jacobian_penalty(model, estimate.state, probes).item()
    with stepped(model, zero, 1.0):
        assert jacobian_penalty(model, estimate.state, probes).item() < before


@pytest.mark.parametrize("at_once", [1, 2, 3])
def test_loss_and_regulariser_in_parts_are_those_of_the_whole(model, windows, estimate, at_once):
    shape = replace(CONFIG.triangulation, batch=at_once, batches_at_once=1)
    bounded = replace(CONFIG, triangulation=shape)
    assert loss_of(bounded, model, windows) == pytest.approx(
        loss_of(CONFIG, model, windows), rel=1e-12
    )
    whole, parts = (
        with_regulariser(config, model, estimate.gradients, estimate.state, seed=1000)
        for config in (CONFIG, bounded)
    )
    torch.testing.assert_close(parts, whole, rtol=1e-9, atol=1e-14)


def test_the_loss_is_that_of_a_relaxed_block(model, windows, estimate):
    assert loss_of(CONFIG, model, windows) == pytest.approx(estimate.loss.item(), abs=1e-6)
