"""What experiments on a GPT-2 share: tokenizer, identity and words of the base."""

from pathlib import Path

import huggingface_hub.constants
import numpy as np
import pytest

from decouple.data import CorpusConfig, TokenizerConfig, build_tokenizer
from decouple.data.token_files import write_tokens
from decouple.experiments.base_model import (
    PROMPTS,
    describe_inputs,
    inputs_fingerprint,
    missing_inputs,
    on_base,
    tokenizer_for,
)
from decouple.models.gpt2_config import BaseModelConfig, parse_base

SMOKE = parse_base("stand-in:smoke")
GPT2 = TokenizerConfig(kind="gpt2")
BYTES = [bytes([value]) for value in range(256)]


def write_base(folder, vocab_size, tokens=None):
    folder.mkdir()
    (folder / "config.json").write_text(
        '{"model_type": "gpt2", "n_layer": 1, "n_embd": 8, "n_head": 2, "n_positions": 16, '
        f'"vocab_size": {vocab_size}}}'
    )
    (folder / "model.safetensors").write_bytes(b"weights")
    if tokens is not None:
        write_tokens(folder / "tokens.txt", tokens)
    return parse_base(str(folder))


@pytest.fixture
def no_hub(tmp_path, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))


def test_a_base_speaks_its_own_tokens(tmp_path):
    own = tokenizer_for(SMOKE, GPT2)
    assert (own.kind, Path(own.path).name) == ("tokens", "tokens.txt")
    assert build_tokenizer(own, "").vocab_size == 512
    mine = write_base(tmp_path / "mine", 256, BYTES)
    assert tokenizer_for(mine, GPT2) == TokenizerConfig(
        kind="tokens", path=str(tmp_path / "mine" / "tokens.txt")
    )


def test_a_base_without_tokens_speaks_those_of_gpt2(tmp_path, no_hub):
    released = write_base(tmp_path / "released", 50_257)
    assert tokenizer_for(released, TokenizerConfig()) == GPT2
    placed = TokenizerConfig(kind="gpt2", path=str(tmp_path))
    assert tokenizer_for(released, placed) == placed
    assert tokenizer_for(BaseModelConfig(), placed) == placed


def test_a_base_whose_tokens_nobody_knows_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"tokens\.txt or with GPT-2's 50,257 tokens, .* with 300"):
        tokenizer_for(write_base(tmp_path / "odd", 300), GPT2)


def test_what_is_missing_is_said(tmp_path, no_hub, monkeypatch):
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    assert missing_inputs(SMOKE, GPT2) is None
    assert "hf download openai-community/gpt2" in missing_inputs(BaseModelConfig(), GPT2)
    released = write_base(tmp_path / "released", 50_257)
    assert "not in tiktoken's cache" in missing_inputs(released, GPT2)
    (tmp_path / "empty").mkdir()
    placed = TokenizerConfig(kind="gpt2", path=str(tmp_path / "empty"))
    assert "folder 'empty' holds no GPT-2 vocabulary" in missing_inputs(released, placed)


def test_a_user_changes_base_and_folder(tmp_path):
    before = (BaseModelConfig(), GPT2)
    assert on_base(*before, given=None, folder=None) == before
    base, tokenizer = on_base(*before, given="stand-in:smoke", folder=str(tmp_path))
    assert base == SMOKE
    assert tokenizer == TokenizerConfig(kind="gpt2", path=str(tmp_path))


def test_the_fingerprint_follows_text_tokens_and_weights(tmp_path):
    first = write_base(tmp_path / "first", 256, BYTES)
    copy = write_base(tmp_path / "copy", 256, BYTES)
    turned = write_base(tmp_path / "turned", 256, BYTES[::-1])
    other = write_base(tmp_path / "other", 256, BYTES)
    (tmp_path / "other" / "model.safetensors").write_bytes(b"others")
    text = CorpusConfig()
    fingerprints = [inputs_fingerprint(text, GPT2, base) for base in (first, turned, other)]
    fingerprints.append(inputs_fingerprint(CorpusConfig(seed=2), GPT2, first))
    assert len(set(fingerprints)) == 4
    assert inputs_fingerprint(text, GPT2, copy) == fingerprints[0]


def test_inputs_in_words():
    assert describe_inputs(CorpusConfig(), GPT2, SMOKE) == {
        "base_model": "stand-in 'smoke': 4 layers of width 32, pretrained on generated text",
        "corpus": "generated story world (100,000 words, seed 0)",
        "tokenizer": "byte-level BPE of 512 tokens, the base model's own",
    }


def test_prompts_are_distinct_and_fit_the_smallest_base():
    tokenizer = build_tokenizer(tokenizer_for(SMOKE, GPT2), "")
    lengths = [len(tokenizer.encode(prompt)) for prompt in PROMPTS]
    assert len(set(PROMPTS)) == len(PROMPTS) == 6
    assert np.max(lengths) <= 48, "a context of 64 must leave room to continue"
    assert any("def " in prompt for prompt in PROMPTS)
    assert any("“" in prompt for prompt in PROMPTS)
