"""Files of byte-pair vocabularies: those that GPT-2 was released with, and a cache of ours."""

import base64
import hashlib
import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

# The SHA-256 that tiktoken itself pins for these files (tiktoken_ext/openai_public.py).
GPT2_SHA256 = {
    "vocab.bpe": "1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5",
    "encoder.json": "196139668be63f3b5d6574427317ae82f612a97c5d1cdaf36ed2256dbf636783",
    "r50k_base.tiktoken": "306cd27f03c1a714eca7108e03d66b7dc042abe8c258b44c199a7ed9838dd930",
}

_LARGEST = 4_000_000
"""Files of tiktoken's cache from this size on, in bytes, are not worth reading: they are others."""


def byte_letters() -> dict[str, int]:
    """The letter that stands for each byte where GPT-2's files and libraries write bytes as text.

    Printable Latin-1 characters stand for themselves; the other bytes, in order, are written as
    the characters from U+0100 on (Radford et al. 2019, released code, encoder.py).
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {
        chr(0x100 + index): byte for index, byte in enumerate(others)
    }


def read_gpt2_ranks(folder: Path) -> dict[bytes, int]:
    """The 50,256 mergeable tokens of GPT-2 with their ids.

    Args:
        folder: Holds vocab.bpe and encoder.json, or r50k_base.tiktoken.

    Raises:
        FileNotFoundError: It holds neither.
        ValueError: A file is not the one that was released.
    """
    if (folder / "r50k_base.tiktoken").is_file():
        lines = _released(folder / "r50k_base.tiktoken").split(b"\n")
        pairs = [line.split() for line in lines if line]
        return {base64.b64decode(token): int(rank) for token, rank in pairs}
    if (folder / "vocab.bpe").is_file() and (folder / "encoder.json").is_file():
        # In a file that is the released one, the ids already follow the order of the merges;
        # vocab.bpe is checked all the same, so that the pair is known to belong together.
        _released(folder / "vocab.bpe")
        letters = byte_letters()
        ids: dict[str, int] = json.loads(_released(folder / "encoder.json"))
        ids.pop("<|endoftext|>")
        return {bytes(letters[letter] for letter in token): rank for token, rank in ids.items()}
    raise FileNotFoundError(
        "path must be a folder that holds vocab.bpe and encoder.json, or r50k_base.tiktoken, "
        f"got {str(folder)!r}"
    )


def has_gpt2_files(folder: Path) -> bool:
    """Whether a folder holds the files that `read_gpt2_ranks` reads; they are not checked."""
    pair = (folder / "vocab.bpe").is_file() and (folder / "encoder.json").is_file()
    return pair or (folder / "r50k_base.tiktoken").is_file()


def has_gpt2_cache() -> bool:
    """Whether tiktoken's cache holds the GPT-2 vocabulary, so that nothing need be downloaded.

    A file there is named after the address it came from; here it is known by what it holds.
    """
    for variable in ("TIKTOKEN_CACHE_DIR", "DATA_GYM_CACHE_DIR"):
        if variable in os.environ:
            folder = os.environ[variable]
            break
    else:
        folder = str(Path(tempfile.gettempdir()) / "data-gym-cache")
    if not folder or not Path(folder).is_dir():
        return False
    found = {
        hashlib.sha256(file.read_bytes()).hexdigest()
        for file in Path(folder).iterdir()
        if file.is_file() and file.stat().st_size < _LARGEST
    }
    return found >= {GPT2_SHA256["vocab.bpe"], GPT2_SHA256["encoder.json"]}


def _released(file: Path) -> bytes:
    data = file.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    if digest != GPT2_SHA256[file.name]:
        raise ValueError(
            f"path must hold the released {file.name} with sha256 {GPT2_SHA256[file.name]}, "
            f"got {str(file)!r} with {digest}"
        )
    return data


def write_tokens(file: Path, tokens: Sequence[bytes]) -> None:
    """Writes tokens in the order of their ids, under a checksum; never leaves half a file."""
    body = b"".join(base64.b64encode(token) + b"\n" for token in tokens)
    file.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=file.parent, prefix=file.name, suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(_checksum(body) + body)
        Path(temporary).replace(file)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def read_tokens(file: Path) -> list[bytes] | None:
    """The tokens of a file, or None where it is missing or damaged."""
    try:
        checksum, body = file.read_bytes().split(b"\n", 1)
    except (OSError, ValueError):
        return None
    if checksum + b"\n" != _checksum(body):
        return None
    return [base64.b64decode(line) for line in body.split()]


def _checksum(body: bytes) -> bytes:
    return hashlib.sha256(body).hexdigest().encode() + b"\n"
