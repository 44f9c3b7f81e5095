"""Whole runs of the campaign, tiny: every arm finishes with every cell, and again bit by bit."""

import itertools
from dataclasses import replace

import pandas as pd
import pytest
import torch

from decouple.data import CorpusConfig, TokenizerConfig
from decouple.experiments import ep_plateau
from decouple.experiments.ep_plateau import ARMS, checkpoints, expected_cells, readouts, run
from decouple.experiments.ep_plateau.arms import CONDITIONS, SWEPT_CONDITIONS
from decouple.experiments.ep_plateau.config import (
    ConstructedConfig,
    EPPlateauConfig,
    TriangulationConfig,
)
from decouple.experiments.ep_plateau.gate_config import GateConfig
from decouple.models.equilibrium_config import EquilibriumConfig, RelaxationConfig
from decouple.training.equilibrium_trainer_config import (
    ContractionConfig,
    EquilibriumTrainerConfig,
)
from decouple.training.estimators.config import EquilibriumPropagationConfig

RELAXATION = RelaxationConfig(steps=60, tolerance=1e-4)
CONFIG = EPPlateauConfig(
    corpus=CorpusConfig(words=1500),
    tokenizer=TokenizerConfig(kind="bytes"),
    model=EquilibriumConfig(
        width=8, context=8, n_heads=2, leak=0.0, damping=1.0, step=0.6, norm="rms",
        activation="silu", embedding_std=0.5,
    ),
    training=EquilibriumTrainerConfig(
        estimator=EquilibriumPropagationConfig(relaxation=RELAXATION, steps=8),
        contraction=ContractionConfig(gate_growth=1e30, gate_adjoint=1e30),
        steps=6, batch=2, learning_rate=1e-2, warmup=2, average_decay=0.5, check_every=2,
        checkpoint_every=2,
    ),
    readouts=("campaign",),
    snapshots=(0, 2),
    record_every=1,
    validate_every=2,
    held_out_windows=4,
    triangulation=TriangulationConfig(
        batches=2, batch=2, horizon=40, long_horizon=60, long_batches=1, precision="float64",
        averaged=(1, 2),
    ),
    constructed=ConstructedConfig(attention_factor=1.5),
    gate=GateConfig(
        steps=4, warmup=3, prewarm=2, early=2, validate_every=2, batch=2, free_steps=20,
        nudged_steps=4,
    ),
    grid_steps=4,
    swap_steps=2,
    learning_rates=(1e-3, 1e-2),
    distances=(1, 4),
    position_bins=2,
    influence_windows=2,
    influence_queries=1,
)  # fmt: skip
SEED = 1000


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    return tmp_path_factory.mktemp("shared")


@pytest.fixture(scope="module")
def evidence(shared, tmp_path_factory):
    """Table of an arm, run once."""
    made = {}

    def of(arm):
        if arm not in made:
            scratch = tmp_path_factory.mktemp("scratch")
            table, status = run(ARMS[arm](CONFIG), [SEED], arm=arm, scratch=scratch, shared=shared)
            assert status == {SEED: "finished"}
            made[arm] = table
        return made[arm]

    return of


@pytest.mark.parametrize("arm", ARMS)
def test_every_arm_finishes_with_every_cell(evidence, arm):
    table = evidence(arm)
    assert table["metric"].value_counts().to_dict() == expected_cells(ARMS[arm](CONFIG))
    coordinates = [name for name in table.columns if name != "value"]
    assert not table.duplicated(coordinates).any()
    assert set(table["arm"]) == {arm}
    assert set(table["document"]) == {"ep_plateau"}


def cells(table, metric, **coordinates):
    rows = table[table["metric"] == metric]
    for name, value in coordinates.items():
        rows = rows[rows[name] == value]
    return rows["value"].tolist()


def test_the_same_seed_gives_bitwise_the_same_evidence(evidence, tmp_path):
    again, _ = run(CONFIG, [SEED], arm="published", scratch=tmp_path, shared=tmp_path)
    pd.testing.assert_frame_equal(again, evidence("published"), check_exact=True)


class KilledError(Exception):
    """What stops a run in the middle."""


def told(config, arm, folder, kill=None):
    """Evidence of an arm run in a folder, and what progress said, stopped after so many words."""
    said = []

    def progress(done, total, note):
        said.append((done, total, note))
        if len(said) == kill:
            raise KilledError

    table, _ = run(
        ARMS[arm](config),
        [SEED],
        arm=arm,
        scratch=folder / "scratch",
        shared=folder / "shared",
        progress=progress,
    )
    return table, said


@pytest.mark.parametrize(
    ("arm", "kills"),
    [
        # In training; after the first readout; twice.
        ("published", [2]),
        ("published", [4]),
        ("published", [5, 1]),
        # Between estimators at the plateau; after the last.
        ("published", [8]),
        ("published", [10, 1]),
        ("published", [12]),
        ("gate_prewarm", [1]),
        ("bp", [1, 2]),
        # In the training of the run it begins with, and in its own.
        ("grid_jr_max_8", [1, 5]),
        ("swap_tracking", [2]),
    ],
)
def test_a_run_that_is_killed_and_taken_up_again_gives_bitwise_the_same(
    evidence, tmp_path, arm, kills
):
    for kill in kills:
        with pytest.raises(KilledError):
            told(CONFIG, arm, tmp_path, kill)
    table, _ = told(CONFIG, arm, tmp_path)
    pd.testing.assert_frame_equal(table, evidence(arm), check_exact=True)


def test_readouts_that_were_made_are_not_made_again(evidence, tmp_path, monkeypatch):
    def fail(*_args, **_kwargs):
        raise KilledError

    with monkeypatch.context() as patched:
        patched.setattr(readouts, "mixing_rows", fail)
        with pytest.raises(KilledError):
            told(CONFIG, "published", tmp_path)
    (kept,) = (tmp_path / "scratch").glob("read-*.pt")
    assert list(torch.load(kept)["state"]) == ["gradients at step 0", "gradients at step 2"]
    with monkeypatch.context() as patched:
        patched.setattr(readouts, "at_last", fail)  # what reads the descent
        patched.setattr(checkpoints, "train", fail)
        table, _ = told(CONFIG, "published", tmp_path)
    pd.testing.assert_frame_equal(table, evidence("published"), check_exact=True)


def test_an_estimator_compared_at_the_plateau_is_not_compared_again(
    evidence, tmp_path, monkeypatch
):
    swept = []
    sweep = readouts.loss_changes

    def spy(config, model, gradients, windows):
        swept.append(len(windows))
        return sweep(config, model, gradients, windows)

    monkeypatch.setattr(readouts, "loss_changes", spy)
    with pytest.raises(KilledError):
        told(CONFIG, "published", tmp_path, kill=9)  # the true gradient and the arm's own
    assert len(swept) == 1 + 3
    monkeypatch.setattr(readouts, "at_last", None)  # what reads the descent
    table, _ = told(CONFIG, "published", tmp_path)
    assert len(swept) == 1 + 3 + 3 * len(SWEPT_CONDITIONS)
    pd.testing.assert_frame_equal(table, evidence("published"), check_exact=True)


def test_the_plateau_is_made_once_for_all_that_read_there(tmp_path, monkeypatch):
    made = []
    point = readouts.plateau_point

    def spy(*args):
        made.append(args)
        return point(*args)

    monkeypatch.setattr(readouts, "plateau_point", spy)
    told(CONFIG, "published", tmp_path)
    assert len(made) == 1


def test_a_damaged_record_of_readouts_is_made_again(evidence, tmp_path):
    told(CONFIG, "bp", tmp_path)
    (kept,) = (tmp_path / "scratch").glob("read-*.pt")
    kept.write_bytes(b"not a record")
    with pytest.warns(UserWarning, match="ignored, it is damaged"):
        table, _ = told(CONFIG, "bp", tmp_path)
    pd.testing.assert_frame_equal(table, evidence("bp"), check_exact=True)


def test_progress_counts_the_run_it_begins_with_its_own_steps_and_the_readouts(tmp_path):
    _, said = told(CONFIG, "published", tmp_path)
    assert [(done, total) for done, total, _ in said] == [
        *((step, 15) for step in (2, 4, 6)),
        *((6 + stage, 15) for stage in range(1, 10)),
    ]
    notes = [note for *_, note in said[3:]]
    assert notes[:2] == ["gradients at step 0", "gradients at step 2"]
    own = [f"gradients at the plateau, {name}" for name in ("trained", *CONDITIONS)]
    assert notes[4:] == ["gradients at the plateau", *own]
    elsewhere = tmp_path / "elsewhere"
    _, said = told(CONFIG, "grid_jr_max_8", elsewhere)
    assert [total for _, total, _ in said] == [10] * len(said)
    assert [done for done, *_ in said] == [2, 4, 6, *(6 + step for step in (1, 2, 3, 4))]
    # Where another arm has trained it already there is nothing of it to tell.
    _, said = told(CONFIG, "grid_jr_max_4", elsewhere)
    assert [done for done, *_ in said] == [6 + step for step in (1, 2, 3, 4)]


def test_progress_of_several_seeds_never_goes_back(tmp_path):
    said = []
    run(
        ARMS["gate_warmup"](CONFIG),
        [SEED, SEED + 1],
        arm="gate_warmup",
        scratch=tmp_path,
        shared=tmp_path,
        progress=lambda done, total, _: said.append((done, total)),
    )
    assert said == [(2, 8), (4, 8), (6, 8), (8, 8)]


def test_another_seed_gives_other_evidence(evidence, tmp_path):
    other, _ = run(CONFIG, [SEED + 1], arm="published", scratch=tmp_path, shared=tmp_path)
    name = "best_validation_loss"
    assert cells(other, name) != cells(evidence("published"), name)


def test_arms_of_a_seed_begin_with_the_same_weights(evidence):
    (loss,) = cells(evidence("published"), "validation_loss", step=0)
    for arm in ("tracking", "ep_tight", "lr_9e-4"):
        assert cells(evidence(arm), "validation_loss", step=0) == [loss]
    # BPTT relaxes for all its steps, the others stop at their tolerance.
    assert cells(evidence("bptt"), "validation_loss", step=0) == pytest.approx([loss], rel=1e-4)


def test_the_grid_begins_where_the_documents_run_ended(evidence):
    (end,) = cells(evidence("published"), "validation_loss", step=6)
    assert cells(evidence("grid_jr_max_8"), "validation_loss", step=0) == [end]


def test_swapped_estimators_begin_at_one_point(evidence):
    starts = {
        name: cells(evidence(f"swap_{name}"), "validation_loss", step=0)
        for name in ("frozen", "tracking", "adjoint", "bptt")
    }
    assert starts["frozen"] == starts["tracking"] == starts["adjoint"]
    assert starts["bptt"] == pytest.approx(starts["frozen"], rel=1e-3)
    ends = [cells(evidence(f"swap_{name}"), "validation_loss", step=2) for name in starts]
    assert all(a != b for a, b in itertools.combinations(ends, 2))


def test_at_a_converged_point_the_estimator_is_the_true_gradient(evidence):
    table = evidence("published")
    (cosine,) = cells(table, "cosine_ep_bptt", point="descent", condition="trained", step=2)
    assert cosine > 0.99
    (wrong,) = cells(table, "cosine_ep_bptt", point="descent", condition="large_beta", step=2)
    assert wrong < cosine
    assert min(cells(table, "cosine_bptt_horizons", condition="trained")) > 0.99


def test_a_run_that_breaks_is_evidence(tmp_path):
    training = replace(CONFIG.training, contraction=replace(
        CONFIG.training.contraction, fuse_residual=1e-9, fuse_patience=2
    ))  # fmt: skip
    config = replace(ARMS["bptt"](CONFIG), training=replace(
        ARMS["bptt"](CONFIG).training, contraction=training.contraction
    ))  # fmt: skip
    table, status = run(config, [SEED], arm="bptt", scratch=tmp_path, shared=tmp_path)
    assert status == {SEED: "finished"}
    assert cells(table, "fuse_blown") == [1.0]
    assert cells(table, "ended_step") == [2.0]
    assert table["metric"].value_counts().to_dict() == expected_cells(config)
    residuals = cells(table, "residual")
    assert residuals[1:] == [residuals[1]] * 5, "it stays where it stopped"


def test_a_document_run_that_breaks_has_a_status_and_no_readouts(tmp_path):
    contraction = replace(CONFIG.training.contraction, fuse_residual=1e-9, fuse_patience=2)
    broken = replace(CONFIG, training=replace(CONFIG.training, contraction=contraction))
    for arm, words in (
        ("published", "fuse blown at"),
        ("grid_base", "the run it begins with fuse"),
    ):
        table, status = run(ARMS[arm](broken), [SEED], arm=arm, scratch=tmp_path, shared=tmp_path)
        assert status[SEED].startswith(words)
        assert table.empty


def test_seeds_that_are_none_are_refused(tmp_path):
    for seeds in ([], [-1], [3, 3]):
        with pytest.raises(ValueError, match="seeds must be distinct numbers from 0 up"):
            run(CONFIG, seeds, arm="published", scratch=tmp_path, shared=tmp_path)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_the_device_asked_for_nothing_runs(tmp_path):
    config = replace(CONFIG, device="cuda")
    with pytest.raises(RuntimeError, match="torch finds no CUDA device"):
        run(config, [SEED], arm="published", scratch=tmp_path, shared=tmp_path)


def test_what_a_run_reads_is_said_in_words():
    words = ep_plateau.describe(CONFIG)
    assert set(words) == {"base_model", "corpus", "tokenizer"}
    assert ep_plateau.missing(CONFIG) is None
    changed = ep_plateau.with_inputs(CONFIG, corpus=None, tokenizer="folder", base="stand-in:smoke")
    assert changed == CONFIG
