"""Numbers as reports print them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

MISSING = "–"


def number(value: Any) -> str:
    """Four digits of a float, a dash for nothing, other values as they are."""
    if value is None:
        return MISSING
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def interval(ends: Sequence[Any] | None) -> str:
    """The ends of an interval in brackets, or nothing."""
    return "" if ends is None else f"[{number(ends[0])}, {number(ends[1])}]"


def span(seeds: Sequence[int]) -> str:
    """Seeds in a row as first–last, else all of them."""
    if len(seeds) > 2 and list(seeds) == list(range(seeds[0], seeds[-1] + 1)):
        return f"{seeds[0]}–{seeds[-1]}"
    return ", ".join(map(str, seeds))


def finite(value: Any) -> float | None:
    """The value as a finite float, or None: a record writes NaN and infinity as text."""
    try:
        plain = float(value)
    except (TypeError, ValueError):
        return None
    return plain if math.isfinite(plain) else None


def ticks(low: float, high: float, *, about: int = 6) -> list[float]:
    """Round numbers from `low` to `high`, about as many as asked for, a step of 1, 2 or 5 apart."""
    raw = (high - low) / about
    if not (math.isfinite(raw) and raw > 0):
        return [low]
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [float(f"{i * step:.12g}") + 0.0 for i in range(first, last + 1)]
