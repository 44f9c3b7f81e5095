import dataclasses
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from decouple.experiments import routing_collapse
from decouple.experiments.routing_collapse.config import RoutingCollapseConfig
from decouple.models.moe_config import MoEConfig, parameter_count

CONFIG = routing_collapse.PRESETS["smoke"]()


def test_the_published_preset_is_the_published_run():
    config = routing_collapse.PRESETS["published"]()
    assert (config.cycles, config.steps_per_cycle, config.batch) == (12, 300, 8)
    assert (config.learning_rate, config.weight_decay) == (3e-4, 0.01)
    assert (config.order, config.balancing, config.frozen_router) == ("sequential", 0.0, False)
    assert config.tokenizer.kind == "gpt2"
    assert config.model.context == 128
    assert parameter_count(config.model, 50_257) == 8_560_016
    assert routing_collapse.device(config) == "cuda"
    assert routing_collapse.group_size(config) == 10


def test_every_tier_has_its_preset_and_the_short_run_fills_none():
    assert {"gpu", "smoke"} == set(routing_collapse.TIERS)
    assert set(routing_collapse.TIERS.values()) <= set(routing_collapse.PRESETS)
    assert "short" not in routing_collapse.TIERS.values()
    short, published = (routing_collapse.PRESETS[name]() for name in ("short", "published"))
    assert short.model == published.model
    assert short.steps_per_cycle < published.steps_per_cycle


@pytest.mark.parametrize("preset", routing_collapse.PRESETS)
def test_every_arm_but_the_published_one_changes_the_configuration(preset):
    config = routing_collapse.PRESETS[preset]()
    arms = {name: derive(config) for name, derive in routing_collapse.ARMS.items()}
    assert arms.pop("published") == config
    assert config not in arms.values()
    assert len(set(arms.values())) == len(arms)
    assert all(arm.corpus == config.corpus for arm in arms.values())


def test_an_arm_changes_what_its_name_says_and_nothing_else():
    changed = {}
    for name, derive in routing_collapse.ARMS.items():
        arm = derive(CONFIG)
        before = dataclasses.asdict(CONFIG) | dataclasses.asdict(CONFIG)["model"]
        after = dataclasses.asdict(arm) | dataclasses.asdict(arm)["model"]
        keys = before.keys() - {"model"}
        changed[name] = {key: after[key] for key in keys if after[key] != before[key]}
    assert changed == {
        "published": {},
        "iid": {"order": "iid"},
        "shuffled": {"order": "shuffled"},
        "load_balanced_0.01": {"balancing": 0.01},
        "load_balanced_0.1": {"balancing": 0.1},
        "load_balanced_1.0": {"balancing": 1.0},
        "small_embedding": {"embedding_std": 0.02},
        "no_final_norm": {"final_norm": False},
        "frozen_router": {"frozen_router": True},
        "with_attention": {"attention": True},
        "dense": {"top_k": 4},
        "one_layer": {"n_layers": 1},
        "no_updates": {"learning_rate": 0.0},
        "sharp_router": {"router_scale": 8.0, "cycles": 0},
    }


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"cycles": -1}, "cycles must be at least 0, got -1"),
        ({"batch": 0}, "batch must be at least 1, got 0"),
        ({"group": 0}, "group must be at least 1, got 0"),
        ({"learning_rate": float("nan")}, "learning_rate must be finite and not negative, got nan"),
        ({"balancing": -0.1}, "balancing must be finite and not negative, got -0.1"),
        ({"held_out_fraction": 1.0}, "held_out_fraction must be between 0 and 1, got 1.0"),
        ({"order": "sorted"}, "order must be one of sequential, shuffled, iid, got 'sorted'"),
        ({"device": "tpu"}, "device must be one of cpu, cuda, got 'tpu'"),
        ({"model": MoEConfig(n_experts=1, top_k=1)}, "n_experts must be at least 2 .* got 1"),
        ({"recovery_steps": (5, 3)}, r"recovery_steps must increase .* got \(5, 3\)"),
        ({"recovery_steps": (0, 3)}, r"recovery_steps must increase .* got \(0, 3\)"),
        (
            {"recovery_steps": (400,)},
            r"between 1 and steps_per_cycle=300, got \(400,\)",
        ),
    ],
)
def test_nonsense_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        RoutingCollapseConfig(**changes)


@pytest.mark.parametrize("configuration", [CONFIG, CONFIG.model], ids=["run", "model"])
def test_every_field_says_what_it_is(configuration):
    source = Path(sys.modules[type(configuration).__module__].__file__)
    lines = source.read_text(encoding="utf-8").splitlines()
    for field in dataclasses.fields(configuration):
        (declared,) = [i for i, line in enumerate(lines) if line.startswith(f"    {field.name}: ")]
        assert lines[declared + 1].startswith('    """'), field.name


def test_a_users_text_takes_the_place_of_the_generated_one(tmp_path):
    (tmp_path / "book.txt").write_text("It was a dark and stormy night. " * 50)
    path = str(tmp_path / "book.txt")
    changed = routing_collapse.with_inputs(CONFIG, corpus=path, tokenizer=None, base=None)
    assert changed.corpus.path == path
    assert replace(changed, corpus=CONFIG.corpus) == CONFIG
    assert (
        routing_collapse.with_inputs(CONFIG, corpus=None, tokenizer=None, base="stand-in:smoke")
        == CONFIG
    )
    assert routing_collapse.data_fingerprint(changed) != routing_collapse.data_fingerprint(CONFIG)
    description = routing_collapse.describe(changed)
    assert set(description) == {"base_model", "corpus", "tokenizer"}
    assert description["corpus"] != routing_collapse.describe(CONFIG)["corpus"]


def test_only_gpt2s_tokenizer_takes_a_path():
    published = routing_collapse.PRESETS["published"]()
    changed = routing_collapse.with_inputs(published, corpus=None, tokenizer="folder", base=None)
    assert changed.tokenizer.path == "folder"
    assert (
        routing_collapse.with_inputs(CONFIG, corpus=None, tokenizer="folder", base=None) == CONFIG
    )


def test_the_data_fingerprint_sees_the_tokenizer_but_not_the_training():
    tokenizer = replace(CONFIG.tokenizer, vocab_size=300)
    fingerprint = routing_collapse.data_fingerprint
    assert fingerprint(replace(CONFIG, tokenizer=tokenizer)) != fingerprint(CONFIG)
    assert fingerprint(replace(CONFIG, learning_rate=1.0)) == fingerprint(CONFIG)


def test_the_interface_costs_no_torch():
    code = """
import sys
from decouple.experiments import routing_collapse as experiment
for preset in experiment.PRESETS.values():
    for arm in experiment.ARMS.values():
        experiment.describe(arm(preset()))
        experiment.data_fingerprint(arm(preset()))
print({"torch", "tokenizers", "tiktoken", "decouple.claim"} & set(sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
