"""What experiments on a GPT-2 base share: the base's own tokenizer, identity, words, prompts.

Imports no torch.
"""

import hashlib
from dataclasses import replace

from decouple.data import (
    CorpusConfig,
    TokenizerConfig,
    corpus_fingerprint,
    corpus_label,
    missing_tokenizer,
    tokenizer_fingerprint,
)
from decouple.models.gpt2_config import (
    BaseModelConfig,
    base_fingerprint,
    base_folder,
    base_label,
    base_shape,
    missing_base,
    parse_base,
)

TOKENS = "tokens.txt"
"""Name of the token list beside the weights of a base that does not speak GPT-2's vocabulary."""

GPT2_VOCABULARY = 50_257

PROMPTS = (
    "The lamp had gone out, and nobody in the kitchen said",
    "“You kept the key,” she whispered. “Then why",
    "On the third morning the river stood higher than",
    "def total(prices):\n    result = 0\n    for price in",
    "Nine things were on the list; the first of them was",
    "He closed the ledger—slowly, as one closes a door—and",
)
"""Our own prompts: narration, dialogue in curly quotes, code, a list, em dashes."""


def tokenizer_for(base: BaseModelConfig, tokenizer: TokenizerConfig) -> TokenizerConfig:
    """The tokenizer of a base: its own token list where it has one, else GPT-2's vocabulary.

    A model only knows the tokens that it was pretrained on, so there is no choice; a wrong one
    would still run and mean nothing.

    Args:
        base: The base model. One that is not on this machine cannot show a token list; then the
            answer is GPT-2's vocabulary, and `missing_inputs` says what is missing.
        tokenizer: Where GPT-2's vocabulary lies, if it is of kind `gpt2`.

    Returns:
        Of kind `tokens` or `gpt2`.

    Raises:
        ValueError: A directory without token list has a vocabulary of another size than GPT-2's.
    """
    folder = base_folder(base)
    if folder is not None and (folder / TOKENS).is_file():
        return TokenizerConfig(kind="tokens", path=str(folder / TOKENS))
    if folder is not None and (size := base_shape(base).vocab_size) != GPT2_VOCABULARY:
        raise ValueError(
            f"base must come with a {TOKENS} or with GPT-2's {GPT2_VOCABULARY:,} tokens, "
            f"got {base_label(base)} with {size:,} tokens"
        )
    return tokenizer if tokenizer.kind == "gpt2" else TokenizerConfig(kind="gpt2")


def on_base(
    base: BaseModelConfig, tokenizer: TokenizerConfig, *, given: str | None, folder: str | None
) -> tuple[BaseModelConfig, TokenizerConfig]:
    """Both configurations as a user changes them.

    Args:
        base: Base as configured.
        tokenizer: Tokenizer as configured.
        given: Base as people write it, see `parse_base`; None keeps it.
        folder: Folder with the files of GPT-2's vocabulary; None keeps the place.
    """
    if folder is not None:
        tokenizer = replace(tokenizer, kind="gpt2", path=folder)
    return (base if given is None else parse_base(given)), tokenizer


def missing_inputs(base: BaseModelConfig, tokenizer: TokenizerConfig) -> str | None:
    """None if weights and tokenizer are on this machine, else a sentence on how to get them."""
    return missing_base(base) or missing_tokenizer(tokenizer_for(base, tokenizer))


def inputs_fingerprint(
    corpus: CorpusConfig, tokenizer: TokenizerConfig, base: BaseModelConfig
) -> str:
    """Digest of the text, of the tokenizer and of the weights a run starts from.

    Raises:
        FileNotFoundError: The base or the text is not on this machine.
    """
    parts = (
        corpus_fingerprint(corpus),
        tokenizer_fingerprint(tokenizer_for(base, tokenizer)),
        base_fingerprint(base),
    )
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def describe_inputs(
    corpus: CorpusConfig, tokenizer: TokenizerConfig, base: BaseModelConfig
) -> dict[str, str]:
    """Base model, corpus and tokenizer in words: keys `base_model`, `corpus`, `tokenizer`."""
    chosen = tokenizer_for(base, tokenizer)
    words = "GPT-2 BPE"
    if chosen.kind == "tokens":
        assert chosen.path is not None  # the configuration has seen to it
        size = base_shape(base).vocab_size
        words = f"byte-level BPE of {size} tokens, the base model's own"
    return {"base_model": base_label(base), "corpus": corpus_label(corpus), "tokenizer": words}
