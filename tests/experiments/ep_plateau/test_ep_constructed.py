"""The constructed plateau point: made by its recipe alone, and the weights it is made from kept."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from decouple.experiments.ep_plateau.config import (
    ConstructedConfig,
    EPPlateauConfig,
    TriangulationConfig,
)
from decouple.experiments.ep_plateau.constructed import (
    HEADS,
    NUDGES,
    STEPS,
    NoPointError,
    at_last,
    best_head,
    construct,
    largest_nudge,
    largest_step,
)
from decouple.models.equilibrium import build_equilibrium
from decouple.models.equilibrium_config import EquilibriumConfig, RelaxationConfig
from decouple.models.equilibrium_relaxation import relax
from decouple.training.equilibrium_trainer_config import EquilibriumTrainerConfig
from decouple.training.estimators.config import EquilibriumPropagationConfig
from decouple.training.estimators.registry import make_estimator
from decouple.training.numerics import cpu_numerics

SHAPE = EquilibriumConfig(
    width=8,
    context=8,
    n_heads=2,
    leak=0.0,
    damping=1.0,
    step=0.6,
    norm="rms",
    activation="silu",
    residual_scale=0.7,
    embedding_std=0.5,
)
CONFIG = EPPlateauConfig(
    model=SHAPE,
    training=EquilibriumTrainerConfig(
        estimator=EquilibriumPropagationConfig(relaxation=RelaxationConfig(tolerance=1e-4), steps=9)
    ),
    snapshots=(),
    triangulation=TriangulationConfig(
        batches=2,
        batch=2,
        horizon=60,
        long_horizon=90,
        long_batches=1,
        averaged=(1, 2),
        precision="float64",
    ),
    constructed=ConstructedConfig(attention_factor=3.0, nudged_steps=15),
    distances=(1, 4),
)
WINDOWS = torch.randint(0, 11, (4, 9), generator=torch.Generator().manual_seed(5))
ESTIMATOR = CONFIG.training.estimator


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    with cpu_numerics(1):
        yield


def build():
    return build_equilibrium(SHAPE, 11, torch.Generator().manual_seed(0))


@pytest.fixture
def model():
    return build()


@pytest.fixture(scope="module")
def constructed():
    """A point, and the model that it was made from."""
    model = build()
    return construct(CONFIG, model, WINDOWS), model


def converges(model, step):
    model.config = replace(model.config, step=step)
    inputs = model.embed(WINDOWS[:, :-1])
    residual = relax(model, inputs, RelaxationConfig(steps=60, tolerance=1e-5)).residual
    return bool((residual <= 1e-5).all())


def tracking_error(model, config, beta):
    tracking = make_estimator(replace(config, correction="tracking", beta=beta))
    return tracking.estimate(model, WINDOWS).nudged.adjoint_residual.max()


def test_the_weights_it_is_made_from_stay_as_they_are(constructed):
    plateau, model = constructed
    before = {name: value.detach() for name, value in build().named_parameters()}
    assert model.config == SHAPE
    for name, value in model.named_parameters():
        assert torch.equal(value, before[name])
        assert value.dtype == torch.float32
    made = {name: value.detach() for name, value in plateau.model.named_parameters()}
    assert made["tokens"].dtype == torch.float64
    torch.testing.assert_close(made["attention_out"], 3 * before["attention_out"].double())
    for name in ("tokens", "positions", "query_key_value", "up", "down"):
        assert torch.equal(made[name], before[name].double())
    factor = (made["head"] / before["head"].double()).mean().item()
    assert any(factor == pytest.approx(head) for head in HEADS)


def test_it_is_made_the_same_twice(constructed, model):
    one, two = constructed[0], construct(CONFIG, model, WINDOWS)
    assert one.config == two.config
    for a, b in zip(one.model.parameters(), two.model.parameters(), strict=True):
        assert torch.equal(a, b)


def test_its_phases_are_those_of_the_recipe(constructed):
    plateau, _ = constructed
    estimator = plateau.config.training.estimator
    assert plateau.config.model == plateau.model.config
    assert estimator.steps == 15
    assert estimator.relaxation.tolerance == 1e-2
    assert estimator.beta in NUDGES
    assert estimator.correction == "frozen"
    assert any(plateau.model.config.step == pytest.approx(0.98 * step) for step in STEPS)


def test_the_step_is_the_largest_that_converges(model):
    model = model.double()
    with torch.no_grad():
        model.attention_out.mul_(3)
    largest = largest_step(CONFIG, model, WINDOWS)
    assert model.config == SHAPE
    assert converges(model, largest)
    larger = [step for step in STEPS if step > largest]
    assert larger, "a block that takes every step shows nothing"
    assert not any(converges(model, step) for step in larger)


def test_the_head_has_the_least_loss(model):
    with torch.no_grad():
        model.head.mul_(8)
    factor = best_head(CONFIG, model, WINDOWS)
    assert factor < 1
    with torch.no_grad():
        state = relax(model, model.embed(WINDOWS[:, :-1]), RelaxationConfig(tolerance=1e-5)).state
        logits, targets = model.logits(state).flatten(0, 1), WINDOWS[:, 1:].flatten()
        least = F.cross_entropy(factor * logits, targets)
        assert all(least <= F.cross_entropy(other * logits, targets) for other in HEADS)


def test_the_nudge_is_the_largest_that_tracking_takes(model):
    recipe = ConstructedConfig(adjoint_residual=0.05)
    config = replace(CONFIG, constructed=recipe)
    estimator = replace(ESTIMATOR, steps=15)
    beta = largest_nudge(config, model, estimator, WINDOWS)
    rung = NUDGES.index(beta)
    assert tracking_error(model, estimator, beta) <= 0.05
    assert rung + 1 < len(NUDGES), "a bound that no nudge reaches shows nothing"
    assert tracking_error(model, estimator, NUDGES[rung + 1]) > 0.05


def test_nothing_looks_at_the_frozen_correction(model, monkeypatch):
    module = "decouple.training.estimators.equilibrium_propagation.EquilibriumPropagation"
    monkeypatch.setattr(f"{module}.respond", lambda *_: pytest.fail("it was looked at"))
    assert construct(CONFIG, model, WINDOWS).config.training.estimator.correction == "frozen"


def test_a_block_that_does_not_converge_in_time_has_no_point(model):
    brief = replace(CONFIG.triangulation, horizon=2)
    with pytest.raises(NoPointError, match="the free phase converges under no step"):
        construct(replace(CONFIG, triangulation=brief), model, WINDOWS)
    assert model.config == SHAPE


def test_tracking_that_fails_with_every_nudge_has_no_point(model):
    recipe = replace(CONFIG.constructed, adjoint_residual=1e-12)
    config = replace(CONFIG, constructed=recipe)
    with pytest.raises(NoPointError, match="tracking solves its equation with no nudge"):
        construct(config, model, WINDOWS)


def test_without_a_recipe_the_last_checkpoint_is_the_point(model):
    plateau = at_last(replace(CONFIG, constructed=None), model)
    assert plateau.model.config == SHAPE
    for made, own in zip(plateau.model.parameters(), model.parameters(), strict=True):
        assert torch.equal(made, own.double())


@pytest.mark.parametrize(
    ("field", "value"),
    [("attention_factor", 0.0), ("margin", float("nan")), ("tolerance", -1.0)],
)
def test_impossible_recipes_are_refused(field, value):
    with pytest.raises(ValueError, match=f"{field} must be positive and finite, got"):
        ConstructedConfig(**{field: value})
