from dataclasses import replace

import pytest

from decouple.experiments.ep_plateau import ARMS, PRESETS, SEEDS, data_fingerprint, with_inputs
from decouple.experiments.ep_plateau.arms import (
    CONDITIONS,
    DESCENT_CONDITIONS,
    SWEPT_CONDITIONS,
    estimators,
)
from decouple.experiments.ep_plateau.config import (
    ConstructedConfig,
    EPPlateauConfig,
    StartConfig,
    TriangulationConfig,
)
from decouple.experiments.ep_plateau.presets import published, smoke
from decouple.models.transformer_config import TransformerConfig
from decouple.training.estimators.config import BackpropagationConfig, BPTTConfig


def test_the_published_preset_is_the_documents_run():
    config = published()
    training, model = config.training, config.model
    assert (model.width, model.n_heads, model.context) == (512, 16, 256)
    assert (training.batch, training.steps, training.learning_rate) == (24, 20_000, 8e-4)
    assert (training.warmup, training.average_decay) == (800, 0.999)
    estimator, contraction = training.estimator, training.contraction
    assert (estimator.points, estimator.correction, estimator.steps) == (2, "frozen", 40)
    assert (contraction.floor, contraction.ceiling) == (0.1, 32.0)
    assert contraction.target_residual == 1.5e-3
    assert model.residual_scale == 0.1
    assert config.tokenizer.vocab_size == 4096
    assert config.snapshots == (0, 200, 800, 2000)
    assert config.constructed is None, "its plateau is its last checkpoint"


def test_what_the_published_preset_holds_on_the_device_at_a_time_is_bounded():
    config = published()
    shape = config.triangulation
    assert shape.windows_at_once == shape.batch == config.training.batch
    assert shape.micro_batch <= shape.batch
    assert smoke().triangulation.windows_at_once is None
    # Complex numbers, as four points need, are not compiled.
    assert not estimators(config)["four_points"].compiled
    assert estimators(config)["tracking"].compiled


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("arm", ARMS)
def test_every_arm_derives_from_every_preset(name, arm):
    config = ARMS[arm](PRESETS[name]())
    assert isinstance(config, EPPlateauConfig)
    decoder = isinstance(config.model, TransformerConfig)
    assert decoder == isinstance(config.training.estimator, BackpropagationConfig)
    assert decoder == arm.startswith("bp_") or arm == "bp"


def test_shorter_presets_have_names_of_their_own():
    steps = {name: make().training.steps for name, make in PRESETS.items()}
    assert steps["published"] > steps["short"] > steps["minutes"]
    assert set(SEEDS) == set(PRESETS)


def test_arms_differ_from_the_published_in_what_they_are_named_for():
    own = published()
    assert isinstance(ARMS["bptt"](own).training.estimator, BPTTConfig)
    assert ARMS["lr_9e-4"](own).training.learning_rate == pytest.approx(9e-4)
    assert ARMS["bp_wide"](own).model.width == 1024
    assert ARMS["context_64"](own).model.context == 64
    assert ARMS["bp_context_128"](own).model.context == 128
    assert ARMS["tracking"](own).training.estimator.correction == "tracking"
    tight = ARMS["ep_tight"](own).training.contraction.target_residual
    assert tight == ARMS["bptt_tight"](own).training.contraction.target_residual
    assert tight == pytest.approx(1.5e-4)
    for name in ("frozen", "tracking", "adjoint", "bptt"):
        start = ARMS[f"swap_{name}"](own).start
        assert (start.kind, start.swapped, start.source) == ("plateau", name, own)
    assert ARMS["grid_jr_max_8"](own).start == StartConfig(kind="published", source=own)


def test_conditions_are_estimators_that_there_are():
    known = estimators(published())
    assert {*CONDITIONS, *DESCENT_CONDITIONS, *SWEPT_CONDITIONS} <= known.keys()
    assert set(SWEPT_CONDITIONS) <= set(CONDITIONS)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: replace(smoke(), record_every=7), "record_every must divide training.steps="),
        (lambda: replace(smoke(), held_out_fraction=1.0), "held_out_fraction must be between 0 a"),
        (lambda: replace(smoke(), readouts=("moon",)), "readouts must be out of campaign, mixing"),
        (lambda: replace(smoke(), snapshots=(5, 3)), "snapshots must increase and not be negative"),
        (lambda: replace(smoke(), position_bins=5), "position_bins must divide model.context=32"),
        (lambda: replace(smoke(), weights="best"), "weights must be one of raw, average, got"),
        (lambda: replace(smoke(), device="tpu"), "device must be one of cpu, cuda, got 'tpu'"),
        (lambda: replace(smoke(), perturbation=0.0), "perturbation must be positive and finite"),
        (lambda: replace(smoke(), influence_windows=0), "influence_windows must be at least 1"),
        (
            lambda: replace(smoke(), training=replace(smoke().training, contraction=None)),
            "contraction must be given for an equilibrium block",
        ),
        (
            lambda: replace(ARMS["bp"](smoke()), readouts=("campaign",)),
            "readouts must be mixing alone for a decoder",
        ),
        (lambda: StartConfig(kind="published"), "source must be given unless kind is 'fresh'"),
        (lambda: StartConfig(kind="middle"), "kind must be one of fresh, published, plateau"),
        (lambda: StartConfig(swapped="magic"), "swapped must be one of frozen, tracking"),
        (lambda: StartConfig(up_factor=0.0), "up_factor must be positive and finite, got 0.0"),
        (lambda: TriangulationConfig(batches=1), "batches must be at least 2 to make a pair"),
        (lambda: TriangulationConfig(horizon=400), "horizon must be from 1 to below long_horizon"),
        (lambda: TriangulationConfig(averaged=(9,)), "averaged must increase from 1 to at most"),
        (lambda: TriangulationConfig(precision="float16"), "precision must be one of float32, fl"),
        (lambda: ConstructedConfig(tolerance=-1.0), "tolerance must be positive and finite"),
        (lambda: ConstructedConfig(nudged_steps=0), "nudged_steps must be at least 1, got 0"),
    ],
)
def test_values_no_run_can_have_are_refused(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_a_text_of_ones_own_is_another_data_set(tmp_path):
    book = tmp_path / "book.txt"
    book.write_text("Once there was a small bird. " * 100)
    changed = with_inputs(smoke(), corpus=str(book), tokenizer=None, base=None)
    assert changed.corpus.path == str(book)
    assert data_fingerprint(changed) != data_fingerprint(smoke())
