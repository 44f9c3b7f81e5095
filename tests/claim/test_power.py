import pytest

from decouple.claim.bands import at_least
from decouple.claim.power import rehearse
from decouple.claim.spec import control
from decouple.claim.verdict import ControlOutcome, Judgement, Verdict, separate, stand

BAND = at_least(0.8, because="half of the published change")


def judgement_of(own, controls=()):
    standing = stand(own, BAND)
    outcomes = []
    for values, margin in controls:
        made = control("balanced", why="w", margin=margin)
        separation = None if margin is None else separate(own, values, BAND, margin)
        outcomes.append(
            ControlOutcome(control=made, standing=stand(values, BAND), separation=separation)
        )
    return Judgement(
        verdict=Verdict.SUPPORTED, reason="", standing=standing, controls=tuple(outcomes)
    )


def around(mean, spread, n=10):
    return {1000 + i: mean + spread * (i - (n - 1) / 2) for i in range(n)}


def test_a_clear_claim_is_decided_by_any_five():
    shares = rehearse(judgement_of(around(0.95, 0.005), [(around(0.2, 0.01), None)]), BAND, 5)
    assert shares == {"SUPPORTED": 1.0}
    shares = rehearse(judgement_of(around(0.2, 0.01)), BAND, 5)
    assert shares == {"REFUTED": 1.0}


def test_shares_sum_to_one_commonest_first_and_always_the_same():
    judgement = judgement_of(around(0.9, 0.04, n=20), [(around(0.6, 0.03, n=20), 0.1)])
    shares = rehearse(judgement, BAND, 5)
    assert len(shares) > 1
    assert sum(shares.values()) == pytest.approx(1)
    assert list(shares.values()) == sorted(shares.values(), reverse=True)
    assert rehearse(judgement, BAND, 5) == shares


def test_more_seeds_decide_more_often():
    judgement = judgement_of(around(0.88, 0.02), [(around(0.3, 0.02), None)])
    supported = [rehearse(judgement, BAND, n).get("SUPPORTED", 0) for n in (3, 5, 8)]
    assert supported == sorted(supported)
    assert supported[0] < supported[-1]


def test_a_control_that_holds_too_makes_it_vacuous():
    judgement = judgement_of(around(0.95, 0.005), [(around(0.94, 0.005), 0.5)])
    assert rehearse(judgement, BAND, 5) == {"VACUOUS": 1.0}


def test_a_claim_with_too_few_seeds_or_none_cannot_be_rehearsed():
    with pytest.raises(ValueError, match=r"at most the number of seeds judged \(4\), got 5"):
        rehearse(judgement_of(around(0.9, 0.01, n=4)), BAND, 5)
    with pytest.raises(ValueError, match=r"\(0\), got 5"):
        rehearse(Judgement(verdict=Verdict.ERROR, reason="broke"), BAND, 5)
