import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
import tiktoken
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

import decouple.data.tokenizers as tokenizers_module
from decouple.data import (
    TokenizerConfig,
    build_tokenizer,
    generate_story_world,
    missing_tokenizer,
    tokenizer_fingerprint,
)
from decouple.data.token_files import GPT2_SHA256, read_tokens, write_tokens

STORY = generate_story_world(8000, seed=0)
BPE = build_tokenizer(TokenizerConfig(), STORY)
BYTES = build_tokenizer(TokenizerConfig(kind="bytes"), "")


@pytest.mark.parametrize("tokenizer", [BPE, BYTES], ids=["bpe", "bytes"])
@given(text=st.text())
def test_any_text_makes_the_round_trip(tokenizer, text):
    ids = tokenizer.encode(text)
    assert ids.dtype == np.int32
    assert ((ids >= 0) & (ids < tokenizer.vocab_size)).all()
    assert tokenizer.decode(ids) == text
    assert tokenizer.decode_bytes(ids) == text.encode()


def test_story_makes_the_round_trip_in_fewer_tokens_than_bytes():
    ids = BPE.encode(STORY)
    assert BPE.decode(ids) == STORY
    assert BPE.vocab_size == 512
    assert len(ids) < 0.6 * len(STORY.encode())
    assert len(np.unique(ids)) > 250


def test_merges_equal_those_of_the_training_library():
    # The library's own encoder is the reference for encoding with the trained merges.
    reference = Tokenizer(models.BPE())
    reference.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    reference.train_from_iterator(
        [STORY],
        trainers.BpeTrainer(
            vocab_size=512,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    assert reference.encode(STORY).ids == BPE.encode(STORY).tolist()


@pytest.mark.parametrize("tokenizer", [BPE, BYTES], ids=["bpe", "bytes"])
def test_half_a_character_is_replaced(tokenizer):
    ids = [int(tokenizer.encode("é")[0]), *tokenizer.encode("a")]
    assert tokenizer.decode_bytes(ids) == b"\xc3a"
    assert tokenizer.decode(ids) == "\ufffda"


@pytest.mark.parametrize("tokenizer", [BPE, BYTES], ids=["bpe", "bytes"])
@pytest.mark.parametrize("wrong", [-1, 512])
def test_ids_out_of_range_are_refused(tokenizer, wrong):
    with pytest.raises(ValueError, match=rf"ids must lie in \[0, \d+\), got {wrong}"):
        tokenizer.decode([1, wrong])


def test_end_of_text_is_no_special_token_of_a_trained_bpe():
    assert len(BPE.encode("<|endoftext|>")) > 1


def test_a_short_text_gives_a_smaller_vocabulary():
    tokenizer = build_tokenizer(TokenizerConfig(), "one word")
    assert 256 < tokenizer.vocab_size < 512
    assert tokenizer.decode(tokenizer.encode(STORY)) == STORY


def test_another_process_finds_the_same_merges_and_can_fork_quietly(tmp_path):
    program = (
        "import os, pathlib, sys\n"
        "import decouple.data as data\n"
        "assert not {'torch', 'tokenizers', 'tiktoken'} & sys.modules.keys()\n"
        "text = data.generate_story_world(8000, seed=0)\n"
        "data.build_tokenizer(data.TokenizerConfig(), text, cache=pathlib.Path(sys.argv[1]))\n"
        "assert 'TOKENIZERS_PARALLELISM' not in os.environ\n"
        "pid = os.fork()\n"
        "if pid == 0:\n"
        "    data.build_tokenizer(data.TokenizerConfig(vocab_size=300), text)\n"
        "    os._exit(0)\n"
        "sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))\n"
    )
    environment = {k: v for k, v in os.environ.items() if k != "TOKENIZERS_PARALLELISM"}
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", program, str(tmp_path / "a")],
        env=environment, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert (result.returncode, result.stderr) == (0, "")
    build_tokenizer(TokenizerConfig(), STORY, cache=tmp_path / "b")
    [first], [second] = list((tmp_path / "a").iterdir()), list((tmp_path / "b").iterdir())
    assert first.name == second.name
    assert first.read_bytes() == second.read_bytes()


def test_the_cache_is_read_instead_of_training(tmp_path, monkeypatch):
    config = TokenizerConfig(vocab_size=300)
    trained = build_tokenizer(config, STORY, cache=tmp_path / "new")
    monkeypatch.setattr(tokenizers_module, "_train", None)
    cached = build_tokenizer(config, STORY, cache=tmp_path / "new")
    assert np.array_equal(cached.encode(STORY), trained.encode(STORY))


def test_the_cache_keeps_texts_and_sizes_apart(tmp_path):
    for size, text in [(300, STORY), (301, STORY), (300, STORY + " ")]:
        build_tokenizer(TokenizerConfig(vocab_size=size), text, cache=tmp_path)
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize("changed", [None, "tokenizers.py", "token_files.py"])
def test_what_other_code_trained_is_not_read(tmp_path, changed):
    """A copy of the code, changed or not, finds in the cache what it would have made itself."""
    package = Path(tokenizers_module.__file__).parent
    for name in ("tokenizers.py", "token_files.py"):
        shutil.copy(package / name, tmp_path)
    if changed:
        with (tmp_path / changed).open("a") as stream:
            stream.write("# changed\n")
    spec = importlib.util.spec_from_file_location("copied_tokenizers", tmp_path / "tokenizers.py")
    copied = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(copied)
    first = tokenizers_module.trained_tokens(STORY, 300, tmp_path / "cache")
    assert copied.trained_tokens(STORY, 300, tmp_path / "cache") == first
    assert len(list((tmp_path / "cache").iterdir())) == (2 if changed else 1)


def test_what_another_library_trained_is_not_read(tmp_path, monkeypatch):
    build_tokenizer(TokenizerConfig(vocab_size=300), STORY, cache=tmp_path)
    monkeypatch.setattr(metadata, "version", lambda name: f"another {name}")
    build_tokenizer(TokenizerConfig(vocab_size=300), STORY, cache=tmp_path)
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[:-20],
        lambda data: data.replace(b"A", b"B", 1),
        lambda data: b"\x00" * len(data),
    ],
    ids=["empty", "cut", "changed", "zeros"],
)
def test_a_damaged_cache_file_is_trained_again(tmp_path, damage):
    config = TokenizerConfig(vocab_size=300)
    trained = build_tokenizer(config, STORY, cache=tmp_path)
    [file] = tmp_path.iterdir()
    whole = file.read_bytes()
    file.write_bytes(damage(whole))
    again = build_tokenizer(config, STORY, cache=tmp_path)
    assert np.array_equal(again.encode(STORY), trained.encode(STORY))
    assert file.read_bytes() == whole


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    file = tmp_path / "tokens.txt"
    write_tokens(file, [b"old"])

    def fail(self, target):
        raise OSError("disk full")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write_tokens(file, [b"new"])
    assert read_tokens(file) == [b"old"]
    assert list(tmp_path.iterdir()) == [file]


@given(tokens=st.lists(st.binary(min_size=1)))
def test_tokens_make_the_round_trip_through_a_file(tokens, tmp_path_factory):
    file = tmp_path_factory.getbasetemp() / "round_trip.txt"
    write_tokens(file, tokens)
    assert read_tokens(file) == tokens


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "word"}, "kind must be one of bpe, gpt2, bytes, tokens, got 'word'"),
        ({"vocab_size": 255}, "vocab_size must be at least 256, .* got 255"),
        ({"path": "folder"}, "path is for kind='gpt2' and kind='tokens' only, got 'folder' with"),
        ({"kind": "tokens"}, "path must name a token file for kind='tokens', got None"),
    ],
)
def test_nonsense_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        TokenizerConfig(**options)


def test_training_on_nothing_is_refused():
    with pytest.raises(ValueError, match="text must not be empty"):
        build_tokenizer(TokenizerConfig(), "")


def test_fingerprints_tell_tokenizers_apart_but_not_folders(tmp_path):
    configs = [
        TokenizerConfig(),
        TokenizerConfig(vocab_size=300),
        TokenizerConfig(kind="gpt2"),
        TokenizerConfig(kind="bytes"),
    ]
    assert len({tokenizer_fingerprint(config) for config in configs}) == 4
    local = TokenizerConfig(kind="gpt2", path=str(tmp_path))
    assert tokenizer_fingerprint(local) == tokenizer_fingerprint(configs[2])


ALL_BYTES = [bytes([value]) for value in range(256)]


def token_file(file, tokens):
    write_tokens(file, tokens)
    return TokenizerConfig(kind="tokens", path=str(file))


def test_tokens_of_a_file_are_read_as_they_were_trained(tmp_path):
    trained = build_tokenizer(TokenizerConfig(), STORY, cache=tmp_path)
    [file] = tmp_path.iterdir()
    config = TokenizerConfig(kind="tokens", path=str(file))
    read = build_tokenizer(config, "")
    assert read.vocab_size == 512
    assert np.array_equal(read.encode(STORY), trained.encode(STORY))
    assert read.decode(read.encode("漢字 \x00“")) == "漢字 \x00“"
    assert missing_tokenizer(config) is None


def test_the_fingerprint_of_a_token_file_is_that_of_its_bytes(tmp_path):
    first = tokenizer_fingerprint(token_file(tmp_path / "a.txt", ALL_BYTES))
    assert tokenizer_fingerprint(token_file(tmp_path / "b.txt", ALL_BYTES)) == first
    assert tokenizer_fingerprint(token_file(tmp_path / "b.txt", ALL_BYTES[::-1])) != first
    assert "a.txt" not in first


@pytest.mark.parametrize("tokens", [ALL_BYTES[1:], [*ALL_BYTES, b"a"]], ids=["gap", "twice"])
def test_a_token_file_that_cannot_encode_every_text_is_refused(tmp_path, tokens):
    config = token_file(tmp_path / "tokens.txt", tokens)
    with pytest.raises(ValueError, match=r"each of the 256 bytes and no token twice, got .*tokens"):
        build_tokenizer(config, "")


def test_a_token_file_that_is_damaged_or_missing_is_refused(tmp_path):
    config = token_file(tmp_path / "tokens.txt", ALL_BYTES)
    file = tmp_path / "tokens.txt"
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(ValueError, match=r"path must be a token file, got '.*': it is damaged"):
        build_tokenizer(config, "")
    file.unlink()
    assert missing_tokenizer(config) == "there is no token file 'tokens.txt'"
    for use in (lambda config: build_tokenizer(config, ""), tokenizer_fingerprint):
        with pytest.raises(FileNotFoundError, match="path must be a token file, got"):
            use(config)


def test_a_tokenizer_that_needs_no_file_is_never_missing():
    assert missing_tokenizer(TokenizerConfig()) is None
    assert missing_tokenizer(TokenizerConfig(kind="bytes")) is None


def test_the_gpt2_vocabulary_is_looked_for_in_tiktokens_cache(tmp_path, monkeypatch):
    config = TokenizerConfig(kind="gpt2")
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    assert "not in tiktoken's cache" in missing_tokenizer(config)
    (tmp_path / "6d1cbeee0f20b3d9").write_text("first")
    (tmp_path / "6c7ea1a7e38e3a7f").write_text("second")
    assert "not in tiktoken's cache" in missing_tokenizer(config)
    for name, text in (("vocab.bpe", "first"), ("encoder.json", "second")):
        monkeypatch.setitem(GPT2_SHA256, name, hashlib.sha256(text.encode()).hexdigest())
    assert missing_tokenizer(config) is None
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", "")  # which turns the cache off
    assert "not in tiktoken's cache" in missing_tokenizer(config)


def test_a_folder_for_gpt2_must_hold_its_files(tmp_path):
    config = TokenizerConfig(kind="gpt2", path=str(tmp_path))
    assert "holds no GPT-2 vocabulary: put vocab.bpe and" in missing_tokenizer(config)
    assert str(tmp_path) not in missing_tokenizer(config)
    (tmp_path / "r50k_base.tiktoken").touch()
    assert missing_tokenizer(config) is None


def test_a_folder_without_the_gpt2_files_is_refused(tmp_path):
    (tmp_path / "vocab.bpe").write_text("half of the pair")
    with pytest.raises(FileNotFoundError, match=r"path must be a folder that holds vocab\.bpe"):
        build_tokenizer(TokenizerConfig(kind="gpt2", path=str(tmp_path)), "")


@pytest.mark.parametrize("names", [["r50k_base.tiktoken"], ["vocab.bpe", "encoder.json"]])
def test_other_files_than_the_released_ones_are_refused(tmp_path, names):
    for name in names:
        (tmp_path / name).write_text("{}")
    with pytest.raises(ValueError, match=rf"released {names[0]} with sha256 .* got .* with 44136f"):
        build_tokenizer(TokenizerConfig(kind="gpt2", path=str(tmp_path)), "")


def test_a_download_that_fails_says_how_to_get_the_files(monkeypatch):
    def fail(name):
        raise OSError("no route to host")

    monkeypatch.setattr(tiktoken, "get_encoding", fail)
    with pytest.raises(RuntimeError, match=r"TIKTOKEN_CACHE_DIR .* path to a folder") as caught:
        build_tokenizer(TokenizerConfig(kind="gpt2"), "")
    assert "no route" in str(caught.value.__cause__)


@pytest.mark.skipif(
    "DECOUPLE_GPT2_BPE" not in os.environ,
    reason="DECOUPLE_GPT2_BPE names no folder with the GPT-2 vocabulary",
)
def test_the_released_vocabulary():
    config = TokenizerConfig(kind="gpt2", path=os.environ["DECOUPLE_GPT2_BPE"])
    tokenizer = build_tokenizer(config, "")
    assert tokenizer.vocab_size == 50_257
    assert tokenizer.encode("Hello world<|endoftext|>").tolist() == [15496, 995, 50256]
    assert tokenizer.decode(tokenizer.encode(STORY)) == STORY
    # A curly quote is a lead token and a continuation byte.
    assert tokenizer.encode("“").tolist() == [447, 250]
