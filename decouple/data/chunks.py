"""Cutting a sequence of tokens: chunks to train on one after another, and a held-out tail."""

from dataclasses import dataclass
from itertools import count

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Chunks:
    """A token sequence that was cut into training chunks and a held-out tail."""

    train: tuple[NDArray[np.integer], ...]
    """Contiguous chunks in the order of the text, of lengths that differ by at most one."""

    held_out: NDArray[np.integer]
    """The end of the text, of which no training chunk holds a token."""


def split_chunks(
    tokens: NDArray[np.integer],
    *,
    n_chunks: int,
    held_out_fraction: float = 0.1,
    minimum: int,
) -> Chunks:
    """Cuts off the end of a text as held-out data and divides the rest into contiguous chunks.

    Args:
        tokens: Token ids in the order of the text, shape (N,).
        n_chunks: Number of training chunks, at least 1.
        held_out_fraction: Share of the tokens that is held out, rounded down; between 0 and 1.
        minimum: Least number of tokens in every chunk and in the tail, at least 1.

    Returns:
        Views of `tokens`; chunks and tail in order make up the whole of it.

    Raises:
        ValueError: An argument is out of range, or there are too few tokens; the message says
            how many are needed.
    """
    _check_tokens("tokens", tokens)
    if n_chunks < 1:
        raise ValueError(f"n_chunks must be at least 1, got {n_chunks}")
    if not 0 < held_out_fraction < 1:
        raise ValueError(f"held_out_fraction must be between 0 and 1, got {held_out_fraction}")
    if minimum < 1:
        raise ValueError(f"minimum must be at least 1, got {minimum}")

    def fits(n_tokens: int) -> bool:
        n_held_out = int(n_tokens * held_out_fraction)
        return n_held_out >= minimum and (n_tokens - n_held_out) // n_chunks >= minimum

    if not fits(len(tokens)):
        # The tail is rounded down, so N (1 - fraction) > n_chunks minimum - 1 is what the chunks
        # need; the search begins a little below because of floating-point rounding.
        for_chunks = (n_chunks * minimum - 1) / (1 - held_out_fraction)
        shortest = int(max(minimum / held_out_fraction, for_chunks))
        needed = next(n_tokens for n_tokens in count(max(0, shortest - 2)) if fits(n_tokens))
        raise ValueError(
            f"tokens must hold at least {needed} tokens for n_chunks={n_chunks} chunks and a "
            f"held-out tail of {held_out_fraction:g} with minimum={minimum} tokens each, "
            f"got {len(tokens)}"
        )
    n_train = len(tokens) - int(len(tokens) * held_out_fraction)
    return Chunks(tuple(np.array_split(tokens[:n_train], n_chunks)), tokens[n_train:])


def held_out_windows(
    held_out: NDArray[np.integer], *, n_windows: int, length: int
) -> NDArray[np.integer]:
    """Fixed windows, evenly spaced from the first to the last possible offset.

    Args:
        held_out: Token ids, shape (N,).
        n_windows: Number of windows, at least 1; they overlap where N is short.
        length: Positions that are predicted from in each window, at least 1.

    Returns:
        Shape (n_windows, length + 1): inputs are `[:, :-1]` and their targets `[:, 1:]`.

    Raises:
        ValueError: An argument is out of range, or no window fits.
    """
    last = _last_offset("held_out", held_out, n_windows=n_windows, length=length)
    # Integer arithmetic: the same offsets on every machine.
    offsets = np.arange(n_windows) * last // max(n_windows - 1, 1)  # (n_windows,)
    return _windows(held_out, offsets, length)


def sample_windows(
    tokens: NDArray[np.integer], *, n_windows: int, length: int, generator: np.random.Generator
) -> NDArray[np.integer]:
    """Windows at offsets drawn uniformly and independently.

    Args:
        tokens: Token ids, shape (N,).
        n_windows: Number of windows, at least 1.
        length: Positions that are predicted from in each window, at least 1.
        generator: The source of randomness.

    Returns:
        Shape (n_windows, length + 1): inputs are `[:, :-1]` and their targets `[:, 1:]`.

    Raises:
        ValueError: An argument is out of range, or no window fits.
    """
    last = _last_offset("tokens", tokens, n_windows=n_windows, length=length)
    return _windows(tokens, generator.integers(last + 1, size=n_windows), length)


def _windows(
    tokens: NDArray[np.integer], offsets: NDArray[np.integer], length: int
) -> NDArray[np.integer]:
    windows: NDArray[np.integer] = tokens[offsets[:, None] + np.arange(length + 1)]
    return windows  # (n_windows, length + 1)


def _last_offset(name: str, tokens: NDArray[np.integer], *, n_windows: int, length: int) -> int:
    _check_tokens(name, tokens)
    if n_windows < 1:
        raise ValueError(f"n_windows must be at least 1, got {n_windows}")
    if length < 1:
        raise ValueError(f"length must be at least 1, got {length}")
    if len(tokens) < length + 1:
        raise ValueError(
            f"{name} must hold at least length + 1 = {length + 1} tokens, got {len(tokens)}"
        )
    return len(tokens) - length - 1


def _check_tokens(name: str, tokens: NDArray[np.integer]) -> None:
    if tokens.ndim != 1 or not np.issubdtype(tokens.dtype, np.integer):
        raise ValueError(
            f"{name} must be a one-dimensional array of integers, "
            f"got shape {tokens.shape} of {tokens.dtype}"
        )
