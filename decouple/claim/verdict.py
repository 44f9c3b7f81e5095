"""From numbers per seed to a verdict: a pure function, no files, no training.

The rules, in order, for one arm and one band (`stand`):

1. a number that is NaN or infinite, or a predicate that failed: ERROR;
2. fewer than three seeds: INCONCLUSIVE (one seed shows a run, not a finding);
3. no spread at all over the seeds: INCONCLUSIVE (only arithmetic repeats itself exactly);
4. the interval at the support tail lies inside the band: SUPPORTED;
5. the wider interval at the refute tail lies wholly outside: REFUTED;
6. else INCONCLUSIVE.

And for the claim (`conclude`): REFUTED, INCONCLUSIVE and ERROR on the claim's own arm stand as they
are. SUPPORTED stands only if every control is REFUTED or separated by its margin: a control that is
SUPPORTED makes the claim VACUOUS, one that cannot be told INCONCLUSIVE, one that failed ERROR, one
that was not run UNRUN.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from decouple.claim.bands import Band, at_least
from decouple.claim.figures import Figure
from decouple.claim.spec import Control
from decouple.claim.statistics import LEVELS, MINIMUM_SEEDS, Levels, Summary, summarise


class Verdict(StrEnum):
    """What the evidence says of a claim."""

    SUPPORTED = "SUPPORTED"
    REFUTED = "REFUTED"
    INCONCLUSIVE = "INCONCLUSIVE"
    VACUOUS = "VACUOUS"
    ERROR = "ERROR"
    UNRUN = "UNRUN"
    CONSISTENT = "CONSISTENT"
    CONTRADICTED = "CONTRADICTED"

    @property
    def judged(self) -> bool:
        """Whether evidence was weighed: ERROR and UNRUN are no judgement."""
        return self not in (Verdict.ERROR, Verdict.UNRUN)

    @property
    def holds(self) -> bool:
        """Whether the claim stands."""
        return self in (Verdict.SUPPORTED, Verdict.CONSISTENT)


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """How one arm stands to a band."""

    verdict: Verdict
    sentence: str
    "the outcome in one line"
    values: dict[int, float] = field(default_factory=dict)
    "the judged number of each seed"
    summary: Summary | None = None
    "None where the numbers could not be summarised"
    margin: float | None = None
    "distance of the estimate to the nearer edge of the band; negative outside"


@dataclass(frozen=True, kw_only=True, slots=True)
class ControlOutcome:
    """What a control gave."""

    control: Control
    standing: Standing
    "the control's arm against the claim's band"
    separation: Standing | None = None
    "the paired difference against the control's margin, where one is stated"

    @property
    def verdict(self) -> Verdict:
        """REFUTED if refuted or separated, else the standing of the control's arm.

        One number for all seeds supports no claim. But a control that has it inside the band, by
        construction perhaps, does hold there, and that the seeds agree is no reason for doubt. On
        the very edge, as where nothing changes and "does not fall" is claimed, a margin can tell.
        """
        summary, margin = self.standing.summary, self.standing.margin
        if summary is not None and summary.sd == 0 and margin is not None and margin > 0:
            return Verdict.SUPPORTED
        separated = self.separation is not None and self.separation.verdict is Verdict.SUPPORTED
        if separated and self.standing.verdict is Verdict.INCONCLUSIVE:
            return Verdict.REFUTED
        return self.standing.verdict


@dataclass(frozen=True, kw_only=True, slots=True)
class Judgement:
    """The verdict on a claim with all that led to it."""

    verdict: Verdict
    reason: str
    "one line for a person"
    standing: Standing | None = None
    controls: tuple[ControlOutcome, ...] = ()
    reading: Figure | None = None
    "published tier: the interval of the number read from the tables"


def stand(
    values: dict[int, float], band: Band, *, exact: bool = False, levels: Levels = LEVELS
) -> Standing:
    """Judge one number per seed against a band.

    Args:
        values: seed to number, already reduced by the band.
        band: the band.
        exact: arithmetic: every number must lie inside, no statistics.
        levels: tails of the intervals.
    """
    bad = {seed: value for seed, value in values.items() if not math.isfinite(value)}
    if bad:
        named = ", ".join(f"seed {seed}: {value}" for seed, value in bad.items())
        return Standing(verdict=Verdict.ERROR, sentence=f"not a number ({named})", values=values)
    if exact:
        return _stand_exact(values, band)
    if len(values) < MINIMUM_SEEDS:
        return Standing(
            verdict=Verdict.INCONCLUSIVE,
            sentence=f"{len(values)} seed(s), needs {MINIMUM_SEEDS} or more",
            values=values,
        )
    summary = summarise(list(values.values()), levels)
    verdict = _compare(summary, band)
    text = (
        f"{summary.mean:.4g} [{summary.low:.4g}, {summary.high:.4g}] over {summary.n} seeds, "
        f"must be {band.words}; could have told {summary.detectable:.2g} from the edge"
    )
    if summary.sd == 0:
        verdict = Verdict.INCONCLUSIVE
        text = f"{summary.mean:.4g} on each of {summary.n} seeds: no spread supports nothing"
    return Standing(
        verdict=verdict,
        sentence=text,
        values=values,
        summary=summary,
        margin=band.margin(summary.mean),
    )


def _stand_exact(values: dict[int, float], band: Band) -> Standing:
    if not values:
        return Standing(verdict=Verdict.ERROR, sentence="no number to check")
    worst = min(values.values(), key=band.margin)
    inside = band.margin(worst) >= 0
    return Standing(
        verdict=Verdict.SUPPORTED if inside else Verdict.REFUTED,
        sentence=f"{worst:.10g}, must be {band.words}",
        values=values,
        margin=band.margin(worst),
    )


def _compare(summary: Summary, band: Band) -> Verdict:
    if summary.low >= band.low and summary.high <= band.high:
        return Verdict.SUPPORTED
    if summary.refute_high < band.low or summary.refute_low > band.high:
        return Verdict.REFUTED
    return Verdict.INCONCLUSIVE


def separate(
    values: dict[int, float],
    control_values: dict[int, float],
    band: Band,
    margin: float,
    levels: Levels = LEVELS,
) -> Standing:
    """Judge whether the claim's arm lies deeper inside the band than its control by `margin`.

    The number per seed is band.margin(claim) − band.margin(control); for a one-sided band that is
    the difference of the two, towards the band. Seeds are paired; of disjoint sets, in order.
    """
    shared = [seed for seed in values if seed in control_values]
    pairs = (
        [(seed, values[seed], control_values[seed]) for seed in shared]
        if shared
        else [(s, a, b) for (s, a), b in zip(values.items(), control_values.values(), strict=False)]
    )
    differences = {seed: band.margin(a) - band.margin(b) for seed, a, b in pairs}
    return stand(differences, at_least(margin, because="stated by the control"), levels=levels)


def conclude(standing: Standing, controls: Sequence[ControlOutcome]) -> Judgement:
    """Weigh a claim's own standing against its controls."""

    def judgement(verdict: Verdict, reason: str) -> Judgement:
        return Judgement(
            verdict=verdict, reason=reason, standing=standing, controls=tuple(controls)
        )

    if standing.verdict is not Verdict.SUPPORTED:
        return judgement(standing.verdict, standing.sentence)
    # The worst control decides: a failed one first, then one that holds, then one in doubt.
    for wanted, verdict, words in (
        (Verdict.ERROR, Verdict.ERROR, "control {name} failed: {sentence}"),
        (Verdict.UNRUN, Verdict.UNRUN, "control {name} was not run: {sentence}"),
        (Verdict.SUPPORTED, Verdict.VACUOUS, "holds on control {name} too: {sentence}"),
        (Verdict.INCONCLUSIVE, Verdict.INCONCLUSIVE, "control {name} cannot be told: {sentence}"),
    ):
        for outcome in controls:
            if outcome.verdict is wanted:
                sentence = (outcome.separation or outcome.standing).sentence
                if verdict is Verdict.VACUOUS:
                    sentence = outcome.standing.sentence
                reason = words.format(name=outcome.control.name, sentence=sentence)
                return judgement(verdict, reason)
    return judgement(Verdict.SUPPORTED, standing.sentence)


def read_published(reading: Figure, band: Band, printed: Figure | None) -> Judgement:
    """Judge a number read from the document's own tables, known only up to rounding.

    CONTRADICTED if no number within the rounding satisfies the band, or none equals the figure that
    the prose prints; CONSISTENT otherwise. One run without a control can say no more than that.
    """
    if math.isnan(reading.low) or math.isnan(reading.high):
        return Judgement(verdict=Verdict.ERROR, reason="the tables give no number", reading=reading)
    shown = _interval(reading)
    # Rounding intervals that touch the edge may still hold: only a clear miss contradicts.
    if not reading.overlaps(Figure(band.low, band.high)):
        return Judgement(
            verdict=Verdict.CONTRADICTED,
            reason=f"the tables give {shown}, the finding needs {band.words}",
            reading=reading,
        )
    if printed is not None and not reading.overlaps(printed):
        return Judgement(
            verdict=Verdict.CONTRADICTED,
            reason=f"the tables give {shown}, the prose {_interval(printed)}",
            reading=reading,
        )
    agrees = "" if printed is None else f" and agrees with the prose ({_interval(printed)})"
    return Judgement(
        verdict=Verdict.CONSISTENT,
        reason=f"the tables give {shown}, which can be {band.words}{agrees}",
        reading=reading,
    )


def _interval(figure: Figure) -> str:
    if figure.low == figure.high:
        return f"{figure.low:.4g}"
    return f"{figure.middle:.4g} (rounding: {figure.low:.4g} to {figure.high:.4g})"
