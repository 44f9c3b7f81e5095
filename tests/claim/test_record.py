import json
import math
from dataclasses import replace

import pytest

from decouple.claim.bands import at_least, within
from decouple.claim.figures import Figure
from decouple.claim.judge import judge_runs
from decouple.claim.record import (
    Provenance,
    Record,
    Setting,
    counts,
    describe_band,
    levels_in_words,
    make_record,
)
from decouple.claim.spec import control
from decouple.claim.verdict import Judgement, Verdict

BECAUSE = "half of the published change"


def made(claim, judgement, tier="smoke"):
    setting = Setting(preset="small", corpus="toy text")
    return make_record(
        claim, tier, judgement, setting=setting, provenance=Provenance(), command="pytest x"
    )


def judged(claim):
    def fetch(arm, wanted):
        return {s: (0.9 if arm == "published" else 0.2) + s / 100 for s in wanted}

    return judge_runs(claim, "smoke", fetch, seeds=range(5), next_seeds=range(5, 10))


def test_a_record_survives_json(record_of):
    record = record_of(controls=[{"arms": "balanced", "verdict": "REFUTED", "separation": None}])
    assert Record.from_dict(json.loads(json.dumps(record.as_dict()))) == record


def test_numbers_that_json_cannot_hold_survive_too(record_of):
    record = record_of("ERROR", values={"0": math.nan, "1": math.inf, "2": 0.5})
    text = json.dumps(record.as_dict(), allow_nan=False)
    values = Record.from_dict(json.loads(text)).values
    assert math.isnan(values["0"])
    assert values["1"] == math.inf
    assert values["2"] == 0.5


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data.pop("setting"),
        lambda data: data.pop("verdict"),
        lambda data: data.pop("values"),
        lambda data: data.update(colour="red"),
        lambda data: data.update(setting=None),
        lambda data: data.update(provenance=None),
        lambda data: data.update(provenance={"seed": 3}),
        lambda data: data.update(verdict="FINE"),
        lambda data: data.update(values={"0": "many"}),
    ],
)
def test_a_damaged_record_is_refused_by_name(record_of, damage):
    data = record_of().as_dict()
    damage(data)
    with pytest.raises(ValueError, match="record of 'toy/holds': "):
        Record.from_dict(data)


def test_a_record_holds_what_led_to_the_verdict(claim_of):
    claim = claim_of(
        predicate=lambda run: run, controls=[control("balanced", why="nothing pulls", margin=0.3)]
    )
    record = made(claim, judged(claim))
    assert record.verdict == "SUPPORTED"
    assert record.claim == "toy/holds"
    assert record.estimate == pytest.approx(0.92)
    assert record.interval[0] < 0.92 < record.interval[1]
    assert record.margin == pytest.approx(0.12)
    assert record.detectable > 0
    assert record.values == pytest.approx({str(s): 0.9 + s / 100 for s in range(5)})
    (balanced,) = record.controls
    assert balanced["verdict"] == "REFUTED"
    assert balanced["estimate"] == pytest.approx(0.22)
    assert balanced["separation"]["verdict"] == "INCONCLUSIVE", "always the same difference"
    assert balanced["separates_by"] == 0.3
    assert record.band == {
        "kind": "at_least",
        "low": 0.8,
        "high": None,
        "words": "≥ 0.8",
        "because": BECAUSE,
    }
    json.dumps(record.as_dict(), allow_nan=False)


def test_a_published_record_holds_the_reading(claim_of):
    claim = claim_of()
    reading = Figure.printed("0.935")
    judgement = Judgement(verdict=Verdict.CONSISTENT, reason="agrees", reading=reading)
    record = made(claim, judgement)
    assert record.estimate == pytest.approx(0.935)
    assert record.interval == pytest.approx([0.9345, 0.9355])
    assert record.controls == []


def test_an_unrun_claim_has_no_numbers(claim_of):
    record = made(claim_of(), Judgement(verdict=Verdict.UNRUN, reason="no GPU"))
    assert record.estimate is None
    assert record.values == {}


def test_the_key_is_claim_tier_and_setting_not_outcome(record_of):
    record = record_of()
    assert record.key == ("toy/holds", "smoke", "small", "none", "toy text", "letters")
    assert replace(record, verdict="REFUTED", estimate=0.1, reason="x").key == record.key
    other = replace(record, setting=replace(record.setting, corpus="novel"))
    assert other.key != record.key


def test_bands_and_counts_as_json():
    band = describe_band(within(1, absolute=0.5, because="t"))
    assert (band["low"], band["high"]) == (0.5, 1.5)
    assert describe_band(at_least(0, because="t"))["high"] is None
    assert counts(["REFUTED", "SUPPORTED", "REFUTED"]) == {"SUPPORTED": 1, "REFUTED": 2}
    assert list(counts(["REFUTED", "SUPPORTED"])) == ["SUPPORTED", "REFUTED"]


def test_the_levels_stand_in_words():
    words = levels_in_words()
    assert "at most 5%" in words
    assert "at most 1%" in words
    assert "1.250% and 0.075%" in words
