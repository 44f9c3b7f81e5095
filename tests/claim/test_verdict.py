import math
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from decouple.claim.bands import at_least, at_most, ordered, within
from decouple.claim.evidence import UndecidableError
from decouple.claim.figures import Figure
from decouple.claim.judge import judge_published, judge_runs, measured
from decouple.claim.runner import RunFailedError, UnrunError
from decouple.claim.spec import Source, control, null
from decouple.claim.statistics import LEVELS
from decouple.claim.verdict import (
    ControlOutcome,
    Standing,
    Verdict,
    conclude,
    read_published,
    separate,
    stand,
)

BAND = at_least(0.8, because="half of the published change")
CONTROL = control("balanced", why="nothing pulls")
SEPARATED = control("balanced", why="nothing pulls", margin=0.1)


def seeds(*values):
    return dict(enumerate(values))


def around(mean, spread=0.01, n=5):
    return seeds(*(mean + spread * (i - (n - 1) / 2) for i in range(n)))


def standing(verdict, sentence="said"):
    return Standing(verdict=verdict, sentence=sentence)


@pytest.mark.parametrize(
    ("values", "verdict", "words"),
    [
        (seeds(0.9, math.nan, 0.9), Verdict.ERROR, r"not a number \(seed 1: nan\)"),
        (seeds(0.9, math.inf, 0.91), Verdict.ERROR, r"not a number \(seed 1: inf\)"),
        (seeds(math.nan), Verdict.ERROR, "not a number"),
        (seeds(), Verdict.INCONCLUSIVE, r"0 seed\(s\), needs 3"),
        (seeds(0.99, 0.98), Verdict.INCONCLUSIVE, r"2 seed\(s\), needs 3 or more"),
        (seeds(0.1, 0.2), Verdict.INCONCLUSIVE, r"2 seed\(s\)"),
        (seeds(0.9, 0.9, 0.9), Verdict.INCONCLUSIVE, "no spread supports nothing"),
        (seeds(0.1, 0.1, 0.1), Verdict.INCONCLUSIVE, "no spread supports nothing"),
        (around(0.9), Verdict.SUPPORTED, r"0.9 \[.*\] over 5 seeds, must be ≥ 0.8"),
        (around(0.7), Verdict.REFUTED, r"0.7 \[.*\] over 5 seeds, must be ≥ 0.8"),
        (around(0.8), Verdict.INCONCLUSIVE, "could have told .* from the edge"),
        (around(0.9, spread=0.2), Verdict.INCONCLUSIVE, "could have told"),
        (around(0.7, spread=0.2), Verdict.INCONCLUSIVE, "could have told"),
    ],
)
def test_the_rules_in_their_order(values, verdict, words):
    found = stand(values, BAND)
    assert found.verdict is verdict
    assert found.values == values
    assert re.search(words, found.sentence)


def test_refuting_takes_a_wider_interval_than_supporting():
    assert stand(around(0.84, n=3), BAND).verdict is Verdict.SUPPORTED
    assert stand(around(0.76, n=3), BAND).verdict is Verdict.INCONCLUSIVE


@given(
    values=st.lists(st.floats(-10, 10, allow_subnormal=False), min_size=3, max_size=8),
    edge=st.floats(-10, 10),
)
def test_a_verdict_is_where_the_intervals_lie(values, edge):
    found = stand(seeds(*values), at_least(edge, because="a test"))
    summary = found.summary
    if summary.sd == 0:
        expected = Verdict.INCONCLUSIVE
    elif summary.low >= edge:
        expected = Verdict.SUPPORTED
    elif summary.refute_high < edge:
        expected = Verdict.REFUTED
    else:
        expected = Verdict.INCONCLUSIVE
    assert found.verdict is expected
    assert found.margin == summary.mean - edge


def test_a_two_sided_band_needs_both_ends():
    band = within(0.5, absolute=0.1, because="a test")
    assert stand(around(0.5), band).verdict is Verdict.SUPPORTED
    assert stand(around(0.5, spread=0.1), band).verdict is Verdict.INCONCLUSIVE
    assert stand(around(0.8), band).verdict is Verdict.REFUTED
    assert stand(around(0.2), band).verdict is Verdict.REFUTED


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        (seeds(8_560_016, 8_560_016), Verdict.SUPPORTED),
        (seeds(8_560_016), Verdict.SUPPORTED),
        (seeds(8_560_016, 8_560_015), Verdict.REFUTED),
        (seeds(8_560_016, math.nan), Verdict.ERROR),
        (seeds(), Verdict.ERROR),
    ],
)
def test_arithmetic_needs_no_seeds_and_forgives_nothing(values, verdict):
    band = within(8_560_016, absolute=0, because="the document")
    assert stand(values, band, exact=True).verdict is verdict


# Controls


def outcome(verdict, separation=None, made=CONTROL):
    return ControlOutcome(
        control=made,
        standing=standing(verdict, "own"),
        separation=None if separation is None else standing(separation, "apart"),
    )


@pytest.mark.parametrize(
    ("control_verdict", "separation", "verdict", "reason"),
    [
        (Verdict.REFUTED, None, Verdict.SUPPORTED, "said"),
        (Verdict.SUPPORTED, None, Verdict.VACUOUS, "holds on control balanced too: own"),
        (Verdict.INCONCLUSIVE, None, Verdict.INCONCLUSIVE, "control balanced cannot be told: own"),
        (Verdict.ERROR, None, Verdict.ERROR, "control balanced failed: own"),
        (Verdict.UNRUN, None, Verdict.UNRUN, "control balanced was not run: own"),
        # A stated margin saves a control in doubt, and no other.
        (Verdict.INCONCLUSIVE, Verdict.SUPPORTED, Verdict.SUPPORTED, "said"),
        (
            Verdict.INCONCLUSIVE,
            Verdict.INCONCLUSIVE,
            Verdict.INCONCLUSIVE,
            "control balanced cannot be told: apart",
        ),
        (
            Verdict.INCONCLUSIVE,
            Verdict.REFUTED,
            Verdict.INCONCLUSIVE,
            "control balanced cannot be told: apart",
        ),
        (
            Verdict.SUPPORTED,
            Verdict.SUPPORTED,
            Verdict.VACUOUS,
            "holds on control balanced too: own",
        ),
        (Verdict.ERROR, Verdict.SUPPORTED, Verdict.ERROR, "control balanced failed: apart"),
        (Verdict.REFUTED, Verdict.REFUTED, Verdict.SUPPORTED, "said"),
    ],
)
def test_a_control_decides_what_support_is_worth(control_verdict, separation, verdict, reason):
    found = conclude(standing(Verdict.SUPPORTED), [outcome(control_verdict, separation)])
    assert found.verdict is verdict
    assert found.reason == reason


@pytest.mark.parametrize(
    "own", [Verdict.REFUTED, Verdict.INCONCLUSIVE, Verdict.ERROR, Verdict.UNRUN]
)
@pytest.mark.parametrize("control_verdict", [*list(Verdict)[:3], Verdict.ERROR, Verdict.UNRUN])
def test_without_support_the_claims_own_standing_stands(own, control_verdict):
    assert conclude(standing(own), [outcome(control_verdict)]).verdict is own


def test_the_worst_control_decides_whatever_the_order():
    made = [outcome(v) for v in (Verdict.REFUTED, Verdict.INCONCLUSIVE, Verdict.SUPPORTED)]
    for controls in (made, made[::-1]):
        assert conclude(standing(Verdict.SUPPORTED), controls).verdict is Verdict.VACUOUS
    made.append(outcome(Verdict.ERROR))
    for controls in (made, made[::-1]):
        assert conclude(standing(Verdict.SUPPORTED), controls).verdict is Verdict.ERROR


def test_separation_is_paired_by_seed():
    # Seeds differ far more than arms do: only pairing can tell.
    claim = seeds(0.81, 0.91, 0.99, 0.85, 0.95)
    balanced = {seed: value - 0.3 - 0.01 * (seed % 2) for seed, value in claim.items()}
    assert separate(claim, balanced, BAND, 0.2).verdict is Verdict.SUPPORTED
    assert separate(claim, balanced, BAND, 0.4).verdict is Verdict.REFUTED
    shuffled = dict(zip([3, 0, 4, 2, 1], balanced.values(), strict=True))
    assert separate(claim, shuffled, BAND, 0.2).verdict is Verdict.INCONCLUSIVE


def test_separation_goes_towards_the_band():
    low, high = around(0.2), around(0.9, spread=0.02)
    assert separate(high, low, BAND, 0.5).verdict is Verdict.SUPPORTED
    assert separate(low, high, BAND, 0.5).verdict is Verdict.REFUTED
    band = at_most(0.3, because="a test")
    assert separate(low, high, band, 0.5).verdict is Verdict.SUPPORTED


def test_separation_of_disjoint_seeds_pairs_in_order():
    later = {seed + 5: value for seed, value in around(0.2, spread=0.03).items()}
    found = separate(around(0.9), later, BAND, 0.5)
    assert found.verdict is Verdict.SUPPORTED
    assert list(found.values) == [0, 1, 2, 3, 4]


# Published tables


@pytest.mark.parametrize(
    ("reading", "band", "printed", "verdict"),
    [
        (Figure.printed("0.935"), at_least(0.9, because="t"), None, Verdict.CONSISTENT),
        (Figure.printed("0.935"), at_least(0.9, because="t"), "0.935", Verdict.CONSISTENT),
        (Figure.printed("0.935"), at_least(0.9, because="t"), "93.5%", Verdict.CONSISTENT),
        (Figure.printed("0.935"), at_least(0.9, because="t"), "94%", Verdict.CONSISTENT),
        (Figure.printed("0.935"), at_least(0.9, because="t"), "0.761", Verdict.CONTRADICTED),
        (Figure.printed("0.761"), at_least(0.9, because="t"), None, Verdict.CONTRADICTED),
        (Figure.printed("0.761"), at_least(0.9, because="t"), "0.761", Verdict.CONTRADICTED),
        # The edge of what rounding leaves: 0.8995 prints as 0.900 and as 0.899.
        (Figure.printed("0.90"), at_least(0.905, because="t"), None, Verdict.CONSISTENT),
        (Figure.printed("0.90"), at_least(0.906, because="t"), None, Verdict.CONTRADICTED),
        (Figure.printed("0.900"), at_least(0.905, because="t"), None, Verdict.CONTRADICTED),
        (Figure.printed("0.90"), at_most(0.895, because="t"), None, Verdict.CONSISTENT),
        (Figure.printed("0.90"), at_most(0.894, because="t"), None, Verdict.CONTRADICTED),
        (Figure(math.nan, math.nan), at_least(0.9, because="t"), None, Verdict.ERROR),
    ],
)
def test_the_tables_agree_if_some_reading_of_their_rounding_does(reading, band, printed, verdict):
    figure = None if printed is None else Figure.printed(printed)
    found = read_published(reading, band, figure)
    assert found.verdict is verdict
    assert found.reading is reading


def test_a_contradiction_says_which():
    band = at_least(0.9, because="the document")
    found = read_published(Figure.printed("0.761"), band, None)
    assert found.reason == (
        "the tables give 0.761 (rounding: 0.7605 to 0.7615), the finding needs ≥ 0.9"
    )
    found = read_published(Figure.printed("0.935"), band, Figure.printed("0.95"))
    assert "the prose 0.95 (rounding: 0.945 to 0.955)" in found.reason


def test_a_predicate_that_fails_on_the_tables_is_an_error(claim_of):
    source = Source(section="Results", tables=("shares",))
    found = judge_published(claim_of(source=source, predicate=lambda _: 1 / 0), [None])
    assert found.verdict is Verdict.ERROR
    assert found.reason == "ZeroDivisionError: division by zero"
    order = claim_of(
        source=source, band=ordered("rising", because="t"), predicate=lambda _: [0.250, 0.31, 0.3]
    )
    assert judge_published(order, [None]).verdict is Verdict.CONTRADICTED


# Claims on runs


def fetcher(numbers):
    """Runs that are plain numbers, `arm → seed → number`, with a note of what was asked for."""
    asked = []

    def fetch(arm, wanted):
        asked.append((arm, tuple(wanted)))
        made = numbers[arm]
        if isinstance(made, Exception):
            raise made
        return {seed: made + 0.01 * (seed % 5) for seed in wanted}

    fetch.asked = asked
    return fetch


def judged(claim, numbers, **options):
    options = {"seeds": range(5), "next_seeds": range(5, 10), **options}
    return judge_runs(claim, "smoke", fetcher(numbers), **options)


def plain(claim_of, **parts):
    return claim_of(predicate=lambda run, *_: run, **parts)


def test_a_claim_is_supported_if_its_control_is_refuted(claim_of):
    found = judged(plain(claim_of), {"published": 0.9, "balanced": 0.2})
    assert found.verdict is Verdict.SUPPORTED
    assert found.standing.values == pytest.approx({s: 0.9 + 0.01 * s for s in range(5)})
    assert [each.verdict for each in found.controls] == [Verdict.REFUTED]


@pytest.mark.parametrize(
    ("numbers", "verdict"),
    [
        ({"published": 0.9, "balanced": 0.88}, Verdict.VACUOUS),
        ({"published": 0.9, "balanced": 0.785}, Verdict.INCONCLUSIVE),
        ({"published": 0.9, "balanced": RunFailedError("broke")}, Verdict.ERROR),
        ({"published": 0.9, "balanced": UnrunError("absent")}, Verdict.UNRUN),
        ({"published": 0.9, "balanced": KeyError("no such cell")}, Verdict.ERROR),
        ({"published": 0.9, "balanced": math.nan}, Verdict.ERROR),
        ({"published": 0.9, "balanced": UndecidableError("stuck")}, Verdict.INCONCLUSIVE),
        ({"published": UndecidableError("stuck"), "balanced": 0.2}, Verdict.INCONCLUSIVE),
        ({"published": UnrunError("absent"), "balanced": 0.2}, Verdict.UNRUN),
        ({"published": RunFailedError("broke"), "balanced": 0.2}, Verdict.ERROR),
        ({"published": KeyError("no such cell"), "balanced": 0.2}, Verdict.ERROR),
        ({"published": 0.2, "balanced": 0.9}, Verdict.REFUTED),
    ],
)
def test_what_controls_and_failures_make_of_a_claim(claim_of, numbers, verdict):
    assert judged(plain(claim_of), numbers).verdict is verdict


def test_a_predicate_may_say_why_a_run_cannot_speak_to_the_claim(claim_of):
    def share(run, *_):
        raise UndecidableError("the regulariser never left its floor")

    found = judged(claim_of(predicate=share), {"published": 0.9, "balanced": 0.2})
    assert found.verdict is Verdict.INCONCLUSIVE
    assert found.reason == "the regulariser never left its floor"


def test_a_margin_separates_a_control_in_doubt(claim_of):
    # The control is the claim's run turned around, lower by much: in doubt alone, apart in pairs.
    claim = claim_of(
        predicate=lambda run: run,
        controls=[control("balanced", why="w", margin=0.05)],
        band=at_least(0.8, because="t"),
    )

    def fetch(arm, wanted):
        low = {0: 0.72, 1: 0.86, 2: 0.75, 3: 0.83, 4: 0.78}
        return {s: low[s] + (0.12 + 0.001 * s if arm == "published" else 0) for s in wanted}

    found = judge_runs(claim, "smoke", fetch, seeds=range(5), next_seeds=range(5, 10))
    assert found.controls[0].standing.verdict is Verdict.INCONCLUSIVE
    assert found.controls[0].separation.verdict is Verdict.SUPPORTED
    assert found.verdict is Verdict.SUPPORTED


def test_each_side_of_a_null_reads_its_own_block_of_seeds(claim_of):
    claim = claim_of(
        predicate=lambda a, b, c: a - b - c,
        arms=("published", "balanced", "balanced"),
        controls=[null("published", "balanced", "balanced", blocks=(1, 0, 2))],
        band=at_least(0.1, because="t"),
    )
    fetch = fetcher({"published": 0.9, "balanced": 0.2})
    judge_runs(claim, "smoke", fetch, seeds=range(3), next_seeds=range(5, 11))
    assert fetch.asked[3:] == [
        ("published", (5, 6, 7)),
        ("balanced", (0, 1, 2)),
        ("balanced", (8, 9, 10)),
    ]
    with pytest.raises(ValueError, match=r"must hold 2 blocks of 3 .* got 3 seeds"):
        judge_runs(claim, "smoke", fetch, seeds=range(3), next_seeds=range(5, 8))


@pytest.mark.parametrize(
    ("number", "margin", "verdict"),
    [
        (0.95, None, Verdict.VACUOUS),  # by construction, it may be, but it holds there
        (0.95, 0.001, Verdict.VACUOUS),  # and no distance makes up for that
        (0.9, 0.04, Verdict.SUPPORTED),  # on the very edge one does
        (0.5, None, Verdict.INCONCLUSIVE),  # agreement of seeds is no refutation
        (0.5, 0.2, Verdict.SUPPORTED),
    ],
)
def test_a_control_with_one_number_for_all_seeds(number, margin, verdict):
    balanced = control("balanced", why="w", margin=margin)
    band = at_least(0.9, because="t")
    own, other = around(0.97), seeds(*[number] * 5)
    outcome = ControlOutcome(
        control=balanced,
        standing=stand(other, band),
        separation=None if margin is None else separate(own, other, band, margin),
    )
    assert conclude(stand(own, band), [outcome]).verdict is verdict


def test_the_null_of_a_comparison_uses_disjoint_seeds(claim_of):
    claim = claim_of(
        predicate=lambda a, b: a - b,
        arms=("published", "balanced"),
        controls=[null("published")],
        band=at_least(0.1, because="t"),
    )
    fetch = fetcher({"published": 0.9, "balanced": 0.2})
    values = dict(zip(range(5), (0.01, -0.02, 0.0, 0.005, -0.01), strict=True))

    def noisy(arm, wanted):
        return {s: x + values[s % 5] * (1 if s < 5 else 2) for s, x in fetch(arm, wanted).items()}

    found = judge_runs(claim, "smoke", noisy, seeds=range(5), next_seeds=range(5, 10))
    assert fetch.asked == [
        ("published", (0, 1, 2, 3, 4)),
        ("balanced", (0, 1, 2, 3, 4)),
        ("published", (0, 1, 2, 3, 4)),
        ("published", (5, 6, 7, 8, 9)),
    ]
    assert found.controls[0].verdict is Verdict.REFUTED
    assert found.verdict is not Verdict.VACUOUS


def test_seeds_that_calibrated_cannot_judge_and_a_seed_counts_once(claim_of):
    numbers = {"published": 0.9, "balanced": 0.2}
    found = judged(plain(claim_of), numbers, calibration=(1000, 3))
    assert found.verdict is Verdict.ERROR
    assert found.reason == "seeds [3] calibrated this preset and cannot judge it"
    assert judged(plain(claim_of), numbers, calibration=(7,)).verdict is Verdict.ERROR
    assert judged(plain(claim_of), numbers, calibration=(1000,)).verdict is Verdict.SUPPORTED
    found = judged(plain(claim_of), numbers, seeds=[0, 0, 0, 1, 2])
    assert found.verdict is Verdict.ERROR
    assert "a seed counts once, got [0, 0, 0, 1, 2]" in found.reason


def test_too_few_seeds_and_no_spread_decide_nothing(claim_of):
    numbers = {"published": 0.9, "balanced": 0.2}
    found = judged(plain(claim_of), numbers, seeds=range(2), next_seeds=range(2, 4))
    assert found.verdict is Verdict.INCONCLUSIVE
    constant = claim_of(predicate=lambda _: 0.9)
    assert judged(constant, numbers).verdict is Verdict.INCONCLUSIVE


def test_a_run_gives_a_number_not_an_interval(claim_of):
    found = judged(claim_of(predicate=lambda _: Figure(0.8, 0.9)), {"published": 0, "balanced": 0})
    assert found.verdict is Verdict.ERROR
    assert "value must be exact, got the interval [0.8, 0.9]" in found.reason
    with pytest.raises(TypeError, match="value must be a figure, got 3"):
        measured(3)
    assert math.isnan(measured(Figure.exactly(math.nan)))


@pytest.mark.parametrize(
    ("verdict", "is_judged", "holds"),
    [
        ("SUPPORTED", True, True),
        ("REFUTED", True, False),
        ("INCONCLUSIVE", True, False),
        ("VACUOUS", True, False),
        ("ERROR", False, False),
        ("UNRUN", False, False),
        ("CONSISTENT", True, True),
        ("CONTRADICTED", True, False),
    ],
)
def test_what_a_verdict_amounts_to(verdict, is_judged, holds):
    assert Verdict(verdict).judged is is_judged
    assert Verdict(verdict).holds is holds


def test_the_levels_given_are_the_levels_used():
    loose = replace(LEVELS, support_tail=0.4)
    values = around(0.805)
    assert stand(values, BAND).verdict is Verdict.INCONCLUSIVE
    assert stand(values, BAND, levels=loose).verdict is Verdict.SUPPORTED
