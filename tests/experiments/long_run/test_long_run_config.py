from dataclasses import replace

import pytest

from decouple.data import CorpusConfig
from decouple.experiments.long_run import (
    ARMS,
    CALIBRATION_SEEDS,
    PRESETS,
    SEEDS,
    TIERS,
    LongRunConfig,
    data_fingerprint,
    describe,
    device,
    expected_cells,
    group_size,
    missing,
    with_inputs,
)
from decouple.experiments.long_run.config import on_shape
from decouple.models.gpt2_config import BaseModelConfig, BaseShape, base_shape

SMOKE = PRESETS["smoke"]()


def test_the_published_preset_is_the_document():
    config = PRESETS["published"]()
    assert config == LongRunConfig(corpus=CorpusConfig(words=173_000), device="cuda")
    assert config.base == BaseModelConfig(kind="hub", name="openai-community/gpt2")
    assert (config.blocks, config.layers, config.components) == ((8, 9, 10), 12, 100)
    assert (config.epochs_a, config.epochs_b, config.every) == (10, 70, 5)
    assert (config.rate_a, config.model_rate, config.vector_rate) == (3e-4, 2e-5, 5e-5)
    assert (config.batch, config.block, config.mask_share) == (4, 256, 0.1)
    assert config.measured_epochs == tuple(range(0, 71, 5))


def test_every_preset_measures_as_often_as_the_document():
    for name, preset in PRESETS.items():
        assert len(preset().measured_epochs) == 15, name
        assert preset().epochs_b == 7 * preset().epochs_a


def test_every_tier_has_its_preset_and_every_preset_its_seeds():
    assert TIERS == {"gpu": "published", "smoke": "smoke"}
    assert SEEDS.keys() == PRESETS.keys()
    assert len(CALIBRATION_SEEDS["smoke"]) >= 4 * SEEDS["smoke"]
    assert min(CALIBRATION_SEEDS["smoke"]) >= 1000
    assert (group_size(SMOKE), device(SMOKE)) == (5, "cpu")


def test_the_smoke_preset_fits_its_stand_in():
    assert missing(SMOKE) is None
    assert on_shape(SMOKE, base_shape(SMOKE.base)) == SMOKE


@pytest.mark.parametrize("preset", PRESETS)
def test_every_arm_is_a_configuration_of_its_own(preset):
    variants = [arm(PRESETS[preset]()) for arm in ARMS.values()]
    assert len(set(map(repr, variants))) == len(ARMS)


def test_the_document_s_outlook_has_its_rate():
    arm = ARMS["low_rate_cosine"](PRESETS["published"]())
    assert (arm.model_rate, arm.schedule) == (5e-6, "cosine")


def test_vectors_stay_before_the_last_block_whatever_the_base():
    published = PRESETS["published"]()
    assert on_shape(published, BaseShape()) == published
    small = on_shape(published, BaseShape(layers=4, width=32, heads=4))
    assert (small.layers, small.blocks, small.components) == (4, (0, 1, 2), 4)
    assert on_shape(published, BaseShape(layers=1)).blocks == (0,)
    assert on_shape(published, BaseShape(layers=2)).blocks == (0,)


def test_the_user_s_inputs_replace_the_preset_s(tmp_path):
    text = tmp_path / "novel.txt"
    text.write_text("It was a dark night.")
    config = with_inputs(PRESETS["published"](), corpus=str(text), tokenizer=None, base=None)
    assert config == replace(
        PRESETS["published"](), corpus=CorpusConfig(path=str(text), words=173_000)
    )
    config = with_inputs(PRESETS["published"](), corpus=None, tokenizer=None, base="stand-in:smoke")
    assert (config.base, config.blocks, config.layers) == (SMOKE.base, (0, 1, 2), 4)
    config = with_inputs(config, corpus=None, tokenizer=None, base="no/such-model")
    assert config.base.name == "no/such-model"
    assert "no/such-model" in missing(config)
    folder = with_inputs(PRESETS["published"](), corpus=None, tokenizer=str(tmp_path), base=None)
    assert folder.tokenizer.path == str(tmp_path)


def test_words_and_fingerprint_say_what_was_read():
    words = describe(SMOKE)
    assert words["base_model"].startswith("stand-in 'smoke': 4 layers of width 32")
    assert words["corpus"] == "generated story world (10,000 words, seed 0)"
    assert data_fingerprint(SMOKE) == data_fingerprint(ARMS["unmasked"](SMOKE))
    other = replace(SMOKE, corpus=CorpusConfig(words=10_001))
    assert data_fingerprint(SMOKE) != data_fingerprint(other)


def test_evidence_stays_small():
    for preset in PRESETS.values():
        assert sum(expected_cells(preset()).values()) < 3000


def test_the_base_alone_can_be_measured():
    cells = expected_cells(replace(SMOKE, epochs_a=0, epochs_b=0, generation_epochs=(0,)))
    assert cells["dark_matter"] == 5 * 3 * 2
    assert "training_loss" not in cells
    assert cells["component_overlap"] == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layers": 0}, "layers must be at least 1, got 0"),
        ({"epochs_b": -5}, "epochs_b must be at least 0, got -5"),
        ({"batch": 0}, "batch must be at least 1, got 0"),
        ({"model_rate": float("nan")}, "model_rate must be finite and not negative, got nan"),
        ({"injection": -1.0}, "injection must be finite and not negative, got -1.0"),
        ({"temperature": 0.0}, "temperature must be finite and above 0, got 0.0"),
        ({"mask_share": 1.0}, "mask_share must be between 0 and 1, got 1.0"),
        ({"held_out_fraction": 0.0}, "held_out_fraction must be between 0 and 1, got 0.0"),
        ({"generation_tokens": 3}, "generation_tokens must be at least 4, got 3"),
        ({"mask": "top"}, "mask must be one of entropy, random, all, got 'top'"),
        ({"labels": "none"}, "labels must be one of next, random, got 'none'"),
        ({"schedule": "linear"}, "schedule must be one of constant, cosine, got 'linear'"),
        ({"device": "tpu"}, "device must be one of cpu, cuda, got 'tpu'"),
        ({"blocks": ()}, "blocks must be one block or more"),
        ({"blocks": (8, 12)}, "blocks must be .* between 0 and layers - 1 = 11, got"),
        ({"blocks": (9, 8)}, "blocks must be one block or more, increasing"),
        ({"every": 4}, "every must divide epochs_b=70"),
        ({"windows": 3}, "windows must be None or at least batch=4, got 3"),
        ({"generation_epochs": (0, 3)}, "multiples of every=5 up to epochs_b=70"),
        ({"generation_epochs": (5, 0)}, "generation_epochs must increase"),
        ({"frozen": ("head",)}, r"frozen must name modules out of wte, .*, got \['head'\]"),
    ],
)
def test_impossible_values_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        LongRunConfig(**changes)
