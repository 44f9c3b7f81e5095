"""What a training shows of itself, and that what is read off it changes nothing in it."""

from dataclasses import replace

import pytest
import torch

from decouple.data import CorpusConfig, TokenizerConfig
from decouple.experiments.ep_plateau.checkpoints import Trained, train
from decouple.experiments.ep_plateau.config import EPPlateauConfig, StartConfig
from decouple.experiments.ep_plateau.preparation import initial_model, prepare
from decouple.experiments.ep_plateau.presets import smoke
from decouple.experiments.ep_plateau.trajectory import (
    LARGEST,
    BrokenRunError,
    trajectory_rows,
)
from decouple.models.equilibrium_config import EquilibriumConfig
from decouple.training.equilibrium_trainer_record import METRICS
from decouple.training.numerics import cpu_numerics

SEED = 1000
OWN = smoke()
CONFIG = EPPlateauConfig(
    corpus=CorpusConfig(words=1500),
    tokenizer=TokenizerConfig(kind="bytes"),
    model=EquilibriumConfig(
        width=8, context=8, n_heads=2, leak=0.0, damping=1.0, step=0.6, norm="rms",
        activation="silu", embedding_std=0.5,
    ),
    training=replace(OWN.training, steps=8, batch=2, check_every=1, checkpoint_every=4),
    snapshots=(0,),
    record_every=2,
    validate_every=4,
    held_out_windows=4,
    excursion_residual=0.05,
    weights="average",
)  # fmt: skip


def broken(residuals):
    """A training by hand, ended by the fuse after so many steps."""
    history = []
    for residual in residuals:
        row = dict.fromkeys(METRICS, 1.0) | {"force_residual_mean": residual}
        row["regulariser_weight"] = CONFIG.training.contraction.floor
        history.append([row[name] for name in METRICS])
    steps = len(residuals)
    return Trained(
        status=f"fuse blown at step {steps}: by hand",
        steps=steps,
        history=history,
        validation={0: 5.0, 4: 3.0, steps: 4.5},
        snapshots={steps: {}},
    )


def values(trained):
    found = {}
    for row in trajectory_rows(CONFIG, trained):
        found.setdefault(row.metric, {})[row.step] = row.value
    return found


def test_excursions_are_counted_until_the_fuse_blows_and_no_further():
    found = values(broken([1e-3, 0.06, 1e-3, 1e-3, 0.2]))
    assert found["excursions"] == {8: 2.0}
    assert found["largest_residual"] == {8: 0.2}
    assert found["ended_step"] == {8: 5.0}
    assert (found["fuse_blown"], found["diverged"]) == ({8: 1.0}, {8: 0.0})


def test_after_its_end_a_broken_run_stays_where_it_was():
    found = values(broken([1e-3, 0.06, 1e-3, 1e-3, 0.2]))
    assert found["residual"] == {2: 0.06, 4: 1e-3, 6: 0.2, 8: 0.2}
    assert found["validation_loss"] == {0: 5.0, 4: 3.0, 8: 4.5}
    assert found["best_validation_loss"] == {8: 3.0}


@pytest.mark.parametrize(
    ("tail", "share"), [([0.068] * 2, 1.0), ([0.068, 1e-3], 0.5), ([0.2] * 2, 0.0), ([1e-3], 0.0)]
)
def test_a_broken_basin_lies_between_gate_and_fuse(tail, share):
    residuals = [1e-3] * 10 * len(tail) + tail
    trained = broken(residuals[-20:])
    assert values(trained)["broken_basin"] == {8: share}


def test_what_is_read_off_changes_nothing_in_what_is_trained_and_measured(tmp_path):
    with cpu_numerics(1):
        data = prepare(CONFIG, tmp_path)

        def trained(readouts):
            config = replace(CONFIG, readouts=readouts)
            model = initial_model(config, data.vocab_size, SEED)
            state = tmp_path / f"state-{len(readouts)}.pt"
            return train(config, model, data, SEED, checkpoint=state, identity=repr(config))

        read, unread = trained(("campaign",)), trained(())
    assert read.history == unread.history
    assert read.validation == unread.validation
    for name, value in read.last.items():
        assert torch.equal(value, unread.last[name])


def test_the_largest_weight_of_all_steps_is_kept_where_the_record_misses_it():
    found = broken([1e-3] * 8)
    column = METRICS.index("regulariser_weight")
    for row, weight in zip(found.history, [0.1, 0.1, 9.0, 0.1, 0.1, 0.1, 0.1, 0.1], strict=True):
        row[column] = weight
    rows = values(replace(found, status="finished"))
    assert max(rows["regulariser_weight"].values()) == 0.1
    assert rows["largest_regulariser_weight"] == {8: 9.0}


def metric(rows, name):
    (value,) = [row.value for row in rows if row.metric == name]
    return value


def test_what_a_run_begins_with_is_no_merit_of_its_own():
    found = replace(broken([1e-3] * 8), status="finished", validation={0: 2.0, 4: 2.6, 8: 2.5})
    assert metric(trajectory_rows(CONFIG, found), "best_validation_loss") == 2.0
    warm = replace(CONFIG, start=StartConfig(kind="published", source=CONFIG))
    assert metric(trajectory_rows(warm, found), "best_validation_loss") == 2.5


def test_divergence_is_evidence_with_finite_cells():
    found = replace(broken([1e-3, 2e-3]), status="diverged at step 3: loss is nan")
    rows = trajectory_rows(CONFIG, found)
    assert metric(rows, "diverged") == 1.0
    assert metric(rows, "largest_residual") == LARGEST
    assert all(abs(row.value) < float("inf") for row in rows)


def test_a_run_without_a_single_step_is_no_trajectory():
    nothing = replace(broken([1e-3]), status="diverged at step 1: loss is nan", history=[], steps=0)
    with pytest.raises(BrokenRunError, match="diverged at step 1"):
        trajectory_rows(CONFIG, nothing)
