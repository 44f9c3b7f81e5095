"""Cost: the count against the formula, the formula against floating-point operations, memory."""

import dataclasses

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from decouple.models.equilibrium import build_equilibrium
from decouple.models.equilibrium_config import EquilibriumConfig, RelaxationConfig
from decouple.training.estimators.config import (
    AdjointConfig,
    BPTTConfig,
    EquilibriumPropagationConfig,
)
from decouple.training.estimators.cost import Evaluations, PeakMemory, arithmetic
from decouple.training.estimators.registry import make_estimator

SHAPE = EquilibriumConfig(width=32, context=16, n_heads=4, embedding_std=1.0)
VOCABULARY = 48


def make():
    generator = torch.Generator().manual_seed(0)
    model = build_equilibrium(SHAPE, VOCABULARY, generator)
    return model, torch.randint(0, VOCABULARY, (4, 17), generator=generator)


def propagation(free=20, **changes):
    return EquilibriumPropagationConfig(
        relaxation=RelaxationConfig(steps=free, tolerance=0.0), **changes
    )


def adjoint(free=20, steps=30):
    relaxation = RelaxationConfig(steps=free, tolerance=0.0)
    return AdjointConfig(relaxation=relaxation, steps=steps, tolerance=0.0)


CONFIGS = {
    **{
        f"{correction}-{points}": propagation(points=points, correction=correction)
        for correction in ("none", "frozen", "tracking")
        for points in (1, 2, 4)
    },
    "adjoint": adjoint(),
    "bptt": BPTTConfig(steps=20),
}


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_what_was_counted_is_what_the_formula_says(config):
    estimator = make_estimator(config)
    assert estimator.estimate(*make()).evaluations == estimator.expected(21)


@pytest.mark.parametrize(
    ("config", "total"),
    [
        # 150 + 1, linearisation, 3·N·T2, adjoint residual, gradient
        (propagation(free=150, points=1), 151 + 1 + 120 + 1 + 3),
        (propagation(free=150, points=2), 151 + 1 + 240 + 1 + 3),
        (propagation(free=150, points=4), 151 + 1 + 720 + 1 + 3),
        (propagation(free=150, correction="none"), 151 + 1 + 80 + 1 + 3),
        (propagation(free=150, correction="tracking"), 151 + 5 * 40 + 2 + 3),
        (adjoint(free=150, steps=100), 151 + 1 + 100 + 1 + 3),
        (BPTTConfig(steps=150), 451),
    ],
)
def test_published_sizes_cost_what_the_docstrings_say(config, total):
    assert make_estimator(config).expected(151).total == total


@pytest.mark.parametrize(
    "name",
    ["none-1", "none-2", "frozen-1", "frozen-2", "tracking-1", "tracking-2", "adjoint", "bptt"],
)
def test_counts_account_for_the_arithmetic_that_was_done(name):
    model, windows = make()
    with FlopCounterMode(display=False) as counter:
        estimate = make_estimator(CONFIGS[name]).estimate(model, windows)
    predicted = arithmetic(estimate.evaluations, SHAPE, VOCABULARY, batch=4, length=16)
    # The last reverse differentiation stops at the state and so saves a little.
    assert counter.get_total_flops() == pytest.approx(predicted, rel=0.02)


def test_early_stopping_is_visible_in_the_count():
    config = EquilibriumPropagationConfig(relaxation=RelaxationConfig(steps=150, tolerance=1e-4))
    spent = make_estimator(config).estimate(*make()).evaluations
    assert 20 < make_estimator(config).expected(151).total - spent.total < 150


def peak(config):
    model, windows = make()
    make_estimator(config).estimate(model, windows)  # whatever is made once only
    with PeakMemory() as memory:
        make_estimator(config).estimate(model, windows)
    return memory.peak


@pytest.mark.parametrize(
    ("short", "long"),
    [
        (propagation(free=10), propagation(free=80)),
        (propagation(steps=10), propagation(steps=80)),
        (propagation(free=10, correction="tracking"), propagation(free=80, correction="tracking")),
        (adjoint(free=10), adjoint(free=80)),
        (adjoint(steps=10), adjoint(steps=80)),
    ],
    ids=["frozen-T1", "frozen-T2", "tracking-T1", "adjoint-T1", "adjoint-T2"],
)
def test_memory_does_not_grow_with_the_number_of_steps(short, long):
    state = 4 * 16 * 32 * 4
    assert peak(long) - peak(short) < state  # 70 steps more, less than one state more


def test_memory_of_bptt_is_linear_in_the_number_of_steps():
    ten, twenty, forty = (peak(BPTTConfig(steps=steps)) for steps in (10, 20, 40))
    assert forty - twenty == pytest.approx(2 * (twenty - ten), rel=0.05)
    assert twenty > 1.6 * ten
    assert twenty > 2 * peak(propagation(free=20))


def test_micro_batches_bound_the_memory_of_bptt():
    assert peak(BPTTConfig(steps=40, micro_batch=1)) < 0.4 * peak(BPTTConfig(steps=40))


def test_peak_memory_counts_what_lives_at_once():
    with PeakMemory() as memory:
        one = torch.zeros(1000)
        for _ in range(5):
            two = one + 1  # the one before is freed after this one is made
        view = two.view(10, 100)
        del one, two, view
        three = torch.zeros(10)
    assert memory.peak == 3 * 4000
    assert memory.live == 40
    assert three.numel() == 10


def test_evaluations_add_up():
    spent = Evaluations(forces=2).plus(forces=1, reversals=3, heads=5)
    assert spent == Evaluations(forces=3, reversals=3, heads=5)
    assert spent.plus(jacobian_products=1, transposed_products=2).total == 3 + 3 + 6
    half = dataclasses.replace(SHAPE, expansion=2)
    assert arithmetic(Evaluations(forces=1), half, 7, batch=1, length=1) == 2 * 8 * 32**2 + 4 * 32
