"""Rehearsing a claim on calibration seeds: would a few seeds decide it?

A smoke claim must be decided by the seeds it is given: subsets of that size of the
calibration seeds are judged, and the share of each verdict is the power. Rehearsal may decide
whether a claim is fit for a tier, and the size of the runs; never a threshold, a direction or an
order of arms.
"""

from __future__ import annotations

import itertools
import math
import random
from collections import Counter
from collections.abc import Iterable, Sequence

from decouple.claim.bands import Band
from decouple.claim.verdict import ControlOutcome, Judgement, conclude, separate, stand

ENOUGH = 0.8
"""Share of the subsets that must agree on a decided verdict."""

MAXIMUM_SUBSETS = 500
"""Where there are more subsets than this, so many are drawn at random, always the same."""


def rehearse(judgement: Judgement, band: Band, size: int) -> dict[str, float]:
    """Share of each verdict over subsets of `size` seeds, commonest first.

    Args:
        judgement: of a claim on all calibration seeds, controls included.
        band: the band it was judged with.
        size: seeds in a subset, 3 or more.

    Raises:
        ValueError: if there are fewer seeds than `size`, or the claim could not be judged.
    """
    standing = judgement.standing
    if standing is None or len(standing.values) < size:
        have = 0 if standing is None else len(standing.values)
        raise ValueError(f"size must be at most the number of seeds judged ({have}), got {size}")
    verdicts: Counter[str] = Counter()
    for seeds in _subsets(list(standing.values), size):
        own = {seed: standing.values[seed] for seed in seeds}
        outcomes = [_control(outcome, own, band) for outcome in judgement.controls]
        verdicts[str(conclude(stand(own, band), outcomes).verdict)] += 1
    total = sum(verdicts.values())
    return {verdict: number / total for verdict, number in verdicts.most_common()}


def _subsets(seeds: list[int], size: int) -> Iterable[Sequence[int]]:
    if math.comb(len(seeds), size) <= MAXIMUM_SUBSETS:
        return itertools.combinations(seeds, size)
    generator = random.Random(0)
    return [generator.sample(seeds, size) for _ in range(MAXIMUM_SUBSETS)]


def _control(outcome: ControlOutcome, own: dict[int, float], band: Band) -> ControlOutcome:
    known = outcome.standing.values
    values = {seed: known[seed] for seed in own if seed in known}
    separation = None
    if outcome.control.margin is not None:
        separation = separate(own, values, band, outcome.control.margin)
    return ControlOutcome(
        control=outcome.control, standing=stand(values, band), separation=separation
    )
