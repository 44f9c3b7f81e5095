"""Influence against the exact Jacobian, causality, and which weights embed the input."""

import copy
from dataclasses import replace

import pytest
import torch

from decouple.experiments.ep_plateau.mixing import (
    DIRECTIONS,
    TIGHT,
    embed,
    mixing_rows,
    probe_influence,
    query_positions,
    settle,
    token_losses,
)
from decouple.experiments.ep_plateau.presets import smoke
from decouple.models.equilibrium import EquilibriumTransformer, build_equilibrium
from decouple.models.equilibrium_config import EquilibriumConfig, RelaxationConfig
from decouple.models.transformer import build_transformer
from decouple.models.transformer_config import TransformerConfig
from decouple.training.equilibrium_trainer import EquilibriumTrainer
from decouple.training.numerics import cpu_numerics

LENGTH, WIDTH, VOCABULARY = 8, 8, 11
BLOCK = EquilibriumConfig(
    width=WIDTH,
    context=LENGTH,
    n_heads=2,
    leak=0.0,
    damping=0.5,
    step=0.35,
    residual_scale=0.5,
    embedding_std=0.5,
)
DECODER = TransformerConfig(width=WIDTH, context=LENGTH, n_heads=2, n_layers=2, embedding_std=0.5)
CONFIG = replace(
    smoke(),
    model=BLOCK,
    distances=(1, 2, 4),
    position_bins=4,
    influence_windows=2,
    influence_queries=2,
    perturbation=1e-3,
)


@pytest.fixture(autouse=True)
def _one_thread():
    with cpu_numerics(1):
        yield


def build(kind, seed=0):
    generator = torch.Generator().manual_seed(seed)
    if kind == "block":
        return build_equilibrium(BLOCK, VOCABULARY, generator)
    return build_transformer(DECODER, VOCABULARY, generator)


def windows(n=3, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(VOCABULARY, (n, LENGTH + 1), generator=generator)


def probe(model, data=None, *, distances=(1, 2, 4), queries=(5, 7), perturbation=1e-3):
    return probe_influence(
        model,
        windows() if data is None else data,
        distances=distances,
        queries=queries,
        perturbation=perturbation,
    )


def exact_jacobian(model, inputs):
    """∂state / ∂input (T, C, T, C) of one window, by implicit or by plain differentiation."""
    if isinstance(model, EquilibriumTransformer):
        state, _ = settle(model, inputs[None], TIGHT)

        def force(z):
            return model.force(z[None], inputs[None])[0]

        jacobian = torch.autograd.functional.jacobian(force, state[0])
        size = inputs.numel()
        return -torch.linalg.inv(jacobian.reshape(size, size)).view(jacobian.shape)
    return torch.autograd.functional.jacobian(lambda x: settle(model, x[None], TIGHT)[0][0], inputs)


@pytest.mark.parametrize("kind", ["block", "decoder"])
def test_influence_is_the_exact_derivative(kind):
    model, data, query, distances = build(kind).double(), windows(2), 6, (0, 1, 3, 6)
    found = probe(model, data, distances=distances, queries=(query,))
    drawn = torch.randn(
        2,
        len(distances),
        WIDTH,
        generator=torch.Generator().manual_seed(DIRECTIONS),
        dtype=torch.float64,
    )
    directions = drawn / drawn.norm(dim=-1, keepdim=True)
    expected, relative = [], []
    for window, along in zip(data, directions, strict=True):
        inputs = embed(model, window[:-1]).detach()
        state = settle(model, inputs[None], TIGHT)[0][0, query]
        jacobian = exact_jacobian(model, inputs)
        expected.append(
            torch.stack(
                [
                    (jacobian[query, :, query - distance] @ direction).norm()
                    for distance, direction in zip(distances, along, strict=True)
                ]
            )
        )
        relative.append(expected[-1] / state.norm())
    assert found.residual <= TIGHT.tolerance
    assert 0 < found.halving < 1e-3
    torch.testing.assert_close(
        found.influence.raw, torch.stack(expected).mean(0).detach(), rtol=1e-3, atol=0
    )
    torch.testing.assert_close(
        found.influence.relative, torch.stack(relative).mean(0).detach(), rtol=1e-3, atol=0
    )


@pytest.mark.parametrize("kind", ["block", "decoder"])
def test_the_future_has_no_influence_at_all(kind):
    model = build(kind)
    inputs = embed(model, windows()[:, :-1]).detach()
    changed = inputs.clone()
    changed[:, 5] += torch.randn(WIDTH, generator=torch.Generator().manual_seed(2))
    same_steps = RelaxationConfig(steps=60, tolerance=0.0)
    before, _ = settle(model, inputs, same_steps)
    after, _ = settle(model, changed, same_steps)
    assert torch.equal(before[:, :5], after[:, :5])
    assert bool((before[:, 5:] != after[:, 5:]).any(-1).all())


@pytest.mark.parametrize("kind", ["block", "decoder"])
def test_the_probe_finds_no_influence_on_the_past(kind):
    found = probe(build(kind), distances=(-2, -1, 1, 2), queries=(3, 5))
    past, present = found.influence.raw[:2], found.influence.raw[2:]
    assert past.max() < 1e-4 * present.min()


@pytest.mark.parametrize("kind", ["block", "decoder"])
def test_the_input_is_embedded_with_the_weights_that_are_measured(kind):
    """The document's probe once embedded with the weights a model is born with."""
    trained, born = build(kind, seed=0), build(kind, seed=5)
    stale = copy.deepcopy(trained)
    stale.tokens.data.copy_(born.tokens.data)
    stale.positions.data.copy_(born.positions.data)
    right, wrong = probe(trained), probe(stale)
    assert (right.influence.raw / wrong.influence.raw - 1).abs().max() > 0.1
    # Changed in place, a model is measured as it now is: nothing of its input is kept.
    trained.tokens.data.copy_(born.tokens.data)
    trained.positions.data.copy_(born.positions.data)
    assert torch.equal(probe(trained).influence.raw, wrong.influence.raw)


def test_the_model_is_left_as_it_is():
    model = build("block")
    before = copy.deepcopy(model.state_dict())
    probe(model)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert next(model.parameters()).dtype == torch.float32


def test_a_change_too_long_for_a_derivative_shows_on_halving():
    model = build("block")
    short, long = probe(model), probe(model, perturbation=3.0)
    assert short.halving < 1e-3 < 0.05 < long.halving


def test_a_fixed_point_that_is_not_reached_shows_in_the_residual():
    too_long_steps = replace(BLOCK, step=4.2)
    model = build_equilibrium(too_long_steps, VOCABULARY, torch.Generator().manual_seed(0))
    assert probe(model, windows(1), distances=(1,), queries=(5,)).residual > 1e-3


def test_changes_outside_the_window_are_refused():
    with pytest.raises(ValueError, match=r"keep to the 8 positions.*queries=\(3,\)"):
        probe(build("decoder"), distances=(4,), queries=(3,))
    with pytest.raises(ValueError, match="keep to the 8 positions"):
        probe(build("decoder"), distances=(1,), queries=(8,))


def test_queries_leave_room_for_the_farthest_change_and_reach_the_end():
    assert query_positions(256, (1, 8, 200), 4) == (200, 219, 237, 255)
    assert query_positions(32, (1, 16), 1) == (31,)
    assert query_positions(8, (7,), 3) == (7,)


@pytest.mark.parametrize("kind", ["block", "decoder"])
def test_loss_by_position_is_the_validation_loss(kind):
    model = build(kind)
    losses = token_losses(CONFIG, model, windows())
    assert losses.shape == (3, LENGTH)
    rows = mixing_rows(CONFIG, model, windows(), step=7, point="plateau")
    bins = [row for row in rows if row.metric == "position_loss"]
    assert [row.position for row in bins] == [0, 2, 4, 6]
    assert sum(row.value for row in bins) / 4 == pytest.approx(losses.mean().item(), rel=1e-6)
    assert bins[1].value == pytest.approx(losses[:, 2:4].mean().item(), rel=1e-6)
    if kind == "block":
        trainer = EquilibriumTrainer(replace(CONFIG.training, batch=2), model, windows(), 0)
        held_out = trainer.held_out(windows(), weights="raw").loss
        assert losses.mean().item() == pytest.approx(held_out, rel=1e-6)


@pytest.mark.parametrize("kind", ["block", "decoder"])
def test_rows_are_complete_and_agree_with_the_probe(kind):
    model = build(kind)
    rows = mixing_rows(CONFIG, model, windows(), step=7, point="plateau", condition="other")
    counts = {}
    for row in rows:
        counts[row.metric] = counts.get(row.metric, 0) + 1
        assert (row.step, row.point, row.condition) == (7, "plateau", "other")
    assert counts == {
        "influence": 3,
        "influence_relative": 3,
        "influence_halving": 1,
        "influence_residual": 1,
        "position_loss": 4,
    }
    found = probe(model, windows()[:2], queries=(4, 7)).influence
    for metric, values in (("influence", found.raw), ("influence_relative", found.relative)):
        by_distance = {row.distance: row.value for row in rows if row.metric == metric}
        assert by_distance == dict(zip((1, 2, 4), values.tolist(), strict=True))
