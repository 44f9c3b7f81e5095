"""Texts, tokenizers and the cutting of token sequences. No torch, no models."""

from decouple.data.chunks import Chunks, held_out_windows, sample_windows, split_chunks
from decouple.data.corpus import CorpusConfig, corpus_fingerprint, corpus_label, load_corpus
from decouple.data.story_world import generate_story_world
from decouple.data.tokenizers import (
    Tokenizer,
    TokenizerConfig,
    build_tokenizer,
    missing_tokenizer,
    tokenizer_fingerprint,
)

__all__ = [
    "Chunks",
    "CorpusConfig",
    "Tokenizer",
    "TokenizerConfig",
    "build_tokenizer",
    "corpus_fingerprint",
    "corpus_label",
    "generate_story_world",
    "held_out_windows",
    "load_corpus",
    "missing_tokenizer",
    "sample_windows",
    "split_chunks",
    "tokenizer_fingerprint",
]
