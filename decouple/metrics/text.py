"""How well a generated text holds together: repetition, broken characters, words, fluency.

The document judges its continuations by eye. Here coherence is a product of four factors between 0
and 1, each of which a different way of failing brings down: loops, broken UTF-8, text that the base
model finds unlikely, and words that are none. Alternatives would be human grades, a larger model as
judge, or the base model's likelihood alone, which loops score highly on.
"""

import codecs
import math
import re
from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

STEEPNESS = 2.0
"""Fluency lost for each reference's worth of excess loss, as an exponent [ours]."""

MAX_PERIOD = 4
"""Tokens in the longest phrase whose repetition counts as a loop: a word in a few pieces [ours]."""

_BROKEN = "\ufffd"
"""What a byte that makes no character is decoded to."""

_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")


class Coherence(NamedTuple):
    """The factors of a text's coherence, each between 0 and 1."""

    distinct_4: float
    """Share of different ones among its 4-grams of tokens."""

    valid_utf8: float
    """Share of its bytes that belong to a character."""

    fluency: float
    """exp(−2·excess), the excess of its loss under the base model over real text's, relative."""

    lexicon_share: float
    """Share of its words that the corpus has too."""

    @property
    def product(self) -> float:
        """The composite; the share of valid bytes is squared, as one bad byte spoils a word."""
        return self.distinct_4 * self.valid_utf8**2 * self.fluency * self.lexicon_share


def coherence(
    ids: Sequence[int], data: bytes, *, loss: float, reference: float, lexicon: Collection[str]
) -> Coherence:
    """The coherence of one continuation, factor by factor; the composite is `.product`.

    Args:
        ids: Its token ids, four or more.
        data: The same tokens as bytes.
        loss: Mean negative log-probability of its tokens under the base model after the prompt, in
            nats.
        reference: The same of real text.
        lexicon: Known words, from `lexicon`.

    Raises:
        ValueError: If there are fewer than four tokens, or a loss is out of range.
    """
    text = data.decode("utf-8", errors="replace")
    return Coherence(
        distinct_4=distinct_n(ids, 4),
        valid_utf8=valid_utf8_share(data),
        fluency=fluency(loss, reference),
        lexicon_share=lexicon_share(text, lexicon),
    )


def distinct_n(ids: Sequence[int], n: int) -> float:
    """Share of different ones among the n-grams of a sequence; 1 if none occurs twice.

    Raises:
        ValueError: If n is below 1, or the sequence has fewer than n ids.
    """
    if not 1 <= n <= len(ids):
        raise ValueError(f"n must lie in [1, {len(ids)}], the number of ids, got {n}")
    grams = [tuple(ids[i : i + n]) for i in range(len(ids) - n + 1)]
    return len(set(grams)) / len(grams)


def longest_run(ids: Sequence[int]) -> int:
    """Length of the longest stretch of one and the same id; 0 of an empty sequence."""
    longest = run = 0
    for i, token in enumerate(ids):
        run = run + 1 if i and token == ids[i - 1] else 1
        longest = max(longest, run)
    return longest


def word_loop_share(tokens: Sequence[bytes]) -> float:
    """How much of a continuation says one word over and over.

    max over p of mean_t [token_t = token_(t−p), and the p tokens up to t spell a word]: characters,
    with a letter among them, so that rows of question marks or of bytes that make no character,
    another way of failing, do not count. The period p runs from 1 to 4 tokens, because a word may
    have several. Text that repeats one word without end has a share near 1 however it began,
    ordinary text a few hundredths; a phrase of more than four tokens is no loop. 0 of fewer than
    two tokens.

    Args:
        tokens: Bytes of each token in order.
    """
    shares = [
        sum(
            tokens[t] == tokens[t - period] and _is_word(tokens[t - period + 1 : t + 1])
            for t in range(period, len(tokens))
        )
        / (len(tokens) - period)
        for period in range(1, min(MAX_PERIOD, len(tokens) - 1) + 1)
    ]
    return max(shares, default=0.0)


def _is_word(tokens: Sequence[bytes]) -> bool:
    """Whether tokens that go round spell characters with a letter among them.

    Which of them comes first is open, since a loop has no beginning: one that spells is enough.
    """
    turns = (b"".join([*tokens[first:], *tokens[:first]]) for first in range(len(tokens)))
    texts = (data.decode("utf-8", errors="replace") for data in turns)
    return any(_BROKEN not in text and any(map(str.isalpha, text)) for text in texts)


def valid_utf8_share(data: bytes) -> float:
    """Share of the bytes that belong to a valid character; 1 if there are none.

    A character that the end of the text cuts short is left out of the count: it may have been about
    to come out right.
    """
    decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
    text = decoder.decode(data)
    cut_short, _ = decoder.getstate()
    broken = sum(0xDC80 <= ord(character) <= 0xDCFF for character in text)  # one for each byte
    counted = len(data) - len(cut_short)
    return 1 - broken / counted if counted else 1.0


def lexicon(text: str) -> frozenset[str]:
    """The words of a text in lower case, and its pieces between spaces that hold no word."""
    return frozenset(_units(text))


def lexicon_share(text: str, lexicon: Collection[str]) -> float:
    """Share of the words of a text, and of its pieces without a word, that a lexicon holds.

    Pieces without a word are counted so that a text of "????" has a share of 0, and a dash between
    spaces does not cost anything if the corpus has such dashes. An empty text has a share of 0.
    """
    units = _units(text)
    return sum(unit in lexicon for unit in units) / len(units) if units else 0.0


def fluency(loss: float, reference: float) -> float:
    """How natural a loss is beside that of real text, exp(−2·max(0, loss − reference)/reference).

    Text that is likelier than real text is not unnatural on that account: loops have a factor of
    their own.

    Args:
        loss: Mean negative log-probability of the text in nats, under the base model.
        reference: The same of real text.

    Returns:
        Between 0 and 1.

    Raises:
        ValueError: If the loss is negative or NaN, or the reference not positive.
    """
    if not loss >= 0:
        raise ValueError(f"loss must be >= 0, got {loss}")
    if not reference > 0:
        raise ValueError(f"reference must be > 0, got {reference}")
    return math.exp(-STEEPNESS * max(0.0, loss - reference) / reference)


def lead_positions(token_bytes: Sequence[bytes], ids: Sequence[int]) -> npt.NDArray[np.int64]:
    """Positions after which a character is incomplete and the next token goes on with it.

    Byte-level tokenizers may split a character, such as a curly quote, into a token with its
    leading bytes and one that begins with a continuation byte (10xxxxxx). The probability of the
    token at p + 1, read at each position p, is that of the right continuation.

    Args:
        token_bytes: Bytes of each token of the vocabulary.
        ids: (T,) token ids.

    Returns:
        Increasing positions below T − 1.
    """
    positions = []
    missing = 0  # continuation bytes that the character begun last still needs
    for i, token in enumerate(ids):
        data = token_bytes[token]
        if missing and data and _is_continuation(data[0]):
            positions.append(i - 1)
        for byte in data:
            missing = max(0, missing - 1) if _is_continuation(byte) else _continuations(byte)
    return np.asarray(positions, dtype=np.int64)


def _is_continuation(byte: int) -> bool:
    return byte & 0b1100_0000 == 0b1000_0000


def _continuations(lead: int) -> int:
    """Continuation bytes that a first byte announces."""
    return (lead >= 0b1100_0000) + (lead >= 0b1110_0000) + (lead >= 0b1111_0000)


def _units(text: str) -> list[str]:
    pieces = text.lower().split()
    return [unit for piece in pieces for unit in _WORD.findall(piece) or [piece]]
