"""Where a base is found, what it is called, and what is said when it is missing."""

import json
import os
import subprocess
import sys
from pathlib import Path

import huggingface_hub.constants
import pytest

from decouple.models import gpt2_config
from decouple.models.gpt2_config import (
    BaseModelConfig,
    BaseShape,
    base_fingerprint,
    base_folder,
    base_label,
    base_shape,
    head_modules,
    missing_base,
    parameter_count,
    parse_base,
    stand_in_cache,
)

CONFIG = {
    "model_type": "gpt2",
    "n_layer": 2,
    "n_embd": 8,
    "n_head": 2,
    "n_positions": 16,
    "vocab_size": 300,
}


def write_folder(folder, config=CONFIG, weights=b"weights"):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    (folder / "model.safetensors").write_bytes(weights)
    return folder


def write_hub(cache, name="openai-community/gpt2", files=("config.json", "model.safetensors")):
    """The layout that the hub's client leaves behind; returns the folder of the snapshot."""
    repository = cache / f"models--{name.replace('/', '--')}"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("0123abcd")
    snapshot = write_folder(repository / "snapshots" / "0123abcd")
    for file in list(snapshot.iterdir()):
        if file.name not in files:
            file.unlink()
    return snapshot


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache of the hub, and an empty cache of this user."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("DECOUPLE_CACHE", str(tmp_path / "own"))
    monkeypatch.setattr(gpt2_config, "_SHIPPED", tmp_path / "shipped")
    return tmp_path


def test_a_base_is_read_as_people_write_it(tmp_path, monkeypatch):
    assert parse_base("stand-in:smoke") == BaseModelConfig(kind="stand_in", name="smoke")
    assert parse_base("openai-community/gpt2") == BaseModelConfig()
    directory = BaseModelConfig(kind="directory", name="", path=str(tmp_path))
    assert parse_base(str(tmp_path)) == directory
    # A folder that is there goes before a hub id that reads the same.
    (tmp_path / "owner" / "name").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert parse_base("owner/name").kind == "directory"


@pytest.mark.parametrize("text", ["", "gpt2", "a/b/c", "/no/such/folder"])
def test_another_base_is_refused_with_the_choices(text):
    with pytest.raises(
        ValueError, match=rf"one of stand-in:smoke, stand-in:gpt2-small, .* got '{text}'"
    ):
        parse_base(text)


def test_an_unknown_stand_in_is_refused_with_the_choices():
    with pytest.raises(ValueError, match="stand-ins smoke, gpt2-small, got 'smoky'"):
        parse_base("stand-in:smoky")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "url"}, "kind must be one of hub, directory, stand_in, got 'url'"),
        ({"name": "gpt2"}, "name must be a hub id, that is owner/name, got 'gpt2'"),
        ({"kind": "directory", "name": ""}, "needs a path and an empty name, got path=None"),
        ({"kind": "directory", "path": "x"}, "got path='x' and name='openai-community/gpt2'"),
        ({"path": "x"}, "path is for kind='directory' only, got 'x' with kind='hub'"),
    ],
)
def test_nonsense_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        BaseModelConfig(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layers": 0}, "layers must be a whole number of at least 1, got 0"),
        ({"width": 1.5}, "width must be a whole number of at least 1, got 1.5"),
        ({"heads": 5}, "heads must divide width=768, got 5"),
    ],
)
def test_impossible_shapes_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        BaseShape(**options)


def test_the_released_model_has_124_million_parameters():
    assert parameter_count(BaseShape()) == 124_439_808
    assert head_modules(BaseShape()) == ("11", "ln_f", "wte", "wpe")


def test_a_hub_base_is_found_in_the_cache_of_the_hub(cache):
    config = BaseModelConfig()
    assert base_folder(config) is None
    snapshot = write_hub(cache / "hub")
    assert base_folder(config) == snapshot
    assert missing_base(config) is None
    assert base_shape(config) == BaseShape(layers=2, width=8, heads=2, context=16, vocab_size=300)
    assert base_label(config) == "GPT-2 (openai-community/gpt2)"


@pytest.mark.parametrize("files", [["config.json"], ["model.safetensors"]])
def test_half_a_hub_base_is_missing(cache, files):
    write_hub(cache / "hub", files=files)
    said = missing_base(BaseModelConfig())
    assert "run `hf download openai-community/gpt2 config.json model.safetensors`" in said


def test_the_cache_of_the_hub_is_where_the_environment_says(tmp_path):
    snapshot = write_hub(tmp_path / "hub")
    program = (
        "import sys\n"
        "from decouple.models.gpt2_config import BaseModelConfig, base_folder\n"
        "print(base_folder(BaseModelConfig()))\n"
        "assert not {'torch', 'transformers'} & sys.modules.keys()\n"
    )
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "HUGGING"))}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        env=environment | {"HF_HOME": str(tmp_path)},
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert Path(done.stdout.strip()) == snapshot


def test_a_stand_in_is_found_where_it_is_shipped_then_in_the_cache(cache):
    config = BaseModelConfig(kind="stand_in", name="smoke")
    said = missing_base(config)
    assert "stand-in 'smoke' is not on this machine: run `decouple pretrain smoke`" in said
    assert base_label(config) == "stand-in 'smoke'"
    own = write_folder(stand_in_cache("smoke"))
    assert base_folder(config) == own
    shipped = write_folder(cache / "shipped" / "smoke")
    assert base_folder(config) == shipped
    assert base_label(config) == (
        "stand-in 'smoke': 2 layers of width 8, pretrained on generated text"
    )


def test_the_cache_of_this_user_follows_the_environment(monkeypatch):
    monkeypatch.setenv("DECOUPLE_CACHE", "own")
    monkeypatch.setenv("XDG_CACHE_HOME", "home")
    assert stand_in_cache("smoke") == Path("own/stand_in/smoke")
    monkeypatch.delenv("DECOUPLE_CACHE")
    assert stand_in_cache("smoke") == Path("home/decouple/stand_in/smoke")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert stand_in_cache("smoke") == Path.home() / ".cache/decouple/stand_in/smoke"


def test_a_directory_says_which_file_it_lacks_and_never_where_it_lies(tmp_path):
    folder = write_folder(tmp_path / "mine")
    config = parse_base(str(folder))
    digest = base_fingerprint(config)
    assert base_label(config) == f"local directory mine (sha256 {digest[:10]}…)"
    (folder / "model.safetensors").unlink()
    said = missing_base(config)
    assert "directory 'mine' holds no model.safetensors" in said
    assert base_label(config) == "local directory mine (not there)"
    assert str(tmp_path) not in said
    with pytest.raises(FileNotFoundError, match=r"holds no model\.safetensors"):
        base_fingerprint(config)
    with pytest.raises(FileNotFoundError, match=r"holds no model\.safetensors"):
        base_shape(config)


def test_the_fingerprint_follows_weights_and_configuration_but_not_the_folder(tmp_path):
    def fingerprint(name, **changes):
        return base_fingerprint(parse_base(str(write_folder(tmp_path / name, **changes))))

    first = fingerprint("a")
    assert fingerprint("b") == first
    assert fingerprint("c", weights=b"other") != first
    assert fingerprint("d", config=CONFIG | {"layer_norm_epsilon": 1e-6}) != first
    # Written again with other weights of the same length in the same folder.
    assert fingerprint("a", weights=b"WEIGHTS") == fingerprint("e", weights=b"WEIGHTS") != first


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda text: "", "JSONDecodeError"),
        (lambda text: text[:-10], "JSONDecodeError"),
        (lambda text: "[]", "damaged or of another architecture: TypeError"),
        (lambda text: text.replace("n_layer", "n_leer"), "KeyError: 'n_layer'"),
        (lambda text: text.replace(": 8", ': "eight"'), "width must be a whole number"),
        (lambda text: text.replace('"gpt2"', '"bert"'), "GPT-2 with a tied head, .*='bert'"),
        (
            lambda text: text.replace("{", '{"tie_word_embeddings": false, '),
            "tie_word_embeddings=False",
        ),
    ],
    ids=["empty", "cut", "list", "key", "number", "architecture", "untied"],
)
def test_a_damaged_or_foreign_configuration_is_refused(tmp_path, damage, message):
    folder = write_folder(tmp_path / "mine")
    file = folder / "config.json"
    file.write_text(damage(file.read_text()))
    with pytest.raises(ValueError, match=message):
        base_shape(parse_base(str(folder)))
