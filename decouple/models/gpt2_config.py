"""Which GPT-2 is the base, and where its weights lie on this machine. Imports no torch."""

import hashlib
import json
import os
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

BaseKind: TypeAlias = Literal["hub", "directory", "stand_in"]

BASE_KINDS: tuple[BaseKind, ...] = get_args(BaseKind)
"""A model of the Hugging Face hub, a folder, or a stand-in that the project pretrains."""

STAND_INS = ("smoke", "gpt2-small")
"""Stand-ins by name; `decouple.experiments.stand_in` knows how each is made."""

LAST_BLOCK_AND_HEAD = ("ln_f", "wte", "wpe")
"""Modules that, with the last block, make up the head that the documents freeze."""

_SHIPPED = Path(__file__).parents[2] / "fixtures" / "stand_in"
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_STAND_IN_PREFIX = "stand-in:"


@dataclass(frozen=True, kw_only=True, slots=True)
class BaseModelConfig:
    """Where the weights of the base come from; nothing is ever downloaded."""

    kind: BaseKind = "hub"
    """hub: the local cache of the hub; directory: any folder; stand_in: pretrained here."""

    name: str = "openai-community/gpt2"
    """Hub id, or name of the stand-in; empty for a directory."""

    path: str | None = None
    """Folder with config.json and model.safetensors; for a directory only."""

    def __post_init__(self) -> None:
        """Refuse what names no base."""
        if self.kind not in BASE_KINDS:
            raise ValueError(f"kind must be one of {', '.join(BASE_KINDS)}, got {self.kind!r}")
        if self.kind == "stand_in" and self.name not in STAND_INS:
            raise ValueError(
                f"name must be one of the stand-ins {', '.join(STAND_INS)}, got {self.name!r}"
            )
        if self.kind == "hub" and not _HUB_ID.fullmatch(self.name):
            raise ValueError(f"name must be a hub id, that is owner/name, got {self.name!r}")
        if self.kind == "directory" and (self.name or not self.path):
            raise ValueError(
                "kind='directory' needs a path and an empty name, "
                f"got path={self.path!r} and name={self.name!r}"
            )
        if self.kind != "directory" and self.path is not None:
            raise ValueError(
                f"path is for kind='directory' only, got {self.path!r} with kind={self.kind!r}"
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class BaseShape:
    """Shape of a GPT-2; the defaults are the released model with 124 M parameters."""

    layers: int = 12
    """Blocks L."""

    width: int = 768
    """Width C of the residual stream."""

    heads: int = 12
    """Attention heads, which divide the width."""

    context: int = 1024
    """Longest sequence, in tokens; as many learned positions."""

    vocab_size: int = 50_257
    """Rows V of the token embedding, which is the head as well."""

    def __post_init__(self) -> None:
        """Refuse shapes that no model can have."""
        for name in ("layers", "width", "heads", "context", "vocab_size"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} must be a whole number of at least 1, got {value!r}")
        if self.width % self.heads:
            raise ValueError(f"heads must divide width={self.width}, got {self.heads}")


def parameter_count(shape: BaseShape) -> int:
    """Number of parameters, counted by hand: 124,439,808 for the defaults, the tied head once."""
    width = shape.width
    block = 12 * width**2 + 13 * width
    return (shape.vocab_size + shape.context) * width + shape.layers * block + 2 * width


def head_modules(shape: BaseShape) -> tuple[str, ...]:
    """Names of the last block, the final LayerNorm and both embeddings, as `frozen` takes them.

    They name what the documents call the frozen head [sequential_cycles: Setup]. Parameters of the
    last block are known by its number, which no other part of a parameter's name equals.
    """
    return (str(shape.layers - 1), *LAST_BLOCK_AND_HEAD)


def parse_base(text: str) -> BaseModelConfig:
    """Read a base as people write it.

    Args:
        text: `stand-in:NAME`, an existing directory, or a hub id `owner/name`, tried in this order.

    Raises:
        ValueError: It is none of these.
    """
    if text.startswith(_STAND_IN_PREFIX):
        return BaseModelConfig(kind="stand_in", name=text.removeprefix(_STAND_IN_PREFIX))
    if text and Path(text).is_dir():
        return BaseModelConfig(kind="directory", name="", path=text)
    if _HUB_ID.fullmatch(text):
        return BaseModelConfig(kind="hub", name=text)
    choices = ", ".join(f"{_STAND_IN_PREFIX}{name}" for name in STAND_INS)
    raise ValueError(
        f"base must be one of {choices}, an existing directory, or a hub id owner/name, "
        f"got {text!r}"
    )


def stand_in_cache(name: str) -> Path:
    """Folder of this user in which a stand-in is kept: below $DECOUPLE_CACHE or the cache home."""
    chosen = os.environ.get("DECOUPLE_CACHE")
    if chosen:
        return Path(chosen) / "stand_in" / name
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "decouple" / "stand_in" / name


def base_folder(config: BaseModelConfig) -> Path | None:
    """Folder in which config.json and the weights lie, or None where either is missing."""
    return next((folder for folder in _places(config) if not _absent(folder)), None)


def missing_base(config: BaseModelConfig) -> str | None:
    """None if the base is on this machine, else a sentence on how to get it."""
    if base_folder(config) is not None:
        return None
    if config.kind == "hub":
        return (
            f"the weights of {config.name} are not in the local cache of the hub: run `hf download "
            f"{config.name} config.json model.safetensors`, or choose another base model"
        )
    if config.kind == "stand_in":
        return (
            f"the stand-in {config.name!r} is not on this machine: run `decouple pretrain "
            f"{config.name}`, or choose another base model"
        )
    assert config.path is not None  # the configuration has seen to it
    folder = Path(config.path)
    return (
        f"the base directory {folder.name!r} holds no {_absent(folder)}: write config.json and "
        "model.safetensors into it with save_pretrained, or choose another base model"
    )


def base_fingerprint(config: BaseModelConfig) -> str:
    """The SHA-256 over config.json and all weight files of the base.

    Files are read again only when their size or time of change is another.

    Raises:
        FileNotFoundError: The base is not on this machine; says how to get it.
    """
    folder = _found(config)
    digests = []
    for file in sorted([folder / "config.json", *folder.glob("model*.safetensors*")]):
        status = file.stat()
        digests.append(f"{file.name} {_sha256(file, status.st_mtime_ns, status.st_size)}")
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()


def base_label(config: BaseModelConfig) -> str:
    """A short name of the base for reports, without the folder it lies in."""
    if config.kind == "hub":
        return f"GPT-2 ({config.name})"
    absent = base_folder(config) is None
    if config.kind == "directory":
        assert config.path is not None  # the configuration has seen to it
        known = "not there" if absent else f"sha256 {base_fingerprint(config)[:10]}…"
        return f"local directory {Path(config.path).resolve().name} ({known})"
    if absent:
        return f"stand-in {config.name!r}"
    shape = base_shape(config)
    return (
        f"stand-in {config.name!r}: {shape.layers} layers of width {shape.width}, "
        "pretrained on generated text"
    )


def base_shape(config: BaseModelConfig) -> BaseShape:
    """Shape of the base, read from its config.json.

    Raises:
        FileNotFoundError: The base is not on this machine; says how to get it.
        ValueError: The file is damaged, or of another architecture than GPT-2 with a tied head.
    """
    file = _found(config) / "config.json"
    try:
        found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        model_type, tied = found["model_type"], found.get("tie_word_embeddings", True)
        shape = BaseShape(
            layers=found["n_layer"],
            width=found["n_embd"],
            heads=found["n_head"],
            context=found["n_positions"],
            vocab_size=found["vocab_size"],
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"base must have a config.json of a GPT-2, got {str(file)!r}, which is damaged or of "
            f"another architecture: {type(error).__name__}: {error}"
        ) from error
    if model_type != "gpt2" or not tied:
        raise ValueError(
            f"base must be a GPT-2 with a tied head, got {str(file)!r} with "
            f"model_type={model_type!r} and tie_word_embeddings={tied}"
        )
    return shape


def _places(config: BaseModelConfig) -> list[Path]:
    """Folders that are searched, the first that is complete wins."""
    if config.kind == "stand_in":
        return [_SHIPPED / config.name, stand_in_cache(config.name)]
    if config.kind == "directory":
        assert config.path is not None  # the configuration has seen to it
        return [Path(config.path)]
    from huggingface_hub import try_to_load_from_cache  # noqa: PLC0415  (only a hub base needs it)

    found = try_to_load_from_cache(config.name, "config.json")
    return [Path(found).parent] if isinstance(found, str) else []


def _absent(folder: Path) -> str | None:
    """The first file that is missing from a folder, if any."""
    if not (folder / "config.json").is_file():
        return "config.json"
    index = folder / "model.safetensors.index.json"
    if not (folder / "model.safetensors").is_file() and not index.is_file():
        return "model.safetensors"
    return None


def _found(config: BaseModelConfig) -> Path:
    folder = base_folder(config)
    if folder is None:
        raise FileNotFoundError(missing_base(config))
    return folder


@cache
def _sha256(file: Path, _changed: int, _size: int) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
