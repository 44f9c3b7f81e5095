"""What the house asks of every experiment, for those that start from a GPT-2 and read a text.

`decouple.claim` calls these as functions of the experiment's own module. Imports no torch.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, TypeVar

from decouple.experiments.base_model import (
    describe_inputs,
    inputs_fingerprint,
    missing_inputs,
    on_base,
)

if TYPE_CHECKING:
    from dataclasses import Field

    from decouple.data import CorpusConfig, TokenizerConfig
    from decouple.models.gpt2_config import BaseModelConfig

LIBRARIES = ("torch", "transformers", "numpy", "tokenizers", "tiktoken")
"""Distributions whose versions can change a result."""


class OnGPT2(Protocol):
    """What a configuration says of its inputs and of how its seeds are run."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    @property
    def base(self) -> BaseModelConfig:
        """The model that a run starts from."""

    @property
    def corpus(self) -> CorpusConfig:
        """The text that it is trained on."""

    @property
    def tokenizer(self) -> TokenizerConfig:
        """Where GPT-2's vocabulary lies."""

    @property
    def group(self) -> int:
        """Seeds trained together."""

    @property
    def device(self) -> Literal["cpu", "cuda"]:
        """Where the model trains."""


C = TypeVar("C", bound=OnGPT2)


def group_size(config: OnGPT2) -> int:
    """Number of seeds trained together."""
    return config.group


def device(config: OnGPT2) -> Literal["cpu", "cuda"]:
    """Device the run needs."""
    return config.device


def with_inputs(config: C, *, corpus: str | None, tokenizer: str | None, base: str | None) -> C:
    """Replace the text, the place of GPT-2's vocabulary or the base by the user's.

    Args:
        config: Configuration to change.
        corpus: UTF-8 text file; None keeps the text.
        tokenizer: Folder with the files of GPT-2's vocabulary; None keeps the place.
        base: `stand-in:NAME`, a directory or a hub id; None keeps the base.

    Raises:
        ValueError: If `base` is none of these.
    """
    text = config.corpus if corpus is None else replace(config.corpus, path=corpus)
    model, tokens = on_base(config.base, config.tokenizer, given=base, folder=tokenizer)
    return replace(config, corpus=text, base=model, tokenizer=tokens)


def missing(config: OnGPT2) -> str | None:
    """What a run needs that is not on this machine, and how to get it; None if all is here."""
    return missing_inputs(config.base, config.tokenizer)


def data_fingerprint(config: OnGPT2) -> str:
    """Digest of the text, the tokenizer and the weights a run reads."""
    return inputs_fingerprint(config.corpus, config.tokenizer, config.base)


def describe(config: OnGPT2) -> dict[str, str]:
    """What stands in for the document's data, in words: base model, corpus and tokenizer."""
    return describe_inputs(config.corpus, config.tokenizer, config.base)
