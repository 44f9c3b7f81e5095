import dataclasses
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from decouple.experiments import sequential_cycles
from decouple.experiments.sequential_cycles import ARMS, PRESETS, SequentialCyclesConfig

SMOKE = PRESETS["smoke"]()


def test_the_published_preset_is_the_published_run():
    config = PRESETS["published"]()
    assert (config.cycles, config.steps_per_cycle) == (12, 200)
    assert (config.batch, config.block, config.learning_rate) == (4, 256, 5e-5)
    assert (config.frozen, config.order, config.labels) == (None, "sequential", "next")
    assert (config.base.kind, config.base.name) == ("hub", "openai-community/gpt2")
    assert config.tokenizer.kind == "gpt2"
    assert sequential_cycles.device(config) == "cuda"


@pytest.mark.parametrize("preset", ["published", "smoke"])
def test_a_cycle_sees_its_chunk_about_seven_times(preset):
    config = PRESETS[preset]()
    seen = config.steps_per_cycle * config.batch * config.block / config.chunk_tokens
    assert seen == pytest.approx(7, abs=0.1)


def test_the_stand_in_differs_from_the_published_run_in_its_base_alone():
    published, stand_in = PRESETS["published"](), PRESETS["stand_in"]()
    assert stand_in.base.kind == "stand_in"
    assert replace(stand_in, base=published.base) == published
    assert {"stand_in", "short"}.isdisjoint(sequential_cycles.TIERS.values())
    assert set(sequential_cycles.SEEDS) == set(PRESETS)


@pytest.mark.parametrize("preset", PRESETS)
def test_every_arm_but_the_full_model_changes_the_configuration(preset):
    config = PRESETS[preset]()
    arms = {name: derive(config) for name, derive in ARMS.items()}
    assert arms.pop("full_model") == config
    assert config not in arms.values()
    assert len(set(arms.values())) == len(arms)


def test_an_arm_changes_what_its_name_says_and_nothing_else():
    before = dataclasses.asdict(SMOKE)
    changed = {}
    for name, derive in ARMS.items():
        after = dataclasses.asdict(derive(SMOKE))
        changed[name] = {key: after[key] for key in before if after[key] != before[key]}
    assert changed == {
        "full_model": {},
        "frozen_head": {"frozen": "head"},
        "embeddings_frozen": {"frozen": "embeddings"},
        "last_block_frozen": {"frozen": "last_block"},
        "wte_only": {"frozen": "all_but_wte"},
        "last_block_only": {"frozen": "all_but_last_block"},
        "shuffled": {"order": "shuffled"},
        "iid": {"order": "iid"},
        "same_chunk": {"order": "same_chunk"},
        "random_labels": {"labels": "random"},
        "gauge_shifted": {"gauge_shift": 2.0},
        "no_updates": {"learning_rate": 0.0},
    }


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"cycles": -1}, "cycles must be at least 0, got -1"),
        ({"steps_per_cycle": 0}, "steps_per_cycle must be at least 1, got 0"),
        ({"chunk_tokens": 256}, "chunk_tokens must be at least 257, got 256"),
        ({"generation_tokens": 3}, "generation_tokens must be at least 4, got 3"),
        ({"checkpoint_every": 0}, "checkpoint_every must be at least 1, got 0"),
        ({"learning_rate": float("nan")}, "learning_rate must be finite and not negative, got nan"),
        ({"gauge_shift": -1.0}, "gauge_shift must be finite and not negative, got -1.0"),
        ({"temperature": 0.0}, "temperature must be finite and above 0, got 0.0"),
        ({"held_out_fraction": 1.0}, "held_out_fraction must be between 0 and 1, got 1.0"),
        ({"frozen": "ln_f"}, "frozen must be one of None, head, .* got 'ln_f'"),
        ({"order": "sorted"}, "order must be one of sequential, .* same_chunk, got 'sorted'"),
        ({"labels": "none"}, "labels must be one of next, random, got 'none'"),
        ({"device": "tpu"}, "device must be one of cpu, cuda, got 'tpu'"),
        ({"generation_cycles": (2, 1)}, r"generation_cycles must increase .* got \(2, 1\)"),
        ({"generation_cycles": (13,)}, r"between 0 and cycles=12, got \(13,\)"),
    ],
)
def test_nonsense_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        SequentialCyclesConfig(**changes)


def test_every_field_says_what_it_is():
    source = Path(sys.modules[SequentialCyclesConfig.__module__].__file__)
    lines = source.read_text(encoding="utf-8").splitlines()
    for field in dataclasses.fields(SMOKE):
        (declared,) = [i for i, line in enumerate(lines) if line.startswith(f"    {field.name}: ")]
        assert lines[declared + 1].startswith('    """'), field.name


def test_a_users_inputs_take_the_place_of_the_presets(tmp_path, config):
    (tmp_path / "book.txt").write_text("It was a dark and stormy night. " * 50)
    path = str(tmp_path / "book.txt")
    changed = sequential_cycles.with_inputs(
        SMOKE, corpus=path, tokenizer=None, base=config.base.path
    )
    assert changed == replace(
        SMOKE, corpus=replace(SMOKE.corpus, path=path), base=config.base, tokenizer=SMOKE.tokenizer
    )
    nothing = {"corpus": None, "tokenizer": None, "base": None}
    assert sequential_cycles.with_inputs(SMOKE, **nothing) == SMOKE
    folder = sequential_cycles.with_inputs(SMOKE, **nothing | {"tokenizer": "folder"})
    assert folder.tokenizer.path == "folder"
    with pytest.raises(ValueError, match=r"base must be one of stand-in:smoke, .* got 'gpt3'"):
        sequential_cycles.with_inputs(SMOKE, **nothing | {"base": "gpt3"})


def test_what_is_missing_is_said(tmp_path, config):
    assert sequential_cycles.missing(config) is None
    assert sequential_cycles.missing(SMOKE) is None
    (tmp_path / "empty").mkdir()
    base = replace(config.base, path=str(tmp_path / "empty"))
    assert "holds no config.json" in sequential_cycles.missing(replace(config, base=base))


def test_text_tokenizer_and_base_are_identified_and_described(config):
    fingerprint = sequential_cycles.data_fingerprint
    assert fingerprint(config) == fingerprint(replace(config, learning_rate=1.0))
    assert fingerprint(config) != fingerprint(replace(config, base=SMOKE.base))
    assert fingerprint(config) != fingerprint(replace(config, corpus=SMOKE.corpus))
    described = sequential_cycles.describe(SMOKE)
    assert set(described) == {"base_model", "corpus", "tokenizer"}
    assert "stand-in 'smoke'" in described["base_model"]


def test_the_interface_costs_no_torch():
    code = """
import sys
from decouple.experiments import sequential_cycles as experiment
for preset in experiment.PRESETS.values():
    for arm in experiment.ARMS.values():
        experiment.expected_cells(arm(preset()))
experiment.describe(preset()), experiment.data_fingerprint(preset()), experiment.missing(preset())
print({"torch", "transformers", "tokenizers", "tiktoken", "decouple.claim"} & set(sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
