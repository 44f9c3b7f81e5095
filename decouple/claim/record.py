"""A verdict as a record: what reports, the ledger and comparisons read and write.

One record is one claim on one tier. It is plain JSON types all the way down, so that it crosses
process borders and file formats unchanged.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from decouple.claim.bands import Band
from decouple.claim.spec import Claim, Control, Tier
from decouple.claim.statistics import LEVELS
from decouple.claim.trace import predicate_digest
from decouple.claim.verdict import ControlOutcome, Judgement, Standing, Verdict

DOUBTS = ("stale:", "mixed:")
"""How labels of evidence begin that no record may rest on."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Setting:
    """What evidence was weighed; two records are comparable if document, tier and this agree."""

    preset: str = ""
    base_model: str = ""
    corpus: str = ""
    tokenizer: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Provenance:
    """Where the evidence came from."""

    seeds: tuple[int, ...] = ()
    "seeds that judged"
    calibration: tuple[int, ...] = ()
    "seeds that scaled the preset"
    device: str = ""
    "device class"
    code: str = ""
    "fingerprint of the experiment's code"
    libraries: Mapping[str, str] = field(default_factory=dict)
    labels: tuple[str, ...] = ()
    "what a reader must know: reference evidence, stale, a damaged entry set aside"


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """One claim on one tier."""

    claim: str
    tier: str
    kind: str
    statement: str
    source: dict[str, Any]
    band: dict[str, Any]
    arms: list[str]
    note: str
    verdict: str
    reason: str
    estimate: float | None = None
    interval: list[float] | None = None
    margin: float | None = None
    detectable: float | None = None
    values: dict[str, float] = field(default_factory=dict)
    "seed, as text, to the judged number"
    controls: list[dict[str, Any]] = field(default_factory=list)
    setting: Setting = field(default_factory=Setting)
    provenance: Provenance = field(default_factory=Provenance)
    command: str = ""
    "reproduces this one claim"
    predicate: str = ""
    "digest of the predicate's source; none where it is not to be had"

    @property
    def key(self) -> tuple[str, ...]:
        """What makes two records comparable."""
        s = self.setting
        return (self.claim, self.tier, s.preset, s.base_model, s.corpus, s.tokenizer)

    def as_dict(self) -> dict[str, Any]:
        """The record as JSON types; numbers that JSON cannot hold become text."""
        cleaned: dict[str, Any] = _jsonable(asdict(self))
        return cleaned

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Record:
        """Inverse of `as_dict`.

        Raises:
            ValueError: if a field is missing or unknown.
        """
        fields = dict(data)
        try:
            setting = Setting(**fields.pop("setting"))
            provenance = fields.pop("provenance")
            provenance = {k: tuple(v) if isinstance(v, list) else v for k, v in provenance.items()}
            values = {seed: float(value) for seed, value in fields.pop("values").items()}
            Verdict(fields["verdict"])  # refuses what is none
            return cls(
                **fields, values=values, setting=setting, provenance=Provenance(**provenance)
            )
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"record of {data.get('claim', 'no claim')!r}: {error}") from error


def doubts(record: Record) -> list[str]:
    """Labels of the record that nothing may rest on."""
    return [label for label in record.provenance.labels if label.startswith(DOUBTS)]


def make_record(
    claim: Claim,
    tier: Tier,
    judgement: Judgement,
    *,
    setting: Setting,
    provenance: Provenance,
    command: str,
) -> Record:
    """The record of a judgement; controls stand in it whether it came to judging them or not."""
    band = claim.bands[tier]
    common: dict[str, Any] = {
        "claim": claim.id,
        "tier": tier,
        "kind": claim.kind,
        "statement": claim.statement,
        "source": {
            "section": claim.source.section,
            "figure": claim.source.figure,
            "tables": list(claim.source.tables),
        },
        "band": describe_band(band),
        "arms": list(claim.arms),
        "note": claim.note,
        "verdict": str(judgement.verdict),
        "reason": judgement.reason,
        "setting": setting,
        "provenance": provenance,
        "command": command,
        "predicate": predicate_digest(claim),
    }
    if judgement.reading is not None:
        reading = judgement.reading
        return Record(**common, estimate=reading.middle, interval=[reading.low, reading.high])
    return Record(
        **common,
        **_numbers(judgement.standing),
        controls=[_control(outcome) for outcome in judgement.controls]
        or ([] if tier == "published" else [_unjudged(each, judgement) for each in claim.controls]),
    )


def describe_band(band: Band) -> dict[str, Any]:
    """A band as JSON types."""
    return {
        "kind": band.kind,
        "low": None if math.isinf(band.low) else band.low,
        "high": None if math.isinf(band.high) else band.high,
        "words": band.words,
        "because": band.because,
    }


def levels_in_words() -> str:
    """The error rates and tails that every report states."""
    shown = 1 - 2 * LEVELS.support_tail
    return (
        f"Intervals over seeds are Student's t, two-sided at {shown:.1%}. SUPPORTED is wrong in at "
        f"most {LEVELS.support:.0%} and REFUTED in at most {LEVELS.refute:.0%} of repetitions, for "
        "numbers that are Gaussian or bounded with a density that vanishes at the bound (one-sided "
        f"tails {LEVELS.support_tail:.3%} and {LEVELS.refute_tail:.3%})"
    )


def counts(verdicts: Sequence[str]) -> dict[str, int]:
    """How often each verdict occurs, in the order of `Verdict`, zeros left out."""
    return {str(v): verdicts.count(str(v)) for v in Verdict if str(v) in verdicts}


def rounded(value: Any) -> Any:
    """The value with its floats to eight digits, which is what the ledger keeps of a number."""
    if isinstance(value, float):
        return float(f"{value:.8g}")
    if isinstance(value, dict):
        return {name: rounded(item) for name, item in value.items()}
    if isinstance(value, list):
        return [rounded(item) for item in value]
    return value


def _numbers(standing: Standing | None) -> dict[str, Any]:
    if standing is None:
        return {}
    summary = standing.summary
    values = {str(seed): value for seed, value in standing.values.items()}
    if summary is None:
        return {"values": values, "margin": standing.margin}
    return {
        "values": values,
        "estimate": summary.mean,
        "interval": [summary.low, summary.high],
        "margin": standing.margin,
        "detectable": summary.detectable,
    }


def _unjudged(control: Control, judgement: Judgement) -> dict[str, Any]:
    return {
        "arms": control.name,
        "why": control.why,
        "separates_by": control.margin,
        "verdict": str(judgement.verdict),
        "sentence": judgement.reason,
        "separation": None,
    }


def _control(outcome: ControlOutcome) -> dict[str, Any]:
    separation = outcome.separation
    return {
        "arms": outcome.control.name,
        "why": outcome.control.why,
        "separates_by": outcome.control.margin,
        "verdict": str(outcome.verdict),
        "sentence": outcome.standing.sentence,
        **_numbers(outcome.standing),
        "separation": None
        if separation is None
        else {
            "verdict": str(separation.verdict),
            "sentence": separation.sentence,
        },
    }


def _jsonable(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _jsonable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_jsonable(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
