"""What can be downloaded: where it lies once it is here, and what it must be.

Nothing else in the project downloads anything. A file is accepted only if its SHA-256 is the one
pinned here or, where the publisher may add versions, the one that the publisher's index states.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

GPT2_FILES = {
    "config.json": "0daed7749b4f02b8f76240d5444551d7b08712dab4d0adb8239c56ba823bb7b4",
    "model.safetensors": "248dfc3911869ec493c76e65bf2fcf7f615828b0254c12b473182f0f81d3a707",
}
"""SHA-256 of the files of openai-community/gpt2 that the base model is read from."""


VOCABULARY_ADDRESSES = tuple(
    f"https://openaipublic.blob.core.windows.net/gpt-2/encodings/main/{name}"
    for name in ("vocab.bpe", "encoder.json")
)
"""Where tiktoken gets GPT-2's vocabulary (tiktoken_ext/openai_public.py)."""


class DownloadError(OSError):
    """A file could not be fetched, or is not the one that it should be."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Download:
    """Something that can be fetched."""

    name: str
    """What the command line calls it."""

    what: str
    """What it is, and what it is for."""

    repository: str
    """Repository on the hub; empty for what tiktoken fetches."""

    files: tuple[tuple[str, str | None], ...] = ()
    """File names and pinned digests; None takes the digest that the hub states."""

    kind: Literal["model", "dataset"] = "model"
    """Kind of the repository."""


DOWNLOADS = {
    each.name: each
    for each in (
        Download(
            name="gpt2",
            what="weights of GPT-2 (124M), the base of sequential_cycles and long_run",
            repository="openai-community/gpt2",
            files=tuple(GPT2_FILES.items()),
        ),
        Download(
            name="gpt2-vocabulary",
            what="byte-pair vocabulary of GPT-2, for every preset at published scale",
            repository="",
        ),
        Download(
            name="tinystories",
            what="TinyStories, the text of ep_plateau: hand its path to --decouple-corpus",
            repository="roneneldan/TinyStories",
            files=(("TinyStoriesV2-GPT4-train.txt", None),),
            kind="dataset",
        ),
    )
}
"""All there is, by name."""

Fetch = Callable[[Download, str], tuple[Path, str | None]]
"""From a download and a file name to where the file lies, and the digest that the hub states."""


def cached(download: Download) -> list[Path] | None:
    """Where the files of a download lie on this machine, or None unless all are there."""
    if not download.repository:
        files = _vocabulary_files()
        return files if all(file.is_file() for file in files) else None
    from huggingface_hub import try_to_load_from_cache  # noqa: PLC0415 - only where it is asked for

    found = [
        try_to_load_from_cache(download.repository, name, repo_type=download.kind)
        for name, _ in download.files
    ]
    paths = [Path(path) for path in found if isinstance(path, str)]
    return paths if len(paths) == len(found) else None


def fetch(download: Download, get: Fetch | None = None) -> list[Path]:
    """Download and check; returns where the files lie.

    Args:
        download: What to fetch.
        get: Fetches one file; by default from the hub.

    Raises:
        DownloadError: if there is no way to the file, or it is not the one it should be.
    """
    if not download.repository:
        return _fetch_vocabulary()
    paths = []
    for name, pinned in download.files:
        try:
            path, stated = (get or _from_hub)(download, name)
        except Exception as error:  # the hub's client raises what its HTTP library raises
            raise DownloadError(f"{download.name}: {name} could not be fetched: {error}") from error
        expected = pinned or stated
        if expected is None:
            raise DownloadError(f"{download.name}: the hub states no digest of {name}")
        found = sha256(path)
        if found != expected:
            raise DownloadError(
                f"{download.name}: {name} must have the SHA-256 {expected}, got {found}"
            )
        paths.append(path)
    return paths


def sha256(path: Path) -> str:
    """Digest of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _from_hub(download: Download, name: str) -> tuple[Path, str | None]:
    from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url  # noqa: PLC0415

    url = hf_hub_url(download.repository, name, repo_type=download.kind)
    path = hf_hub_download(download.repository, name, repo_type=download.kind)
    etag = get_hf_file_metadata(url).etag
    # Of large files the hub states the SHA-256; of small ones a git digest of another length.
    return Path(path), etag if etag is not None and len(etag) == 64 else None


def _vocabulary_files() -> list[Path]:
    """Where tiktoken keeps the two files: it names them by the SHA-1 of their addresses."""
    environment = os.environ
    folder = environment.get("TIKTOKEN_CACHE_DIR", environment.get("DATA_GYM_CACHE_DIR"))
    place = Path(tempfile.gettempdir()) / "data-gym-cache" if folder is None else Path(folder)
    return [place / hashlib.sha1(url.encode()).hexdigest() for url in VOCABULARY_ADDRESSES]


def _fetch_vocabulary() -> list[Path]:
    import tiktoken  # noqa: PLC0415 - slow, and only needed to download

    try:
        tiktoken.get_encoding("gpt2")  # checks the files by digests of its own
    except Exception as error:  # requests, urllib3 and OSError all come through here
        raise DownloadError(f"gpt2-vocabulary could not be fetched: {error}") from error
    return [path for path in _vocabulary_files() if path.is_file()]
