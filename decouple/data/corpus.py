"""The text that an experiment trains on: a file, or the generated story world."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from decouple.data.story_world import GENERATOR_VERSION, generate_story_world


@dataclass(frozen=True, kw_only=True, slots=True)
class CorpusConfig:
    """Which text to load."""

    path: str | None = None
    """A UTF-8 text file; None means the generated story world."""

    words: int = 100_000
    """Length of the generated text in words (a short novel); ignored with a path."""

    seed: int = 0
    """Which generated story; ignored with a path."""

    max_characters: int | None = None
    """A file is cut after this many characters, at whitespace; None means the whole file."""

    def __post_init__(self) -> None:
        if self.path == "":
            raise ValueError("path must name a text file or be None, got ''")
        if self.words < 1:
            raise ValueError(f"words must be at least 1, got {self.words}")
        if self.seed < 0:
            raise ValueError(f"seed must be at least 0, got {self.seed}")
        if self.max_characters is not None and self.max_characters < 1:
            raise ValueError(f"max_characters must be at least 1, got {self.max_characters}")
        if self.max_characters is not None and self.path is None:
            raise ValueError(
                f"max_characters cuts a file and needs a path, got {self.max_characters} without "
                "one: set words for the length of the generated text"
            )


def load_corpus(config: CorpusConfig) -> str:
    """The text of a corpus.

    Args:
        config: A file, or the parameters of the generated story world.

    Returns:
        The text without byte order mark, its lines ended by a line feed alone.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The path is no file, the file holds no text, or it is not UTF-8.
    """
    if config.path is None:
        return generate_story_world(config.words, config.seed)
    data = _read(config.path)
    try:
        text = data.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"path must be a UTF-8 text file, got {config.path!r} with an undecodable byte "
            f"0x{data[error.start]:02x} at offset {error.start}"
        ) from error
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if config.max_characters is not None:
        text = _cut(text, config.max_characters)
    if not text.strip():
        raise ValueError(f"path must be a file with text in it, got {config.path!r}: it is empty")
    return text


def corpus_fingerprint(config: CorpusConfig) -> str:
    """A string that changes whenever the text of the corpus may change.

    The generator's parameters and version for the story world, which is not generated for this;
    the SHA-256 of the file's bytes, and the cut, for a file. The file's name plays no part.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The path is no file.
    """
    if config.path is None:
        return f"story_world version={GENERATOR_VERSION} words={config.words} seed={config.seed}"
    return f"file sha256={_sha256(config.path)} max_characters={config.max_characters}"


def corpus_label(config: CorpusConfig) -> str:
    """A short name of the corpus for reports: of a file its name and hash, never its folder.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The path is no file.
    """
    if config.path is None:
        return f"generated story world ({config.words:,} words, seed {config.seed})"
    details = f"sha256 {_sha256(config.path)[:10]}…"
    if config.max_characters is not None:
        details += f", first {config.max_characters:,} characters"
    return f"{Path(config.path).name} ({details})"


def _read(path: str) -> bytes:
    file = Path(path)
    if file.is_dir():
        raise ValueError(f"path must be a text file, got {path!r}: it is a directory")
    try:
        return file.read_bytes()
    except FileNotFoundError as error:
        raise FileNotFoundError(f"path must be a text file, got {path!r}: no such file") from error


def _sha256(path: str) -> str:
    return hashlib.sha256(_read(path)).hexdigest()


def _cut(text: str, max_characters: int) -> str:
    """At most `max_characters` characters, ended before whitespace where there is any."""
    if len(text) <= max_characters:
        return text
    # A word that ends exactly at the limit is whole: the character after it decides.
    words = text[: max_characters + 1]
    stripped = words.rstrip()
    if len(stripped) <= max_characters:
        return stripped
    head = words[: -len(words.split()[-1])].rstrip()
    return head or text[:max_characters]
