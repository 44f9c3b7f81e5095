"""Tokenizers: a byte-level BPE of the corpus at hand or of a file, GPT-2's vocabulary, plain bytes.

The `tokenizers` and `tiktoken` libraries are imported where they are needed, so that importing
this module costs nothing.
"""

# ruff: noqa: PLC0415  (the two libraries, see above)

import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from decouple.data.token_files import (
    byte_letters,
    has_gpt2_cache,
    has_gpt2_files,
    read_gpt2_ranks,
    read_tokens,
    write_tokens,
)

if TYPE_CHECKING:
    import tiktoken

_CODE = hashlib.sha256(
    Path(__file__).read_bytes() + Path(__file__).with_name("token_files.py").read_bytes()
).hexdigest()
"""The code that trains a BPE and keeps it, as it was when this process loaded it."""

Kind = Literal["bpe", "gpt2", "bytes", "tokens"]

_GPT2_PATTERN = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
"""How GPT-2 splits a text before merging (Radford et al. 2019, released code, encoder.py)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenizerConfig:
    """Which tokenizer to build."""

    kind: Kind = "bpe"
    """bpe: byte-level BPE trained on the corpus; gpt2: the released vocabulary; bytes: none;
    tokens: a BPE that was trained before, as `token_files.write_tokens` keeps it."""

    vocab_size: int = 512
    """Tokens of the trained BPE, the 256 bytes included; ignored by the other kinds."""

    path: str | None = None
    """gpt2: a folder with vocab.bpe and encoder.json, or with r50k_base.tiktoken; None leaves it to
    tiktoken, which looks into its cache and then downloads. tokens: the file, always needed."""

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ValueError(f"kind must be one of {', '.join(get_args(Kind))}, got {self.kind!r}")
        if self.vocab_size < 256:
            raise ValueError(
                f"vocab_size must be at least 256, one token for each byte, got {self.vocab_size}"
            )
        if self.path is not None and self.kind not in ("gpt2", "tokens"):
            raise ValueError(
                "path is for kind='gpt2' and kind='tokens' only, "
                f"got {self.path!r} with kind={self.kind!r}"
            )
        if self.kind == "tokens" and not self.path:
            raise ValueError(f"path must name a token file for kind='tokens', got {self.path!r}")


class Tokenizer(Protocol):
    """Text to token ids and back."""

    @property
    def vocab_size(self) -> int:
        """Number of token ids; all ids lie in [0, vocab_size)."""

    def encode(self, text: str) -> NDArray[np.int32]:
        """The token ids of a text, shape (N,)."""

    def decode(self, ids: Sequence[int] | NDArray[np.integer]) -> str:
        """The text of some tokens; what is not UTF-8 becomes U+FFFD."""

    def decode_bytes(self, ids: Sequence[int] | NDArray[np.integer]) -> bytes:
        """The bytes of some tokens, which may begin or end inside a character."""


def build_tokenizer(config: TokenizerConfig, text: str, *, cache: Path | None = None) -> Tokenizer:
    """Builds a tokenizer; kind='bpe' is trained on `text`, the others do not look at it.

    Args:
        config: Which tokenizer.
        text: The corpus.
        cache: Folder in which trained tokenizers are kept, made where it is missing. Several
            processes may share it; a damaged file in it is replaced.

    Returns:
        The tokenizer. A text too short for `config.vocab_size` gives a smaller vocabulary.

    Raises:
        FileNotFoundError: The folder for gpt2 holds none of the files, or there is no token file.
        ValueError: A file for gpt2 is not the released one, a token file is damaged or cannot
            encode every text, or `text` is empty for a BPE.
        RuntimeError: tiktoken could not get the GPT-2 vocabulary.
    """
    if config.kind == "bytes":
        return _Bytes()
    if config.kind == "gpt2":
        return _BytePairs(_gpt2_encoding(config.path))
    if config.kind == "tokens":
        assert config.path is not None  # the configuration has seen to it
        return _BytePairs(_encoding(_read_complete(Path(config.path))))
    if not text:
        raise ValueError("text must not be empty to train a BPE on, got ''")
    return _BytePairs(_trained_encoding(text, config.vocab_size, cache))


def tokenizer_fingerprint(config: TokenizerConfig) -> str:
    """A string that, with the corpus and the code, changes whenever the token ids may change.

    Of a trained BPE it says what is asked for, and nothing of the code that trains it. The folder
    of the GPT-2 files plays no part: only the released files are accepted. Of a token file its
    bytes count and not its name.

    Raises:
        FileNotFoundError: There is no such token file.
    """
    if config.kind == "tokens":
        assert config.path is not None  # the configuration has seen to it
        return f"tokens sha256={hashlib.sha256(_token_file(Path(config.path))).hexdigest()}"
    if config.kind == "bpe":
        return f"bpe vocab_size={config.vocab_size}"
    return config.kind


def missing_tokenizer(config: TokenizerConfig) -> str | None:
    """None if the tokenizer can be built without a download, else a sentence on what to do."""
    if config.kind == "tokens":
        assert config.path is not None  # the configuration has seen to it
        file = Path(config.path)
        return None if file.is_file() else f"there is no token file {file.name!r}"
    if config.kind != "gpt2":
        return None
    if config.path is not None:
        folder = Path(config.path)
        if has_gpt2_files(folder):
            return None
        return (
            f"the folder {folder.name!r} holds no GPT-2 vocabulary: put vocab.bpe and "
            "encoder.json, or r50k_base.tiktoken, into it"
        )
    if has_gpt2_cache():
        return None
    return (
        "the GPT-2 vocabulary is not in tiktoken's cache: run "
        "`python -c \"import tiktoken; tiktoken.get_encoding('gpt2')\"` once with a network, or "
        "name a folder that holds vocab.bpe and encoder.json, or r50k_base.tiktoken"
    )


class _Bytes:
    """One token for each byte of the UTF-8 text."""

    vocab_size = 256

    def encode(self, text: str) -> NDArray[np.int32]:
        return np.frombuffer(text.encode("utf-8"), np.uint8).astype(np.int32)

    def decode(self, ids: Sequence[int] | NDArray[np.integer]) -> str:
        return self.decode_bytes(ids).decode("utf-8", errors="replace")

    def decode_bytes(self, ids: Sequence[int] | NDArray[np.integer]) -> bytes:
        return _checked(ids, self.vocab_size).astype(np.uint8).tobytes()


class _BytePairs:
    """Byte-pair encoding (Sennrich et al. 2016) on bytes, by tiktoken."""

    def __init__(self, encoding: "tiktoken.Encoding") -> None:
        self._encoding = encoding
        self.vocab_size = encoding.n_vocab

    def encode(self, text: str) -> NDArray[np.int32]:
        return self._encoding.encode_to_numpy(text, allowed_special="all").astype(np.int32)

    def decode(self, ids: Sequence[int] | NDArray[np.integer]) -> str:
        return self.decode_bytes(ids).decode("utf-8", errors="replace")

    def decode_bytes(self, ids: Sequence[int] | NDArray[np.integer]) -> bytes:
        return self._encoding.decode_bytes(_checked(ids, self.vocab_size).tolist())


def _checked(ids: Sequence[int] | NDArray[np.integer], vocab_size: int) -> NDArray[np.integer]:
    array = np.asarray(ids, dtype=np.int64)
    outside = array[(array < 0) | (array >= vocab_size)]
    if outside.size:
        raise ValueError(f"ids must lie in [0, {vocab_size}), got {outside[0]}")
    return array


def _gpt2_encoding(path: str | None) -> "tiktoken.Encoding":
    import tiktoken

    if path is not None:
        ranks = read_gpt2_ranks(Path(path))
        return tiktoken.Encoding(
            "gpt2",
            pat_str=_GPT2_PATTERN,
            mergeable_ranks=ranks,
            special_tokens={"<|endoftext|>": len(ranks)},
        )
    try:
        return tiktoken.get_encoding("gpt2")
    except Exception as error:  # requests, urllib3 and OSError all come through here
        raise RuntimeError(
            "the GPT-2 vocabulary is neither in tiktoken's cache nor could it be downloaded: set "
            "TIKTOKEN_CACHE_DIR to a filled cache, or path to a folder that holds vocab.bpe and "
            "encoder.json, or r50k_base.tiktoken"
        ) from error


def _trained_encoding(text: str, vocab_size: int, cache: Path | None) -> "tiktoken.Encoding":
    return _encoding(trained_tokens(text, vocab_size, cache))


def trained_tokens(text: str, vocab_size: int, cache: Path | None = None) -> list[bytes]:
    """The tokens of a BPE trained on a text, in the order of their ids; see `build_tokenizer`."""
    tokens = None
    file = None
    if cache is not None:
        file = cache / f"bpe-{vocab_size}-{_kept_as(text)}.txt"
        tokens = read_tokens(file)
    if tokens is None:
        tokens = _train(text, vocab_size)
        if file is not None:
            write_tokens(file, tokens)
    return tokens


def _kept_as(text: str) -> str:
    """Digest of all that decides what training gives, its size apart: text, code, library."""
    parts = (_CODE, metadata.version("tokenizers"), text)
    return hashlib.sha256("\0".join(parts).encode("utf-8")).hexdigest()


def _encoding(tokens: Sequence[bytes]) -> "tiktoken.Encoding":
    """A BPE of tokens in the order of their ids, which is the order of the merges."""
    import tiktoken

    return tiktoken.Encoding(
        f"bpe-{len(tokens)}",
        pat_str=_GPT2_PATTERN,
        mergeable_ranks={token: rank for rank, token in enumerate(tokens)},
        special_tokens={},
    )


def _read_complete(file: Path) -> list[bytes]:
    """The tokens of a file with which any text can be encoded."""
    _token_file(file)
    tokens = read_tokens(file)
    if tokens is None:
        raise ValueError(f"path must be a token file, got {str(file)!r}: it is damaged")
    if len(set(tokens)) < len(tokens) or not {bytes([byte]) for byte in range(256)} <= set(tokens):
        raise ValueError(
            f"path must be a token file with each of the 256 bytes and no token twice, "
            f"got {str(file)!r}"
        )
    return tokens


def _token_file(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise FileNotFoundError(
            f"path must be a token file, got {str(file)!r}: {error.strerror}"
        ) from error


def _train(text: str, vocab_size: int) -> list[bytes]:
    """The tokens of a BPE in the order of their ids: the 256 bytes, then the merges."""
    from tokenizers import Tokenizer as Trained
    from tokenizers.models import BPE
    from tokenizers.pre_tokenizers import ByteLevel
    from tokenizers.trainers import BpeTrainer

    trained = Trained(BPE())
    trained.pre_tokenizer = ByteLevel(add_prefix_space=False)
    trainer = BpeTrainer(
        vocab_size=vocab_size, initial_alphabet=ByteLevel.alphabet(), show_progress=False
    )
    with _without_threads():
        trained.train_from_iterator([text], trainer)
    letters = byte_letters()
    vocabulary = trained.get_vocab(with_added_tokens=False)
    return [
        bytes(letters[letter] for letter in token)
        for token in sorted(vocabulary, key=vocabulary.__getitem__)
    ]


@contextmanager
def _without_threads() -> Iterator[None]:
    """Keeps the `tokenizers` library on this thread: a process that has its threads cannot fork."""
    name = "TOKENIZERS_PARALLELISM"
    before = os.environ.get(name)
    os.environ[name] = "false"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
