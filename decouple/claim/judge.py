"""Judging one claim on one tier: evidence in, judgement out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from decouple.claim.bands import Band
from decouple.claim.evidence import Run, UndecidableError
from decouple.claim.figures import Figure, Value
from decouple.claim.runner import RunFailedError, UnrunError
from decouple.claim.spec import Claim, Control, Tier, split_arm, view
from decouple.claim.statistics import LEVELS, Levels
from decouple.claim.verdict import (
    ControlOutcome,
    Judgement,
    Standing,
    Verdict,
    conclude,
    read_published,
    separate,
    stand,
)

Fetch = Callable[[str, Sequence[int]], dict[int, Run]]
"""From an arm (without condition) and seeds to the run of each seed."""


def judge_published(claim: Claim, tables: Sequence[Run]) -> Judgement:
    """Judge a claim by the document's own tables: CONSISTENT, CONTRADICTED or ERROR.

    Args:
        claim: the claim.
        tables: what the document's tables report of each of the claim's arms.
    """
    band = claim.bands["published"]
    try:
        reading = band.reduce(claim.predicate(*tables))
    except Exception as error:  # a predicate is the user's code: any failure is an ERROR verdict
        return Judgement(verdict=Verdict.ERROR, reason=_words(error))
    return read_published(reading, band, claim.source.printed)


def judge_runs(
    claim: Claim,
    tier: Tier,
    fetch: Fetch,
    *,
    seeds: Sequence[int],
    next_seeds: Sequence[int],
    calibration: Iterable[int] = (),
    levels: Levels = LEVELS,
) -> Judgement:
    """Judge a claim on runs, its controls included.

    Args:
        claim: the claim.
        tier: whose band applies.
        fetch: provides the runs.
        seeds: the replicates.
        next_seeds: others, for controls whose arms must not share them: a block of as many as
            `seeds` for each block after the first that a control names.
        calibration: seeds that scaled the experiment; none of them may judge.
        levels: tails of the intervals.
    """
    if len(set(seeds)) != len(seeds):
        return Judgement(verdict=Verdict.ERROR, reason=f"a seed counts once, got {list(seeds)}")
    overlap = sorted(set(calibration) & {*seeds, *next_seeds})
    if overlap:
        reason = f"seeds {overlap} calibrated this preset and cannot judge it"
        return Judgement(verdict=Verdict.ERROR, reason=reason)
    band = claim.bands[tier]
    exact = claim.kind == "exact"
    sides = [seeds] * len(claim.arms)
    standing = _stand(claim, claim.arms, sides, band, fetch, exact=exact, levels=levels)
    outcomes = [
        _control(claim, each, standing, seeds, next_seeds, band, fetch, levels)
        for each in claim.controls
    ]
    return conclude(standing, outcomes)


def _control(
    claim: Claim,
    control: Control,
    standing: Standing,
    seeds: Sequence[int],
    next_seeds: Sequence[int],
    band: Band,
    fetch: Fetch,
    levels: Levels,
) -> ControlOutcome:
    everything = [*seeds, *next_seeds]
    sides = [everything[block * len(seeds) :][: len(seeds)] for block in control.seeds_of]
    if any(len(side) < len(seeds) for side in sides):
        short = f"next_seeds must hold {max(control.seeds_of)} blocks of {len(seeds)} for control "
        raise ValueError(f"{short}{control.name}, got {len(next_seeds)} seeds")
    own = _stand(claim, control.arms, sides, band, fetch, exact=False, levels=levels)
    separation = None
    comparable = own.summary is not None and standing.summary is not None
    if control.margin is not None and comparable:
        separation = separate(standing.values, own.values, band, control.margin, levels)
    return ControlOutcome(control=control, standing=own, separation=separation)


def _stand(
    claim: Claim,
    arms: Sequence[str],
    sides: Sequence[Sequence[int]],
    band: Band,
    fetch: Fetch,
    *,
    exact: bool,
    levels: Levels,
) -> Standing:
    try:
        runs = [
            fetch(split_arm(reference)[0], side)
            for reference, side in zip(arms, sides, strict=True)
        ]
        values = {}
        for row in zip(*sides, strict=True):
            views = [
                view(runs[i][seed], reference)
                for i, (seed, reference) in enumerate(zip(row, arms, strict=True))
            ]
            values[row[0]] = measured(band.reduce(claim.predicate(*views)))
    except UnrunError as error:
        return Standing(verdict=Verdict.UNRUN, sentence=str(error))
    except RunFailedError as error:
        return Standing(verdict=Verdict.ERROR, sentence=str(error))
    except UndecidableError as error:
        return Standing(verdict=Verdict.INCONCLUSIVE, sentence=str(error))
    except Exception as error:  # a predicate is the user's code: any failure is an ERROR verdict
        return Standing(verdict=Verdict.ERROR, sentence=_words(error))
    return stand(values, band, exact=exact, levels=levels)


def measured(value: Value) -> float:
    """The plain number of a figure measured without rounding.

    Raises:
        TypeError: if it is an interval: runs are measured, not rounded.
    """
    if not isinstance(value, Figure):
        raise TypeError(f"value must be a figure, got {value!r}")
    if value.low != value.high and value.low == value.low:
        raise TypeError(f"value must be exact, got the interval [{value.low}, {value.high}]")
    return value.middle


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
