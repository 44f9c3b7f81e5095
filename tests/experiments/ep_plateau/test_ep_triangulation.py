"""Gradients of the same weights: what agrees must, what differs must be seen to differ."""

import math
from dataclasses import replace

import pytest
import torch

from decouple.experiments.ep_plateau import triangulation
from decouple.experiments.ep_plateau.config import EPPlateauConfig, TriangulationConfig
from decouple.experiments.ep_plateau.triangulation import (
    LARGEST,
    Reference,
    _together,
    average,
    estimate,
    estimator_rows,
    pair_count,
)
from decouple.metrics.gradients import cosine, flatten
from decouple.models.equilibrium import build_equilibrium
from decouple.models.equilibrium_config import EquilibriumConfig, RelaxationConfig
from decouple.training.estimators.bptt import BPTT
from decouple.training.estimators.config import (
    AdjointConfig,
    BPTTConfig,
    EquilibriumPropagationConfig,
    ImplicitConfig,
)
from decouple.training.estimators.registry import make_estimator
from decouple.training.numerics import cpu_numerics

SHAPE = EquilibriumConfig(
    width=8,
    context=6,
    n_heads=2,
    leak=0.0,
    damping=1.0,
    step=0.6,
    norm="rms",
    activation="silu",
    residual_scale=0.5,
    embedding_std=0.5,
)
FREE = RelaxationConfig(steps=120, tolerance=1e-9)
FROZEN = EquilibriumPropagationConfig(relaxation=FREE, steps=30, beta=1e-3)
CONFIG = EPPlateauConfig(
    model=SHAPE,
    position_bins=2,
    snapshots=(),
    triangulation=TriangulationConfig(
        batches=3,
        batch=2,
        horizon=60,
        long_horizon=80,
        long_batches=2,
        averaged=(1, 3),
        precision="float64",
    ),
    distances=(1,),
)
BATCHES = torch.randint(0, 13, (3, 2, 7), generator=torch.Generator().manual_seed(1))


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    with cpu_numerics(1):
        yield


@pytest.fixture(scope="module")
def reference():
    model = build_equilibrium(SHAPE, 13, torch.Generator().manual_seed(0)).double()
    return Reference(CONFIG, model, BATCHES)


def rows_of(reference, estimator, *, condition="trained", detailed=True):
    found = estimate(reference.model, estimator, reference.batches)
    return estimator_rows(
        CONFIG,
        reference,
        found,
        step=7,
        point="plateau",
        condition=condition,
        detailed=detailed,
    )


def values(rows, metric, condition=None):
    return [r.value for r in rows if r.metric == metric and condition in (None, r.condition)]


@pytest.mark.parametrize(
    "estimator",
    [
        FROZEN,
        replace(FROZEN, correction="tracking"),
        AdjointConfig(relaxation=FREE, steps=80, tolerance=1e-12),
        ImplicitConfig(relaxation=FREE),
        BPTTConfig(steps=80),
    ],
    ids=["frozen", "tracking", "adjoint", "implicit", "bptt"],
)
def test_at_a_converged_point_all_gradients_agree(reference, estimator):
    rows = rows_of(reference, estimator)
    assert values(rows, "cosine_ep_bptt")[0] > 1 - 1e-5
    assert values(rows, "norm_ratio")[0] == pytest.approx(1, abs=1e-3)
    assert all(value > 1 - 1e-5 for value in values(rows, "cosine_averaged"))
    (theirs,) = values(reference.rows(step=7, point="plateau"), "self_cosine_bptt")
    assert values(rows, "self_cosine_ep")[0] == pytest.approx(theirs, abs=1e-3)


def test_what_is_wrong_is_seen(reference):
    for wrong in (replace(FROZEN, correction="none"), replace(FROZEN, beta=3.0)):
        assert values(rows_of(reference, wrong), "cosine_ep_bptt")[0] < 0.995
    short = rows_of(reference, replace(FROZEN, steps=1))
    assert values(short, "norm_ratio")[0] < 0.99


def test_the_estimates_of_all_batches_at_once_are_those_of_each_alone(reference):
    for config in (FROZEN, replace(FROZEN, correction="tracking", points=4)):
        together = estimate(reference.model, config, BATCHES)
        for found, batch in zip(together, BATCHES, strict=True):
            alone = make_estimator(config).estimate(reference.model, batch)
            torch.testing.assert_close(found.loss, alone.loss)
            torch.testing.assert_close(found.residual, alone.residual, rtol=1e-2, atol=1e-12)
            torch.testing.assert_close(found.nudged.growth, alone.nudged.growth)
            torch.testing.assert_close(flatten(found.gradients), flatten(alone.gradients))


@pytest.mark.parametrize("at_once", [1, 2, 3, 5])
@pytest.mark.parametrize(
    "config",
    [
        FROZEN,
        replace(FROZEN, correction="tracking", points=4),
        AdjointConfig(relaxation=FREE, steps=80, tolerance=0.0),
        BPTTConfig(steps=40),
    ],
    ids=["frozen", "tracking", "adjoint", "bptt"],
)
def test_estimates_in_parts_are_those_of_the_whole(reference, config, at_once):
    whole = estimate(reference.model, config, BATCHES)
    parts = estimate(reference.model, config, BATCHES, at_once=at_once)
    assert len(parts) == len(whole) == 3
    for found, expected in zip(parts, whole, strict=True):
        exact = {"rtol": 1e-9, "atol": 1e-13}
        torch.testing.assert_close(found.loss, expected.loss, **exact)
        torch.testing.assert_close(found.state, expected.state, **exact)
        torch.testing.assert_close(found.gradients, expected.gradients, **exact)
        assert found.residual.shape == expected.residual.shape == (2,)
        if expected.nudged is not None:
            torch.testing.assert_close(found.nudged.growth, expected.nudged.growth, **exact)


@pytest.mark.parametrize("at_once", [1, 2, None])
def test_how_exactly_equations_were_solved_is_said_of_each_batch(reference, at_once):
    own = ImplicitConfig(relaxation=RelaxationConfig(steps=2), newton_steps=1)
    found = estimate(reference.model, own, BATCHES, at_once=at_once)
    alone = [make_estimator(own).estimate(reference.model, batch) for batch in BATCHES]
    for ours, expected in zip(found, alone, strict=True):
        assert ours.solution.tolerance == expected.solution.tolerance
        for name in ("residual", "adjoint_residual", "solved"):
            a, b = getattr(ours.solution, name), getattr(expected.solution, name)
            assert a.shape == (2,)
            torch.testing.assert_close(a, b, rtol=1e-2, atol=1e-12)
    ends = torch.cat([each.solution.residual for each in found])
    assert len(set(ends.tolist())) == 6, "each sample has its own"
    assert all(each.solution is None for each in estimate(reference.model, FROZEN, BATCHES))


def test_no_more_batches_are_held_at_a_time_than_asked_for(reference, monkeypatch):
    held = []

    def spy(model, made, batches):
        held.append(len(batches))
        return _together(model, made, batches)

    monkeypatch.setattr(triangulation, "_together", spy)
    estimate(reference.model, FROZEN, BATCHES, at_once=2)
    estimate(reference.model, FROZEN, BATCHES)
    assert held == [2, 1, 3]


def test_what_backpropagation_holds_at_a_time_does_not_grow_with_its_steps(reference, monkeypatch):
    held = {}
    differentiate = BPTT._differentiate

    def spy(self, model, windows, tokens):
        held.setdefault(self.config.steps, []).append(len(windows))
        return differentiate(self, model, windows, tokens)

    monkeypatch.setattr(BPTT, "_differentiate", spy)
    bounded = replace(CONFIG, triangulation=replace(CONFIG.triangulation, micro_batch=2))
    found = Reference(bounded, reference.model, BATCHES)
    assert held == {60: [2] * 3}
    # Two windows through 60 steps are as much as one through 80, or all of a batch through 5.
    for _ in range(2):
        assert len(found.long) == 2
        assert held == {60: [2] * 3, 80: [1] * 4}
    found.rows(step=0, point="plateau")
    assert held == {60: [2] * 3, 80: [1] * 4, 5: [2, 2]}
    for ours, whole in zip(found.flat, reference.flat, strict=True):
        torch.testing.assert_close(ours, whole, rtol=1e-10, atol=1e-14)


def test_self_cosine_compares_different_batches(reference):
    rows = rows_of(reference, FROZEN)
    pairs = values(rows, "self_cosine_ep_pair")
    assert len(pairs) == pair_count(3) == 3
    assert all(value < 0.999 for value in pairs)
    flat = [flatten(each.gradients) for each in estimate(reference.model, FROZEN, BATCHES)]
    expected = [cosine(flat[i], flat[j]) for i, j in ((0, 1), (0, 2), (1, 2))]
    assert sorted(pairs) == pytest.approx(sorted(expected))
    assert values(rows, "self_cosine_ep")[0] == pytest.approx(sum(expected) / 3)
    same = Reference(CONFIG, reference.model, BATCHES[:1].expand(3, -1, -1))
    repeated = rows_of(same, FROZEN)
    assert values(repeated, "self_cosine_ep")[0] == pytest.approx(1)


def test_the_reference_is_the_true_gradient_of_the_batch(reference):
    exact = estimate(reference.model, ImplicitConfig(relaxation=FREE), BATCHES)
    for ours, truth in zip(reference.flat, exact, strict=True):
        assert cosine(ours, flatten(truth.gradients)) == pytest.approx(1, abs=1e-9)


def test_a_horizon_that_is_too_short_is_seen(reference):
    rows = reference.rows(step=7, point="plateau")
    assert values(rows, "cosine_bptt_horizons", "trained") == [pytest.approx(1, abs=1e-9)]
    (truncated,) = values(rows, "cosine_bptt_horizons", "truncated")
    assert truncated < 1 - 1e-6
    assert len(reference.long) == 2


def test_a_gradient_that_runs_away_has_a_finite_ratio(reference):
    broken = estimate(reference.model, FROZEN, BATCHES)
    away = {name: value * math.inf for name, value in broken[0].gradients.items()}
    rows = estimator_rows(
        CONFIG,
        reference,
        [each._replace(gradients=away) for each in broken],
        step=7,
        point="plateau",
        condition="trained",
        detailed=True,
    )
    assert all(math.isfinite(row.value) for row in rows)
    assert values(rows, "norm_ratio") == [pytest.approx(LARGEST)]
    assert values(rows, "cosine_ep_bptt") == [0.0]


def test_other_conditions_have_no_details_of_the_arm(reference):
    rows = rows_of(reference, FROZEN, condition="adjoint")
    assert {row.condition for row in rows} == {"adjoint"}
    assert {row.metric for row in rows} == {
        "cosine_ep_bptt",
        "norm_ratio",
        "self_cosine_ep",
        "cosine_averaged",
    }
    few = rows_of(reference, FROZEN, condition="adjoint", detailed=False)
    assert {row.metric for row in few} == {"cosine_ep_bptt", "norm_ratio"}


def test_every_parameter_is_a_group_of_its_own(reference):
    rows = rows_of(reference, FROZEN)
    groups = {row.group for row in rows if row.metric == "cosine_ep_bptt_by_group"}
    assert groups == set(dict(reference.model.named_parameters()))


def test_average_is_the_gradient_of_all_batches_as_one(reference):
    mean = average(estimate(reference.model, FROZEN, BATCHES))
    (whole,) = estimate(reference.model, FROZEN, BATCHES.flatten(0, 1)[None])
    torch.testing.assert_close(flatten(mean), flatten(whole.gradients))


def test_the_weights_stay_as_they_are(reference):
    before = [value.detach().clone() for value in reference.model.parameters()]
    rows_of(reference, FROZEN)
    for old, value in zip(before, reference.model.parameters(), strict=True):
        assert torch.equal(old, value)
        assert value.grad is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batches": 1, "long_batches": 1, "averaged": (1,)}, "batches must be at least 2"),
        ({"horizon": 400}, "horizon must be from 1 to below long_horizon=400, got 400"),
        ({"averaged": (2, 1)}, "averaged must increase from 1 to at most batches=8"),
        ({"averaged": (9,)}, "averaged must increase from 1 to at most batches=8"),
        ({"long_batches": 9}, "long_batches must be from 1 to batches=8, got 9"),
        ({"micro_batch": 0}, "micro_batch must be at least 1 or None, got 0"),
        ({"batches_at_once": 0}, "batches_at_once must be at least 1 or None, got 0"),
        ({"precision": "half"}, "precision must be one of float32, float64, got 'half'"),
    ],
)
def test_impossible_comparisons_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        TriangulationConfig(**changes)
