import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from decouple.claim.record import Record
from decouple.report.numbers import ticks
from decouple.report.strips import forest, plot

NUMBERS = st.floats(-1e6, 1e6)


def record(low, high, estimate, *, values=(), controls=(), figure=None, interval=True):
    band = {"kind": "k", "low": low, "high": high, "words": "w", "because": "b"}
    return Record(
        claim="toy/holds", tier="smoke", kind="shape", statement="s", band=band, arms=["published"],
        source={"section": "s", "figure": figure, "tables": []}, note="", verdict="SUPPORTED",
        reason="r", estimate=estimate, values={str(i): v for i, v in enumerate(values)},
        interval=[estimate - 1, estimate + 1] if interval and estimate is not None else None,
        controls=list(controls),
    )  # fmt: skip


def bands():
    one = st.one_of(st.tuples(NUMBERS, st.none()), st.tuples(st.none(), NUMBERS))
    two = st.tuples(NUMBERS, NUMBERS).map(sorted).map(tuple)
    return st.one_of(one, two)


def places(strip):
    yield strip.estimate
    yield from strip.seeds
    yield from strip.edges
    if strip.interval:
        yield strip.interval[0]
        yield sum(strip.interval)


@given(bands(), NUMBERS, st.lists(NUMBERS, max_size=4))
@pytest.mark.parametrize("draw", [forest, lambda r: plot(r).arms[0].strip])
def test_everything_lies_on_the_strip_and_on_its_side_of_the_band(draw, band, estimate, values):
    low, high = band
    strip = draw(record(low, high, estimate, values=values))
    assert all(0 <= place <= 100 for place in places(strip))
    left, right = strip.band[0], sum(strip.band)
    inside = (low is None or estimate >= low) and (high is None or estimate <= high)
    slack = 1e-6
    if inside:
        assert left - slack <= strip.estimate <= right + slack
    else:
        assert strip.estimate <= left + slack or strip.estimate >= right - slack
    for (a, x), (b, y) in zip(
        zip(values, strip.seeds, strict=True), zip(values[1:], strip.seeds[1:], strict=True),
        strict=False,
    ):  # fmt: skip
        assert a == b or (a < b) == (x <= y) or math.isclose(x, y)


def test_near_the_edge_lengths_are_kept_and_far_away_squeezed():
    near = [forest(record(1.0, None, x)).estimate - 50 for x in (1.01, 1.02, 1001.0)]
    assert near[1] / near[0] == pytest.approx(2, rel=0.02)
    assert 47 < near[2] < 48


def test_a_two_sided_band_takes_the_middle():
    strip = forest(record(2.0, 4.0, 3.0))
    assert strip.estimate == 50
    assert strip.band == pytest.approx((26, 48))


def test_a_band_of_one_point_and_a_threshold_of_zero_can_be_drawn():
    assert forest(record(5.0, 5.0, 5.0, interval=False)).estimate == 50
    assert forest(record(0.0, 0.0, 0.0, interval=False)).estimate == 50
    assert forest(record(0.0, None, 0.2)).estimate > 50
    assert forest(record(None, 0.0, 0.2)).estimate > 50
    assert forest(record(1e-313, None, 0.0)).estimate < 50


@pytest.mark.parametrize("estimate", [None, math.nan, "nan"])
def test_what_was_not_measured_has_no_strip(estimate):
    assert forest(record(1.0, None, estimate, interval=False)) is None
    assert plot(record(1.0, None, estimate, interval=False)) is None


def test_a_value_that_is_none_is_no_dot():
    drawn = plot(record(1.0, None, None, values=(1.0, math.nan, 3.0)))
    assert len(drawn.arms[0].strip.seeds) == 2
    assert drawn.arms[0].strip.estimate is None


def test_the_published_figure_is_marked_in_the_units_of_the_claim():
    strip = forest(record(0.5, None, 0.9, figure="90%"))
    assert strip.published == pytest.approx(strip.estimate)
    drawn = plot(record(0.5, None, 0.9, figure="0.9"))
    assert drawn.arms[0].strip.published == pytest.approx(drawn.arms[0].strip.estimate)


def test_arms_and_controls_share_one_axis():
    control = {
        "arms": "balanced", "why": "nothing", "verdict": "REFUTED", "sentence": "low",
        "values": {"0": 0.9}, "estimate": 0.9, "interval": [0.8, 1.0], "separation": None,
    }  # fmt: skip
    unread = {**control, "values": {}, "estimate": None, "interval": None, "verdict": "ERROR"}
    own, balanced, none = plot(record(0.5, None, 0.9, controls=(control, unread))).arms
    assert balanced.strip.estimate == pytest.approx(own.strip.estimate)
    assert balanced.strip.band == own.strip.band
    assert none.strip is None
    assert none.sentence == "low", "without numbers, what was said of it"
    assert balanced.sentence == ""


@given(NUMBERS, NUMBERS)
def test_ticks_are_a_few_round_numbers_in_the_range(a, b):
    low, high = sorted((a, b))
    found = ticks(low, high)
    assert len(found) <= 8
    slack = 1e-6 * (high - low)
    assert all(low - slack <= tick <= high + slack for tick in found)
    if high - low > 1e-3:
        assert len(found) >= 2
