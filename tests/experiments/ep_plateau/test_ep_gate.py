from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from decouple.experiments.ep_plateau.gate import (
    GATE_ARMS,
    dead_zone,
    first_open_step,
    gate_rows,
    skipped_steps,
    task_steps,
)
from decouple.experiments.ep_plateau.gate_config import SMOKE_GATE, GateConfig
from decouple.experiments.ep_plateau.preparation import initial_model
from decouple.experiments.ep_plateau.presets import published, smoke
from decouple.training.equilibrium_trainer import EquilibriumTrainer
from decouple.training.equilibrium_trainer_record import METRICS
from decouple.training.numerics import cpu_numerics

records = st.lists(st.sampled_from([0.0, 1.0]), max_size=30)
FREE, NUDGED = METRICS.index("free_valid"), METRICS.index("nudged_valid")


@pytest.mark.parametrize(
    ("record", "first", "skipped", "zone"),
    [
        ([0, 0, 1, 1], 3, 2, 2),
        ([1, 1, 1], 1, 0, 0),
        ([0, 0], 3, 2, 2),
        ([0, 1, 0, 0, 0, 1], 2, 4, 3),
        ([], 1, 0, 0),
    ],
)
def test_readouts_of_a_record(record, first, skipped, zone):
    assert first_open_step(record) == first
    assert skipped_steps(record) == skipped
    assert dead_zone(record) == zone


@given(record=records)
@settings(max_examples=60)
def test_readouts_bound_each_other(record):
    assert first_open_step(record) - 1 <= dead_zone(record) <= skipped_steps(record) <= len(record)
    assert (skipped_steps(record) == 0) == (dead_zone(record) == 0)


@given(record=records, precontraction=st.integers(0, 10))
@settings(max_examples=60)
def test_steps_without_a_task_count_for_nothing(record, precontraction):
    assert task_steps([0.0] * precontraction + record, precontraction) == record


def arm(name, **changes):
    return GATE_ARMS[name](replace(smoke(), gate=replace(SMOKE_GATE, **changes)))


def test_rows_count_from_the_end_of_the_precontraction():
    config = arm("gate_prewarm")
    before = config.training.precontraction
    record = [0.0] * before + [0.0, 0.0, 1.0, 0.0, 1.0] + [1.0] * 35
    residuals = [0.9] * (before + 3) + [0.06, 0.05, 0.04] + [1e-3] * 34
    early = SMOKE_GATE.early
    losses = {0: 0.1, before: 0.2, before + 10: 5.0, before + early: 4.0, before + early + 10: 3.0}
    rows = gate_rows(config, record, residuals, losses, step=before + 40)
    assert {row.step for row in rows} == {before + 40}
    assert {row.metric: row.value for row in rows} == {
        "first_open_step": 3.0,
        "gate_skipped_steps": 3.0,
        "dead_zone_steps": 2.0,
        "early_validation_loss": 4.0,
        "excursions_after_opening": 1.0,
        "peak_residual": 0.06,
        "warmup_steps": 160.0,
    }


def test_a_gate_that_never_opened_has_no_excursions_and_the_peak_of_its_start():
    rows = gate_rows(arm("gate_warmup"), [0.0] * 3, [0.3, 0.2, 0.1], {3: 5.0}, step=3)
    values = {row.metric: row.value for row in rows}
    assert values["first_open_step"] == 4.0
    assert values["excursions_after_opening"] == 0.0
    assert values["peak_residual"] == 0.3


def test_records_that_do_not_belong_to_a_run_are_refused():
    config = arm("gate_warmup")
    with pytest.raises(ValueError, match=r"within 20 task steps, got steps \[0, 30\]"):
        gate_rows(config, [1.0] * 40, [1e-3] * 40, {0: 5.0, 30: 4.0}, step=40)
    with pytest.raises(ValueError, match=r"residuals must be of the 40 task steps.*got 39"):
        gate_rows(config, [1.0] * 40, [1e-3] * 39, {20: 5.0}, step=40)
    with pytest.raises(ValueError, match=r"residuals must be of the 0 task steps.*got 0"):
        gate_rows(config, [], [], {20: 5.0}, step=40)


def test_arms_differ_in_what_their_names_say_and_in_nothing_else():
    warm, prewarm = arm("gate_warmup"), arm("gate_prewarm")
    small, contractive = arm("gate_small_init"), arm("gate_contractive")
    gate = SMOKE_GATE
    assert warm.training.warmup == gate.warmup
    assert warm.start.up_factor == gate.up_factor
    assert (
        replace(
            warm,
            training=replace(
                warm.training, precontraction=gate.prewarm, steps=gate.steps + gate.prewarm
            ),
        )
        == prewarm
    )
    scale = gate.small_init * warm.model.residual_scale
    assert (
        replace(
            warm,
            model=replace(warm.model, residual_scale=scale),
            training=replace(warm.training, warmup=0),
        )
        == small
    )
    std = gate.contractive_std
    assert replace(warm, model=replace(warm.model, embedding_std=std)) == contractive


def test_the_published_arms_have_the_constants_of_the_document():
    made = {name: make(published()) for name, make in GATE_ARMS.items()}
    assert made["gate_warmup"].training.warmup == 800
    assert made["gate_warmup"].start.up_factor == 1.0
    assert made["gate_prewarm"].training.precontraction == 200
    assert made["gate_small_init"].training.warmup == 0
    assert made["gate_small_init"].model.residual_scale == pytest.approx(0.03)
    for config in made.values():
        assert config.training.learning_rate == 8e-4
        assert config.readouts == ("gate",)
        assert (config.model.damping, config.model.step) == (1.0, 0.1), "the block is the same"
        assert config.snapshots == ()


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("steps", 0, "steps must be at least 1, got 0"),
        ("prewarm", 0, "prewarm must be at least 1, got 0"),
        ("learning_rate", 0.0, "learning_rate must be positive and finite, got 0.0"),
        ("up_factor", float("inf"), "up_factor must be positive and finite, got inf"),
        ("steps", 1010, "steps must be a multiple of validate_every=20, got 1010"),
        ("early", 1020, "early must be at most steps=1000, got 1020"),
    ],
)
def test_runs_that_cannot_be_are_refused(name, value, message):
    with pytest.raises(ValueError, match=message):
        GateConfig(**{name: value})


def gate_record(name, steps):
    config = arm(name)
    model = initial_model(config, 64, seed=1000)
    generator = torch.Generator().manual_seed(0)
    windows = torch.randint(64, (8, config.model.context + 1), generator=generator)
    training = replace(config.training, steps=steps)
    with cpu_numerics(1):
        trainer = EquilibriumTrainer(training, model, windows, 1000)
        trainer.run()
    return [row[FREE] * row[NUDGED] for row in trainer.history]


def test_the_smoke_start_closes_the_gate_and_the_controls_does_not():
    assert dead_zone(gate_record("gate_warmup", 5)) == 5
    assert dead_zone(gate_record("gate_contractive", 5)) == 0
