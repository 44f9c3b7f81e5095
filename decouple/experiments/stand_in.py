"""Stand-ins for the released GPT-2: how each is made, from text to a folder of weights.

A stand-in is a GPT-2 that the project pretrains on its own generated text, for machines that do not
have the released weights. The text is another story world than the one that experiments train on.
Imports no torch until a stand-in is made.
"""

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from decouple.data import (
    CorpusConfig,
    TokenizerConfig,
    build_tokenizer,
    corpus_fingerprint,
    held_out_windows,
    load_corpus,
    missing_tokenizer,
    split_chunks,
)
from decouple.data.token_files import write_tokens
from decouple.data.tokenizers import trained_tokens
from decouple.experiments.base_model import TOKENS
from decouple.models.gpt2_config import BaseShape, parameter_count, stand_in_cache
from decouple.training.pretraining_config import PretrainingConfig

if TYPE_CHECKING:
    from transformers import GPT2LMHeadModel

PRETRAINING_STORY = 1
"""Seed of the story world that stand-ins are pretrained on; experiments train on that of seed 0."""

__all__ = ["STAND_INS", "StandInConfig", "make_stand_in", "stand_in_cache"]

LIBRARIES = ("numpy", "tiktoken", "tokenizers", "torch", "transformers")

_SPARE = 64
"""Tokens trained beyond those wanted, to make up for the ones that are left out."""

CHECKPOINT, MANIFEST = "pretraining.pt", "manifest.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class StandInConfig:
    """A stand-in from text to weights."""

    corpus: CorpusConfig
    """Text that it is pretrained on."""

    tokenizer: TokenizerConfig
    """A BPE trained on that text, which is kept beside the weights, or GPT-2's. As in GPT-2's, no
    token of the trained one holds the whole of a curly quote or a dash; see `split_tokens`."""

    training: PretrainingConfig = field(default_factory=PretrainingConfig)
    """Shape and training."""

    held_out_fraction: float = 0.05
    """Part of the text, at its end, that is not trained on."""

    held_out_windows: int = 256
    """Held-out windows at which the finished model is measured."""


def smoke() -> StandInConfig:
    """Four layers of width 32 on a text of 300,000 words: a minute on one CPU core."""
    return StandInConfig(
        corpus=CorpusConfig(words=300_000, seed=PRETRAINING_STORY),
        tokenizer=TokenizerConfig(kind="bpe", vocab_size=512),
        training=PretrainingConfig(
            shape=BaseShape(layers=4, width=32, heads=4, context=64, vocab_size=512),
            block=64,
            steps=4000,
            # Of 1e-3, 3e-3 and 6e-3 the one with the lowest held-out loss after 600 steps.
            learning_rate=6e-3,
        ),
    )


def gpt2_small() -> StandInConfig:
    """The shape and vocabulary of the released 124 M model, for a GPU: some 100 M tokens.

    The text uses few of the 50,257 tokens. The other rows of the embedding hardly move from where
    they were drawn, except that the softmax pushes them away from every state, and positions from
    256 on are never trained: experiments have blocks of 256.
    """
    return StandInConfig(
        corpus=CorpusConfig(words=12_000_000, seed=PRETRAINING_STORY),
        tokenizer=TokenizerConfig(kind="gpt2"),
        training=PretrainingConfig(
            batch=128,
            warmup=200,
            weight_decay=0.1,
            device="cuda",
            bfloat16=True,
            compiled=True,
        ),
        held_out_fraction=0.01,
    )


STAND_INS: dict[str, Callable[[], StandInConfig]] = {"smoke": smoke, "gpt2-small": gpt2_small}
"""Stand-ins by name."""


def make_stand_in(
    name: str,
    config: StandInConfig,
    into: Path,
    *,
    code: str,
    force: bool = False,
    progress: Callable[[int, int, str], None] | None = None,
) -> dict[str, Any]:
    """Pretrain a stand-in and write its folder, whole or not at all.

    Unfinished work lies beside the folder in `<name>.draft` and is taken up by the next call.

    Args:
        name: Recorded in the manifest.
        config: Text, tokenizer and training.
        into: Folder to write: config.json, model.safetensors, manifest.json, and tokens.txt where
            the tokenizer is its own.
        code: Fingerprint of the code that makes it, recorded in the manifest.
        force: Replace a folder that is there.
        progress: Called with steps done, steps in all and a note.

    Returns:
        The manifest.

    Raises:
        FileExistsError: There is such a folder, and it is not to be replaced.
        FileNotFoundError: GPT-2's vocabulary is needed and not on this machine.
        ValueError: The text is too short for the vocabulary or the windows.
        RuntimeError: The configured device is not there, or training diverged.
    """
    if into.exists() and not force:
        raise FileExistsError(f"into must not exist, got {str(into)!r}: replace it with force")
    if (said := missing_tokenizer(config.tokenizer)) is not None:
        raise FileNotFoundError(said)
    from decouple.training.pretraining import check_device, pretrain  # noqa: PLC0415  (loads torch)

    check_device(config.training)
    draft = into.with_name(f"{into.name}.draft")
    draft.mkdir(parents=True, exist_ok=True)
    train, held_out = _windows(config, draft)
    result = pretrain(
        config.training, train, held_out, checkpoint=draft / CHECKPOINT, progress=progress
    )
    if result.status != "finished":
        raise RuntimeError(f"stand-in {name!r} {result.status}")
    (draft / CHECKPOINT).unlink(missing_ok=True)
    (draft / MANIFEST).unlink(missing_ok=True)
    _write_model(draft, result.model)
    manifest = {
        "name": name,
        "config": _plain(config),
        "corpus": corpus_fingerprint(config.corpus),
        "code": code,
        "libraries": {library: metadata.version(library) for library in LIBRARIES},
        "parameters": parameter_count(config.training.shape),
        "held_out_loss": round(result.held_out_loss, 6),
        "unigram_cross_entropy": round(_unigram(train, held_out[:, 1:], config), 6),
        "training_losses": [round(loss, 4) for loss in result.losses],
        "sha256": {file.name: _sha256(file) for file in sorted(draft.iterdir())},
    }
    text = json.dumps(manifest, indent=1, sort_keys=True, ensure_ascii=False)
    (draft / MANIFEST).write_text(text + "\n", encoding="utf-8")
    _put_in_place(draft, into)
    return manifest


def split_tokens(text: str, vocab_size: int) -> list[bytes]:
    """The tokens of a BPE trained on a text, without those that hold a whole non-ASCII character.

    GPT-2's vocabulary writes a curly quote or a dash as the token of its first two bytes and that
    of its last, and what a model makes of such pairs is one of the questions asked of it
    [long_run]. A BPE trained on a text full of them would merge them whole.

    Returns:
        At most `vocab_size` tokens in the order of their ids.
    """
    tokens = trained_tokens(text, vocab_size + _SPARE)
    return [token for token in tokens if not _holds_a_character(token)][:vocab_size]


def _holds_a_character(token: bytes) -> bool:
    """Whether a token holds a whole character beyond ASCII."""
    return any(ord(letter) > 127 for letter in token.decode("utf-8", errors="ignore"))


def _windows(config: StandInConfig, draft: Path) -> tuple[np.ndarray, np.ndarray]:
    """Training tokens (N,) and held-out windows (n, T + 1); keeps a trained tokenizer."""
    text, chosen = load_corpus(config.corpus), config.tokenizer
    if chosen.kind == "bpe":
        write_tokens(draft / TOKENS, split_tokens(text, chosen.vocab_size))
        chosen = TokenizerConfig(kind="tokens", path=str(draft / TOKENS))
    tokenizer = build_tokenizer(chosen, text)
    if tokenizer.vocab_size != config.training.shape.vocab_size:
        raise ValueError(
            f"shape.vocab_size must be that of the tokenizer, {tokenizer.vocab_size}, "
            f"got {config.training.shape.vocab_size}"
        )
    block = config.training.block
    chunks = split_chunks(
        tokenizer.encode(text),
        n_chunks=1,
        held_out_fraction=config.held_out_fraction,
        minimum=block + 1,
    )
    windows = held_out_windows(chunks.held_out, n_windows=config.held_out_windows, length=block)
    return chunks.train[0], windows


def _unigram(tokens: np.ndarray, targets: np.ndarray, config: StandInConfig) -> float:
    """Cross-entropy of targets under the frequencies of a text, each token counted once more."""
    counts = np.bincount(tokens, minlength=config.training.shape.vocab_size) + 1
    return float(-np.log(counts / counts.sum())[targets].mean())


def _write_model(folder: Path, model: "GPT2LMHeadModel") -> None:
    from safetensors.torch import save_file  # noqa: PLC0415  (loads torch)

    model.config.save_pretrained(folder)
    weights = {name: value.detach().cpu() for name, value in model.named_parameters()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def _plain(config: StandInConfig) -> dict[str, Any]:
    """The configuration as JSON types, without the folder of GPT-2's vocabulary on this machine."""
    if config.tokenizer.path is not None:
        config = replace(config, tokenizer=replace(config.tokenizer, path=None))
    return asdict(config)


def _put_in_place(draft: Path, into: Path) -> None:
    if into.exists():
        old = into.with_name(f"{into.name}.old")
        into.rename(old)
        draft.rename(into)
        shutil.rmtree(old)
    else:
        draft.rename(into)


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
