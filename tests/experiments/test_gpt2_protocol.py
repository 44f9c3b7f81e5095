from dataclasses import replace

import pytest

from decouple.data import CorpusConfig
from decouple.experiments import gpt2_protocol, long_run, sequential_cycles
from decouple.models.gpt2_config import BaseModelConfig

EXPERIMENTS = pytest.mark.parametrize("experiment", [sequential_cycles, long_run])


@EXPERIMENTS
def test_an_experiment_says_of_its_configuration_what_all_of_them_say(experiment):
    config = experiment.PRESETS["smoke"]()
    assert experiment.group_size(replace(config, group=3)) == 3
    assert experiment.device(config) == "cpu"
    assert experiment.device(replace(config, device="cuda")) == "cuda"
    assert experiment.missing(config) is None
    assert "smoke" in experiment.describe(config)["base_model"]
    for name in ("group_size", "device", "missing", "describe", "data_fingerprint", "LIBRARIES"):
        assert getattr(experiment, name) is getattr(gpt2_protocol, name)


@EXPERIMENTS
def test_what_the_user_does_not_replace_stays(experiment):
    config = experiment.PRESETS["published"]()
    none = {"corpus": None, "tokenizer": None, "base": None}
    assert gpt2_protocol.with_inputs(config, **none) == config
    changed = gpt2_protocol.with_inputs(
        config, **(none | {"corpus": "novel.txt", "base": "stand-in:smoke"})
    )
    assert changed == replace(
        config,
        corpus=replace(config.corpus, path="novel.txt"),
        base=BaseModelConfig(kind="stand_in", name="smoke"),
    )
    moved = gpt2_protocol.with_inputs(config, **(none | {"tokenizer": "vocabulary"}))
    assert moved.tokenizer.path == "vocabulary"


@EXPERIMENTS
def test_another_text_is_other_data(experiment, tmp_path):
    config = experiment.PRESETS["smoke"]()
    text = tmp_path / "novel.txt"
    text.write_text("Once more.", encoding="utf-8")
    other = replace(config, corpus=CorpusConfig(path=str(text)))
    assert experiment.data_fingerprint(other) != experiment.data_fingerprint(config)
