"""Which of three kinds a training plateau is; plain numbers, without torch.

The document tells three kinds apart in words (section 0). Here each word is a threshold on a
number, and each kind a margin: the least distance by which the numbers are past the thresholds of
that kind, negative where one of them is not.

1. `invalid`: the fixed points are not, so the gate skips and the regulariser is at its limit.
2. `over_contracted`: fixed points tight, gradient faithful, gate open, and yet far from the loss of
   the standard decoder.
3. `mismatch`: the controller works against the estimator, either openly (its weight goes up and
   down without end) or unknowingly (it sees tight fixed points while the gradient is wrong).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import pairwise

KINDS = ("invalid", "over_contracted", "mismatch")

INVALID_RESIDUAL = 1e-2
"""Residual from which fixed points count as invalid [doc: section 0, type 1]."""

TINY_RESIDUAL = 1.5e-3
"""Residual up to which it is tiny: what the controller aims at [doc: section 0, res_target]."""

MANY_SKIPS = 0.5
"""Share of steps from which the gate is skipping rather than open [ours: most]."""

FEW_SKIPS = 0.1
"""Share of steps up to which it skips few [ours]."""

PINNED = 0.5
"""Share of steps at the ceiling from which the regulariser's weight is pinned [ours: most]."""

FAITHFUL_COSINE = 0.88
"""Cosine with the true gradient from which it is high: the lowest of the descent [doc: exp1]."""

UNFAITHFUL_COSINE = FAITHFUL_COSINE / 2
"""Cosine up to which the estimator is wrong: half of what is faithful is gone [ours]."""

FAR_FROM_DECODER = 0.355
"""Loss above the standard decoder's, in nats, from which it is far: half of the published 2.4037
against 1.6953 [doc: section 0]."""

FIGHT = 1.0
"""Movement of the regulariser's weight that is undone again, in units of its whole range in
logarithms, from which controller and task are at odds [ours]."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PlateauFeatures:
    """What a plateau is judged by; None is what is not known."""

    residual: float | None = None
    """Force residual ‖F‖ / ‖z‖ at the end of the free phase."""

    cosine: float | None = None
    """Cosine of the estimated gradient with the true one."""

    excess_loss: float | None = None
    """Held-out loss above that of the standard decoder, in nats."""

    skipped: float | None = None
    """Share of the steps whose task gradient the residual gate refused."""

    at_ceiling: float | None = None
    """Share of the steps with the regulariser's weight at its ceiling."""

    undone: float | None = None
    """Movement of that weight which was undone again; see `undone_movement`."""

    def __post_init__(self) -> None:
        """Refuse what is not a number."""
        for item in fields(self):
            value = getattr(self, item.name)
            if value is not None and not math.isfinite(value):
                raise ValueError(f"{item.name} must be finite or None, got {value}")
        if self.residual is not None and self.residual <= 0:
            raise ValueError(f"residual must be positive, got {self.residual}")


@dataclass(frozen=True, slots=True)
class PlateauKind:
    """The kind of a plateau, and how clearly."""

    label: str
    """One of `KINDS`; `none` if no kind fits; `unknown` if what is not known decides."""

    margins: dict[str, float]
    """Least distance past the thresholds of each kind: residuals in decades, all else in its own
    unit. Where something that decides is not known, an upper bound."""


def classify(features: PlateauFeatures) -> PlateauKind:
    """Tell which kind of plateau it is: the one with the largest margin that is not negative.

    A threshold that is just met counts as met. What is not known can only lower a margin, so a kind
    that fails without it fails, and one that might fit if it were known leaves the answer open.

    Args:
        features: The numbers to judge.
    """
    margins: dict[str, float] = {}
    certain: list[str] = []
    possible: list[str] = []
    for kind, ways in _distances(features).items():
        known = max((min(way) for way in map(_known, ways) if way is not None), default=-math.inf)
        bound = max(_bound(way) for way in ways)
        margins[kind] = known if known >= 0 else bound
        if known >= 0:
            certain.append(kind)
        elif bound >= 0:
            possible.append(kind)
    if possible:
        return PlateauKind("unknown", margins)
    return PlateauKind(max(certain, key=margins.__getitem__, default="none"), margins)


def undone_movement(weights: Sequence[float], *, floor: float, ceiling: float) -> float:
    """How much of the movement of a weight λ was undone again, in units of its range.

    `(Σ |Δ log λ| − |log λ_last − log λ_first|) / (log ceiling − log floor)`: 0 for any movement in
    one direction, 1 for a way up through half of the range and back.

    Args:
        weights: λ step by step, positive.
        floor: Smallest value it may take.
        ceiling: Largest, above the floor.

    Raises:
        ValueError: If there is no weight, one is not positive, or the range is empty.
    """
    if not weights or min(weights) <= 0:
        raise ValueError(f"weights must be positive, at least one, got {list(weights)[:5]}")
    if not 0 < floor < ceiling:
        raise ValueError(f"floor must be positive and below ceiling={ceiling}, got {floor}")
    logs = [math.log(weight) for weight in weights]
    way = sum(abs(after - before) for before, after in pairwise(logs))
    return (way - abs(logs[-1] - logs[0])) / math.log(ceiling / floor)


def _distances(features: PlateauFeatures) -> dict[str, list[list[float | None]]]:
    """Of each kind the ways to be it, and of each way the distances past its thresholds."""
    residual = None if features.residual is None else math.log10(features.residual)
    tiny = _below(residual, math.log10(TINY_RESIDUAL))
    invalid = [
        _above(residual, math.log10(INVALID_RESIDUAL)),
        _above(features.skipped, MANY_SKIPS),
        _above(features.at_ceiling, PINNED),
    ]
    over_contracted = [
        tiny,
        _above(features.cosine, FAITHFUL_COSINE),
        _below(features.skipped, FEW_SKIPS),
        _above(features.excess_loss, FAR_FROM_DECODER),
    ]
    openly = [_above(features.undone, FIGHT)]
    unknowingly = [tiny, _below(features.cosine, UNFAITHFUL_COSINE)]
    return {
        "invalid": [invalid],
        "over_contracted": [over_contracted],
        "mismatch": [openly, unknowingly],
    }


def _above(value: float | None, threshold: float) -> float | None:
    return None if value is None else value - threshold


def _below(value: float | None, threshold: float) -> float | None:
    return None if value is None else threshold - value


def _known(distances: list[float | None]) -> list[float] | None:
    """The distances, if all of them are known."""
    known = [value for value in distances if value is not None]
    return known if len(known) == len(distances) else None


def _bound(distances: list[float | None]) -> float:
    """The most that their least can be."""
    return min((value for value in distances if value is not None), default=math.inf)
