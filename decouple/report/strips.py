"""Where things lie on the strips beside a claim: its estimate, interval and seeds, and the band.

All places are percentages of a strip's width, so that strips stretch with the page.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from decouple.claim.figures import Figure
from decouple.claim.record import Record
from decouple.report.numbers import finite, number, ticks

EDGE = 2.0
"""Percent left free on either side."""


@dataclass(frozen=True, slots=True)
class Strip:
    """One row: everything in percent of the width; None where there is nothing."""

    band: tuple[float, float]
    "from, width"
    edges: tuple[float, ...]
    "ends of the band that are numbers"
    estimate: float | None
    interval: tuple[float, float] | None
    "from, width"
    seeds: tuple[float, ...]
    published: float | None = None
    "the figure that the document's prose prints"


@dataclass(frozen=True, slots=True)
class Arm:
    """A claim's own arms or a control, with its strip."""

    name: str
    verdict: str
    estimate: float | None
    interval: tuple[float, float] | None
    values: Mapping[str, float]
    sentence: str
    why: str
    strip: Strip | None
    own: bool


@dataclass(frozen=True, slots=True)
class Plot:
    """A claim's arms and controls on one axis in the units of the judged number."""

    arms: tuple[Arm, ...]
    ticks: tuple[tuple[float, str], ...]
    "place in percent and label"


def forest(record: Record) -> Strip | None:
    """The record on a scale of its own, so that claims in all units fit one column.

    Zero is the edge of a one-sided band or the middle of a two-sided one, the unit is the size of
    the threshold or half the band's width, and u is drawn at u / (1 + |u|): near the edge lengths
    are kept, far from it they are squeezed, and nothing falls off.
    """
    estimate = finite(record.estimate)
    if estimate is None:
        return None
    ends = _ends(record.interval)
    low, high = finite(record.band["low"]), finite(record.band["high"])
    reach = max(
        abs(x - (low if low is not None else high or 0.0)) for x in (estimate, *(ends or ()))
    )
    if low is not None and high is not None:
        zero, unit = (low + high) / 2, (high - low) / 2 or abs(low) or reach or 1.0
    else:
        zero = (low if low is not None else high) or 0.0
        unit = abs(zero) or reach or 1.0

    def place(x: float) -> float:
        distance = x - zero
        return 50 + (50 - EDGE) * distance / (unit + abs(distance))

    strip = _strip(place, low, high, estimate, ends, _values(record.values))
    printed = _printed(record)
    return replace(strip, published=None if printed is None else place(printed))


def plot(record: Record) -> Plot | None:
    """The claim's seeds, interval and band, and those of its controls under it."""
    own = _numbers(record.estimate, record.interval, record.values)
    controls = [
        _numbers(each.get("estimate"), each.get("interval"), each.get("values") or {})
        for each in record.controls
    ]
    low, high = finite(record.band["low"]), finite(record.band["high"])
    marks = [x for numbers in (own, *controls) for x in _all(*numbers)]
    if not marks:
        return None
    printed = _printed(record)
    marks += [x for x in (low, high, printed) if x is not None]
    least, most = min(marks), max(marks)
    room = 0.05 * (most - least) or abs(most) * 0.1 or 1.0
    least, most = least - room, most + room

    def place(x: float) -> float:
        return EDGE + (100 - 2 * EDGE) * (x - least) / (most - least)

    arms = [
        _arm(place, low, high, own, name=" | ".join(record.arms), verdict=record.verdict, own=True)
    ]
    if arms[0].strip is not None and printed is not None:
        arms[0] = replace(arms[0], strip=replace(arms[0].strip, published=place(printed)))
    for each, numbers in zip(record.controls, controls, strict=True):
        separation = each.get("separation")
        sentence = each["sentence"] if numbers[0] is None else ""
        if separation is not None:
            sentence = f"{sentence} difference from it: {separation['sentence']}".strip()
        arms.append(
            _arm(
                place,
                low,
                high,
                numbers,
                name=each["arms"],
                verdict=each["verdict"],
                sentence=sentence,
                why=each["why"],
            )
        )
    marked = ticks(least, most) or [least]
    if any(len(number(float(tick))) > 6 for tick in marked):  # long labels need their room
        marked = ticks(least, most, about=3) or [least]
    return Plot(tuple(arms), tuple((place(tick), number(float(tick))) for tick in marked))


_Numbers = tuple[float | None, tuple[float, float] | None, Mapping[str, float]]


def _numbers(estimate: Any, interval: Any, values: Mapping[str, Any]) -> _Numbers:
    plain = {seed: finite(value) for seed, value in values.items()}
    return finite(estimate), _ends(interval), {s: v for s, v in plain.items() if v is not None}


def _arm(
    place: Any,
    low: float | None,
    high: float | None,
    numbers: _Numbers,
    *,
    name: str,
    verdict: str,
    sentence: str = "",
    why: str = "",
    own: bool = False,
) -> Arm:
    estimate, ends, values = numbers
    strip = None
    if estimate is not None or values:
        strip = _strip(place, low, high, estimate, ends, values.values())
    return Arm(name, verdict, estimate, ends, values, sentence, why, strip, own)


def _strip(
    place: Any,
    low: float | None,
    high: float | None,
    estimate: float | None,
    ends: tuple[float, float] | None,
    values: Iterable[float],
) -> Strip:
    left = 0.0 if low is None else place(low)
    right = 100.0 if high is None else place(high)
    return Strip(
        band=(left, right - left),
        edges=tuple(place(x) for x in (low, high) if x is not None),
        estimate=None if estimate is None else place(estimate),
        interval=None if ends is None else (place(ends[0]), place(ends[1]) - place(ends[0])),
        seeds=tuple(place(value) for value in values),
    )


def _printed(record: Record) -> float | None:
    """The middle of what the published figure's rounding leaves."""
    text = record.source["figure"]
    return None if text is None else Figure.printed(text).middle


def _ends(interval: Any) -> tuple[float, float] | None:
    if interval is None:
        return None
    low, high = map(finite, interval)
    return None if low is None or high is None else (low, high)


def _values(values: Mapping[str, float]) -> list[float]:
    return [value for value in values.values() if math.isfinite(value)]


def _all(
    estimate: float | None, ends: tuple[float, float] | None, values: Mapping[str, float]
) -> list[float]:
    return [*([] if estimate is None else [estimate]), *(ends or ()), *values.values()]
