import math
from dataclasses import replace

import pytest

from decouple.claim.compare import (
    DOUBTFUL,
    UNCOMFORTABLE,
    Outcome,
    compare,
    compare_records,
    compare_verdicts,
    redefined,
)
from decouple.claim.record import Provenance, Setting
from decouple.claim.verdict import Verdict

VERDICTS = [
    "SUPPORTED",
    "REFUTED",
    "INCONCLUSIVE",
    "VACUOUS",
    "ERROR",
    "UNRUN",
    "CONSISTENT",
    "CONTRADICTED",
]
OUTCOMES = {
    "h": Outcome.HELD,
    "b": Outcome.BROKEN,
    "w": Outcome.WEAKENED,
    "s": Outcome.STRENGTHENED,
    "r": Outcome.REPAIRED,
    "?": Outcome.CANNOT_TELL,
}
# Before down the side, after along the top. CONSISTENT and CONTRADICTED are of another tier than
# the rest, so that a mixed pair only arises if a record was tampered with.
TABLE = """
             SUP REF INC VAC ERR UNR CON CTR
SUPPORTED     h   b   w   b   b   ?   b   b
REFUTED       r   h   ?   b   b   ?   r   b
INCONCLUSIVE  s   w   h   w   b   ?   s   w
VACUOUS       r   b   ?   h   b   ?   r   b
ERROR         ?   ?   ?   ?   h   ?   ?   ?
UNRUN         ?   ?   ?   ?   b   h   ?   ?
CONSISTENT    b   b   w   b   b   ?   h   b
CONTRADICTED  r   b   ?   b   b   ?   r   h
"""
PAIRS = [
    (before, after, OUTCOMES[letter])
    for before, *letters in map(str.split, TABLE.strip().splitlines()[1:])
    for after, letter in zip(VERDICTS, letters, strict=True)
]


@pytest.mark.parametrize(("before", "after", "outcome"), PAIRS)
def test_every_pair_of_verdicts(before, after, outcome):
    assert compare_verdicts(before, after) is outcome


def test_the_table_is_complete():
    assert [str(verdict) for verdict in Verdict] == VERDICTS
    assert len(PAIRS) == len(VERDICTS) ** 2


def test_flips_are_red_and_doubts_are_told():
    assert {Outcome.BROKEN, Outcome.REPAIRED} == UNCOMFORTABLE
    assert {Outcome.WEAKENED, Outcome.CANNOT_TELL} == DOUBTFUL


def test_an_unknown_verdict_is_refused():
    with pytest.raises(ValueError, match="FINE"):
        compare_verdicts("FINE", "SUPPORTED")


def test_records_are_matched_by_claim_tier_and_setting(record_of):
    before = [record_of(claim="toy/b"), record_of(claim="toy/a"), record_of(tier="gpu")]
    after = [record_of("REFUTED", claim="toy/b"), record_of(claim="toy/a", preset="short")]
    found = [(c.key[:3], c.outcome) for c in compare(before, after)]
    assert found == [
        (("toy/a", "smoke", "short"), Outcome.NEW),
        (("toy/a", "smoke", "small"), Outcome.GONE),
        (("toy/b", "smoke", "small"), Outcome.BROKEN),
        (("toy/holds", "gpu", "small"), Outcome.GONE),
    ]


def test_a_missing_baseline_is_new_and_never_held(record_of):
    for verdict in VERDICTS:
        (comparison,) = compare([], [record_of(verdict)])
        assert comparison.outcome is Outcome.NEW
        assert comparison.before is None
        assert str(comparison) == f"new: toy/holds [smoke] – → {verdict}"
        (comparison,) = compare([record_of(verdict)], [])
        assert comparison.outcome is Outcome.GONE
    with pytest.raises(ValueError, match="one record at least"):
        compare_records(None, None)


def test_a_claim_that_occurs_twice_is_refused(record_of):
    with pytest.raises(ValueError, match=r"before must hold each claim and tier once, got .*holds"):
        compare([record_of(), record_of("REFUTED")], [])
    with pytest.raises(ValueError, match="after must hold"):
        compare([], [record_of(), record_of()])


def test_the_difference_is_paired_over_shared_seeds(record_of):
    before = record_of(values={"0": 0.2, "1": 0.5, "2": 0.9, "7": 5.0})
    after = record_of("REFUTED", values={"0": 0.1, "1": 0.41, "2": 0.79, "8": 9.0})
    comparison = compare_records(before, after)
    assert comparison.difference == pytest.approx(-0.1)
    low, high = comparison.interval
    assert -0.2 < low < -0.1 < high < 0
    assert str(comparison).startswith(
        "broken: toy/holds [smoke] SUPPORTED → REFUTED, difference -0.1 [-0.1"
    )


def test_too_few_shared_seeds_give_no_difference(record_of):
    comparison = compare_records(record_of(values={"0": 1.0, "1": 2.0}), record_of())
    assert comparison.difference is None
    assert comparison.interval is None


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_none_still_compares(record_of, number):
    broken = record_of("ERROR", values={str(s): 0.9 if s else number for s in range(5)})
    for before, after in ((record_of(), broken), (broken, record_of()), (broken, broken)):
        assert compare_records(before, after).difference is None


def test_a_claim_is_redefined_by_its_band_arms_or_controls_but_not_by_rounding(record_of):
    band = {"kind": "at_least", "low": 1 / 3, "high": None, "words": "w", "because": "b"}
    control = {"arms": "balanced", "verdict": "REFUTED", "separates_by": 1 / 7, "margin": 0.5}
    before = record_of(band={**band, "low": float(f"{1 / 3:.8g}")}, controls=[control])
    after = record_of(band={**band, "because": "put otherwise"}, controls=[control])
    assert redefined(before, after) == ""
    assert redefined(before, replace(after, band={**band, "low": 0.3})) == "band changed"
    assert redefined(before, replace(after, arms=["iid"])) == "arms changed"
    assert redefined(before, replace(after, controls=[])) == "controls changed"
    # How far from the band it lay, and whether its distance could be told, is no part of it.
    assert redefined(before, replace(after, controls=[{**control, "margin": 0.1}])) == ""
    weaker = {**control, "separates_by": 0.1}
    assert redefined(before, replace(after, controls=[weaker])) == "controls changed"


def test_what_was_redefined_is_neither_held_nor_broken_nor_repaired(record_of):
    wider = {**record_of().band, "low": 0.3, "words": "≥ 0.3"}
    for verdicts in (
        ("REFUTED", "SUPPORTED"),
        ("SUPPORTED", "SUPPORTED"),
        ("SUPPORTED", "REFUTED"),
    ):
        before, after = record_of(verdicts[0]), record_of(verdicts[1], band=wider)
        comparison = compare_records(before, after)
        assert comparison.outcome is Outcome.CANNOT_TELL
        assert str(comparison).endswith("; band changed: another claim")
    assert compare_records(record_of(), record_of("ERROR", band=wider)).outcome is Outcome.BROKEN


@pytest.mark.parametrize("side", ["before", "after"])
def test_evidence_that_other_code_made_tells_nothing(record_of, side):
    label = "stale: made by other code than this"
    stale = record_of(provenance=Provenance(seeds=(0, 1, 2, 3, 4), labels=(label,)))
    pair = (stale, record_of()) if side == "before" else (record_of(), stale)
    comparison = compare_records(*pair)
    assert comparison.outcome is Outcome.CANNOT_TELL
    assert str(comparison).endswith(f"; {side}: {label}")


def test_what_is_held_by_another_predicate_or_other_seeds_says_so(record_of):
    before = record_of(predicate="aa")
    assert compare_records(before, record_of()).notes == (), (
        "of a record without one nothing is known"
    )
    comparison = compare_records(
        before, record_of(predicate="bb", provenance=Provenance(seeds=(0, 1, 2)))
    )
    assert comparison.outcome is Outcome.HELD
    assert comparison.notes == ("predicate changed", "seeds 0 1 2 3 4 → 0 1 2")


def test_a_claim_under_another_setting_is_neither_gone_nor_new(record_of):
    def on(corpus, verdict="SUPPORTED"):
        return replace(record_of(verdict), setting=Setting(preset="small", corpus=corpus))

    (comparison,) = compare([on("a")], [on("b", "REFUTED")], moved=True)
    assert comparison.outcome is Outcome.CANNOT_TELL
    assert comparison.redefined == "corpus (a → b) changed"
    assert [c.outcome for c in compare([on("a")], [on("b")])] == [Outcome.GONE, Outcome.NEW]
    # Which of two it was cannot be known.
    outcomes = [c.outcome for c in compare([on("a")], [on("b"), on("c")], moved=True)]
    assert outcomes == [Outcome.GONE, Outcome.NEW, Outcome.NEW]


def test_an_error_under_a_blank_setting_is_a_break(record_of):
    blank = replace(record_of("ERROR"), setting=Setting())
    (comparison,) = compare([record_of()], [blank], moved=True)
    assert comparison.outcome is Outcome.BROKEN
