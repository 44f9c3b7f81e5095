"""Stand-ins: made whole or not at all, loaded like any base, and the shipped one is sound."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from decouple.data import CorpusConfig, TokenizerConfig, build_tokenizer
from decouple.experiments.base_model import tokenizer_for
from decouple.experiments.stand_in import STAND_INS, StandInConfig, _windows, make_stand_in
from decouple.models import gpt2_config
from decouple.models.gpt2 import load_base
from decouple.models.gpt2_config import BaseShape, base_folder, base_shape, parse_base
from decouple.training.numerics import cpu_numerics
from decouple.training.pretraining_config import PretrainingConfig

TINY = StandInConfig(
    corpus=CorpusConfig(words=3000, seed=1),
    tokenizer=TokenizerConfig(vocab_size=300),
    training=PretrainingConfig(
        shape=BaseShape(layers=1, width=16, heads=2, context=16, vocab_size=300),
        block=16,
        steps=20,
        learning_rate=1e-2,
        warmup=5,
        check_every=5,
        checkpoint_every=5,
    ),
    held_out_windows=8,
)
FILES = {"config.json", "manifest.json", "model.safetensors", "tokens.txt"}


def names(folder):
    return {file.name for file in folder.iterdir()}


def contents(folder):
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_a_stand_in_is_made_and_loaded(tmp_path):
    into = tmp_path / "deep" / "tiny"
    seen = []
    manifest = make_stand_in(
        "tiny", TINY, into, code="abc", progress=lambda *call: seen.append(call[:2])
    )
    assert names(into) == FILES
    assert names(into.parent) == {"tiny"}
    assert seen == [(5, 20), (10, 20), (15, 20), (20, 20)]
    base = parse_base(str(into))
    assert base_shape(base) == TINY.training.shape
    model = load_base(base)
    tokenizer = build_tokenizer(tokenizer_for(base, TokenizerConfig(kind="gpt2")), "")
    assert tokenizer.vocab_size == 300
    # Whatever the bytes, they make the round trip.
    text = "“Ünïcode” \x00\r\n\t 漢字 😀"
    assert tokenizer.decode(tokenizer.encode(text)) == text
    assert model(torch.from_numpy(tokenizer.encode("a story")).long()[None]).logits.isfinite().all()
    assert manifest == json.loads((into / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["code"] == "abc"
    assert manifest["held_out_loss"] < manifest["unigram_cross_entropy"] + 0.5
    assert manifest["parameters"] == sum(value.numel() for value in model.parameters())
    for file, digest in manifest["sha256"].items():
        assert hashlib.sha256((into / file).read_bytes()).hexdigest() == digest
    assert set(manifest["sha256"]) == FILES - {"manifest.json"}


def test_the_same_configuration_gives_the_same_bytes_and_names_no_folder(tmp_path):
    for folder in ("first", "second"):
        make_stand_in("tiny", TINY, tmp_path / folder, code="abc")
    assert contents(tmp_path / "first") == contents(tmp_path / "second")
    for data in contents(tmp_path / "first").values():
        assert str(tmp_path).encode() not in data


def test_a_folder_that_is_there_is_replaced_only_by_force(tmp_path):
    into = tmp_path / "tiny"
    make_stand_in("tiny", TINY, into, code="abc")
    before = contents(into)
    other = replace(TINY, training=replace(TINY.training, seed=1))
    with pytest.raises(FileExistsError, match=r"into must not exist, got '.*tiny'"):
        make_stand_in("tiny", other, into, code="abc")
    assert contents(into) == before
    make_stand_in("tiny", other, into, code="abc", force=True)
    assert contents(into) != before
    assert names(tmp_path) == {"tiny"}


def test_an_interrupted_call_leaves_the_old_folder_and_is_taken_up(tmp_path):
    into = tmp_path / "tiny"
    make_stand_in("tiny", TINY, into, code="old")
    before = contents(into)

    def interrupt(done, *_):
        if done == 15:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_stand_in("tiny", TINY, into, code="abc", force=True, progress=interrupt)
    assert contents(into) == before
    steps = []
    make_stand_in(
        "tiny", TINY, into, code="old", force=True, progress=lambda done, *_: steps.append(done)
    )
    assert steps == [20]
    assert contents(into) == before
    assert names(tmp_path) == {"tiny"}


def test_divergence_writes_nothing(tmp_path):
    config = replace(TINY, training=replace(TINY.training, learning_rate=1e30, warmup=0))
    with pytest.raises(RuntimeError, match="stand-in 'tiny' diverged at step"):
        make_stand_in("tiny", config, tmp_path / "tiny", code="abc")
    assert not (tmp_path / "tiny").exists()


def test_a_curly_quote_is_a_lead_token_and_a_continuation_byte():
    base = parse_base("stand-in:smoke")
    tokenizer = build_tokenizer(tokenizer_for(base, TokenizerConfig(kind="gpt2")), "")
    for character in "“”’—":
        ids = tokenizer.encode(f"a {character}")[-2:]
        pieces = [tokenizer.decode_bytes([token]) for token in ids]
        assert pieces == [character.encode()[:2], character.encode()[2:]]


def test_a_vocabulary_of_another_size_is_refused(tmp_path):
    config = replace(TINY, tokenizer=TokenizerConfig(vocab_size=301))
    with pytest.raises(ValueError, match=r"must be that of the tokenizer, 301, got 300"):
        make_stand_in("tiny", config, tmp_path / "tiny", code="abc")


def test_every_stand_in_that_can_be_named_can_be_made():
    assert tuple(STAND_INS) == gpt2_config.STAND_INS


def test_the_large_stand_in_has_the_shape_of_the_released_model():
    config = STAND_INS["gpt2-small"]()
    assert config.training.shape == BaseShape()
    assert config.tokenizer.kind == "gpt2"
    assert config.training.device == "cuda"
    assert config.training.block == 256
    seen = config.training.steps * config.training.batch * config.training.block
    assert 5e7 < seen < 2e8
    assert config.corpus.seed == STAND_INS["smoke"]().corpus.seed != CorpusConfig().seed


def test_the_shipped_stand_in_is_what_its_manifest_says():
    config = STAND_INS["smoke"]()
    folder = base_folder(parse_base("stand-in:smoke"))
    assert folder == Path(__file__).parents[2] / "fixtures" / "stand_in" / "smoke"
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    for file, digest in manifest["sha256"].items():
        assert hashlib.sha256((folder / file).read_bytes()).hexdigest() == digest
    assert manifest["config"]["training"]["steps"] == config.training.steps
    assert BaseShape(**manifest["config"]["training"]["shape"]) == config.training.shape
    assert manifest["held_out_loss"] < 0.6 * manifest["unigram_cross_entropy"]


def test_the_shipped_stand_in_predicts_as_well_as_it_says(tmp_path):
    config = STAND_INS["smoke"]()
    folder = base_folder(parse_base("stand-in:smoke"))
    _, held_out = _windows(config, tmp_path)
    assert (tmp_path / "tokens.txt").read_bytes() == (folder / "tokens.txt").read_bytes()
    windows = torch.from_numpy(held_out[::4]).long()
    with cpu_numerics(1), torch.no_grad():
        logits = load_base(parse_base("stand-in:smoke"))(windows[:, :-1]).logits
        losses = torch.nn.functional.cross_entropy(
            logits.flatten(0, 1), windows[:, 1:].flatten(), reduction="none"
        ).view(64, 64)
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    # A quarter of the windows that the manifest's figure is the mean of.
    error = losses.mean(1).std().item() / np.sqrt(64)
    assert losses.mean().item() == pytest.approx(manifest["held_out_loss"], abs=4 * error)
