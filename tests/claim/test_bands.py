import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from decouple.claim import bands
from decouple.claim.bands import (
    at_least,
    at_most,
    crosses,
    equivalent,
    greater_by,
    largest_reversal,
    monotone,
    ordered,
    trending,
    within,
)
from decouple.claim.figures import Cells, Figure
from decouple.claim.verdict import Verdict, stand

WHY = {"because": "a test"}
NUMBERS = st.floats(-1e6, 1e6, allow_subnormal=False)
SEQUENCES = st.lists(NUMBERS, min_size=2, max_size=8)
DIRECTIONS = pytest.mark.parametrize("direction", ["rising", "falling"])

SCALAR = [at_least(0.5, **WHY), at_most(0.5, **WHY), within(0.5, absolute=0.1, **WHY)]
PAIRED = [greater_by(0.1, **WHY), equivalent(0.1, **WHY)]
SEQUENTIAL = [
    ordered("rising", **WHY),
    monotone("falling", **WHY),
    trending("rising", 0.1, **WHY),
    crosses(0.5, by_step=3, direction="rising", **WHY),
]


def number(band, value):
    """The number that a band makes of what a predicate returns."""
    figure = band.reduce(value)
    assert figure.low == figure.high or math.isnan(figure.low)
    return figure.middle


def margin(band, value):
    return band.margin(number(band, value))


def along(values, steps):
    values = np.array(values, dtype=float)
    return Cells(values, values, {"step": np.array(steps, dtype=object)})


@pytest.mark.parametrize(
    ("band", "inside", "edge", "outside"),
    [
        (at_least(0.5, **WHY), 0.75, 0.5, 0.25),
        (at_most(0.5, **WHY), 0.25, 0.5, 0.75),
        (within(2, absolute=0.5, **WHY), 2.25, 2.5, 2.75),
        (within(2, absolute=0.5, **WHY), 1.75, 1.5, 1.25),
        (within(-2, relative=0.25, **WHY), -1.75, -2.5, -2.75),
        (within(2, below=0.25, above=1, **WHY), 2.75, 3, 3.25),
        (within(2, below=0.25, above=1, **WHY), 1.875, 1.75, 1.5),
        (greater_by(0.5, **WHY), (2, 1), (2, 1.5), (1, 2)),
        (greater_by(0, **WHY), (2, 1), (1, 1), (1, 2)),
        (equivalent(0.5, **WHY), (1, 1.25), (1, 1.5), (1, 2)),
        (equivalent(0.5, **WHY), (1.25, 1), (1.5, 1), (2, 1)),
        (ordered("rising", **WHY), [1, 2, 4], [1, 2, 2], [1, 3, 2]),
        (ordered("falling", gap=1, **WHY), [6, 4, 2], [4, 3, 1], [4, 3.5, 1]),
        (monotone("rising", tolerance=1, **WHY), [1, 3, 2.5], [1, 3, 2], [1, 3, 1.5]),
        (monotone("falling", tolerance=1, **WHY), [3, 1, 1.5], [3, 1, 2], [3, 1, 2.5]),
        (trending("rising", 2, **WHY), [0, 2, 4], [0, 1, 2], [0, 0.5, 1]),
        (trending("falling", 2, **WHY), [4, 2, 0], [2, 1, 0], [0, 1, 2]),
        (crosses(5, by_step=2, direction="rising", **WHY), [0, 6, 0], [0, 0, 5], [0, 4, 4, 9]),
        (crosses(5, by_step=1, direction="falling", **WHY), [9, 4], [9, 5], [9, 8, 1]),
        (crosses(5, by_step=1, direction="rising", past=1, **WHY), [0, 7], [0, 6], [0, 5.5]),
    ],
)
def test_inside_edge_and_outside(band, inside, edge, outside):
    assert margin(band, inside) > 0
    assert margin(band, edge) == 0
    assert margin(band, outside) < 0


@pytest.mark.parametrize(
    ("band", "words"),
    [
        (at_least(0.9, **WHY), "≥ 0.9"),
        (at_most(0.9, **WHY), "≤ 0.9"),
        (within(2, relative=0.25, **WHY), "in [1.5, 2.5]"),
        (greater_by(0.1, **WHY), "first − second ≥ 0.1"),
        (equivalent(0.1, **WHY), "|first − second| ≤ 0.1"),
        (ordered("rising", gap=0.1, **WHY), "smallest rising step ≥ 0.1"),
        (monotone("falling", **WHY), "largest turn against falling ≤ 0"),
        (trending("falling", 0.3, **WHY), "line falling by ≥ 0.3"),
        (
            crosses(0.9, by_step=12, direction="rising", past=0.01, **WHY),
            "rising past 0.9 (by 0.01 or more) by step 12",
        ),
    ],
)
def test_a_band_says_what_it_asks_and_which_function_made_it(band, words):
    assert band.words == words
    assert callable(getattr(bands, band.kind))


@pytest.mark.parametrize("band", SCALAR, ids=lambda band: band.kind)
@pytest.mark.parametrize("value", [(1.0, 2.0), [1.0], along([1, 2], [0, 1])])
def test_a_band_for_a_number_refuses_a_sequence(band, value):
    with pytest.raises(TypeError, match="predicate must return one number for this band, got"):
        band.reduce(value)


def test_one_cell_is_a_number():
    assert number(at_least(0.5, **WHY), along([0.7], [3])) == 0.7


@pytest.mark.parametrize("band", PAIRED + SEQUENTIAL, ids=lambda band: band.kind)
@pytest.mark.parametrize("value", [0.7, 1, Figure(0.5, 0.6)])
def test_a_band_for_a_sequence_refuses_a_number(band, value):
    with pytest.raises(TypeError, match="predicate must return a sequence for this band, got"):
        band.reduce(value)


@pytest.mark.parametrize("band", PAIRED, ids=lambda band: band.kind)
def test_a_band_for_a_pair_refuses_other_lengths(band):
    with pytest.raises(TypeError, match=r"pair \(a, b\) for this band, got 3"):
        band.reduce((1, 2, 3))
    with pytest.raises(TypeError, match="2 numbers or more, got 1"):
        band.reduce((1,))


def test_a_sequence_of_one_has_no_order_and_one_that_starts_late_never_crosses():
    with pytest.raises(TypeError, match="2 numbers or more, got 1"):
        ordered("rising", **WHY).reduce([1.0])
    with pytest.raises(TypeError, match=r"steps up to 3, got \[4.0, 5.0\]"):
        crosses(1, by_step=3, direction="rising", **WHY).reduce(along([1, 2], [4, 5]))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: at_least(math.nan, **WHY), "low <= high, got low=nan"),
        (lambda: at_least(-math.inf, **WHY), "bounded on one side at least"),
        (lambda: at_least(0.5, because=" "), "because must say where the threshold comes from"),
        (lambda: within(1, **WHY), "exactly one of absolute, relative, or below and above"),
        (lambda: within(1, absolute=1, relative=1, **WHY), "exactly one .* got absolute=1"),
        (lambda: within(1, below=1, **WHY), "exactly one .* below=1, above=None"),
        (lambda: within(1, absolute=1, above=1, **WHY), "exactly one"),
        (lambda: within(1, absolute=-1, **WHY), "widths >= 0, got -1 below"),
        (lambda: equivalent(0, **WHY), "margin must be > 0, got 0"),
        (lambda: equivalent(math.nan, **WHY), "margin must be > 0, got nan"),
        (lambda: monotone("rising", tolerance=-1, **WHY), "tolerance must be >= 0, got -1"),
        (lambda: trending("rising", 0, **WHY), "by must be > 0, got 0"),
    ],
)
def test_a_band_that_makes_no_sense_is_refused(make, words):
    with pytest.raises(ValueError, match=words):
        make()


@pytest.mark.parametrize("band", SCALAR + PAIRED + SEQUENTIAL, ids=lambda band: band.kind)
@given(data=st.data())
def test_a_missing_number_is_never_supported(band, data):
    if band in SCALAR:
        value = math.nan
    else:
        length = 2 if band in PAIRED else data.draw(st.integers(2, 4))
        value = data.draw(st.lists(NUMBERS, min_size=length, max_size=length))
        value[data.draw(st.integers(0, length - 1))] = math.nan
    judged = number(band, value)
    assert math.isnan(judged)
    assert math.isnan(band.margin(judged))
    assert stand({0: 1.0, 1: judged, 2: 1.1}, band).verdict is Verdict.ERROR


@given(threshold=NUMBERS, value=NUMBERS)
def test_at_least_and_at_most_are_mirror_images(threshold, value):
    mirrored = at_most(-threshold, **WHY)
    assert at_least(threshold, **WHY).margin(value) == mirrored.margin(-value)


@given(threshold=NUMBERS, values=st.lists(NUMBERS, min_size=3, max_size=6))
def test_mirrored_numbers_get_the_same_verdict_from_the_mirrored_band(threshold, values):
    plain = stand(dict(enumerate(values)), at_least(threshold, **WHY))
    mirrored = stand(dict(enumerate(-x for x in values)), at_most(-threshold, **WHY))
    assert plain.verdict is mirrored.verdict
    assert plain.margin == mirrored.margin


@given(sequence=SEQUENCES, gap=st.floats(0, 10))
@DIRECTIONS
def test_ordered_against_brute_force(direction, sequence, gap):
    sign = 1 if direction == "rising" else -1
    steps = [sign * (b - a) for a, b in itertools.pairwise(sequence)]
    band = ordered(direction, gap=gap, **WHY)
    assert number(band, sequence) == min(steps)
    assert (margin(band, sequence) >= 0) == all(step >= gap for step in steps)


@given(sequence=SEQUENCES, tolerance=st.floats(0, 10))
@DIRECTIONS
def test_monotone_against_brute_force(direction, sequence, tolerance):
    sign = 1 if direction == "rising" else -1
    worst, furthest = 0.0, -math.inf
    for value in sequence:
        furthest = max(furthest, sign * value)
        worst = max(worst, furthest - sign * value)
    band = monotone(direction, tolerance=tolerance, **WHY)
    assert number(band, sequence) == worst
    assert largest_reversal(sequence, direction).middle == worst
    assert (margin(band, sequence) >= 0) == (worst <= tolerance)


@given(sequence=SEQUENCES)
@DIRECTIONS
def test_no_reversal_at_all_is_what_sorted_means(direction, sequence):
    kept = sorted(sequence, reverse=direction == "falling")
    assert largest_reversal(kept, direction).middle == 0
    assert (largest_reversal(sequence, direction).middle == 0) == (sequence == kept)


@given(data=st.data(), values=SEQUENCES)
@DIRECTIONS
def test_trending_against_a_fitted_line(direction, data, values):
    n = len(values)
    steps = sorted(data.draw(st.sets(st.integers(0, 100), min_size=n, max_size=n)))
    slope = np.polyfit(steps, values, 1)[0]
    change = slope * (steps[-1] - steps[0]) * (1 if direction == "rising" else -1)
    band = trending(direction, 1, **WHY)
    scale = max(1.0, *map(abs, values))
    assert number(band, along(values, steps)) == pytest.approx(change, abs=1e-9 * scale)


def test_trending_takes_the_step_where_there_is_one():
    band = trending("rising", 1, **WHY)
    values = [0, 0, 3]
    assert number(band, values) == pytest.approx(3)
    assert number(band, along(values, [0, 1, 10])) == pytest.approx(
        10 * np.polyfit([0, 1, 10], values, 1)[0]
    )


@given(data=st.data(), values=SEQUENCES, level=NUMBERS, by_step=st.integers(0, 100))
@DIRECTIONS
def test_crosses_against_brute_force(direction, data, values, level, by_step):
    n = len(values)
    steps = sorted(data.draw(st.sets(st.integers(0, 100), min_size=n, max_size=n)))
    band = crosses(level, by_step=by_step, direction=direction, **WHY)
    sign = 1 if direction == "rising" else -1
    reached = [sign * (v - level) for v, step in zip(values, steps, strict=True) if step <= by_step]
    if not reached:
        with pytest.raises(TypeError, match="steps up to"):
            band.reduce(along(values, steps))
        return
    assert number(band, along(values, steps)) == max(reached)


@given(
    values=st.lists(st.tuples(NUMBERS, st.floats(0, 5), st.floats(0, 1)), min_size=2, max_size=5)
)
@DIRECTIONS
def test_rounded_figures_are_reduced_to_an_interval_that_holds_every_reading(direction, values):
    figures = [Figure(low, low + width) for low, width, _ in values]
    readings = [min(f.high, f.low + at * w) for f, (_, w, at) in zip(figures, values, strict=True)]
    for band in (
        ordered(direction, **WHY),
        monotone(direction, **WHY),
        trending(direction, 1, **WHY),
        crosses(0, by_step=9, direction=direction, **WHY),
    ):
        interval, inside = band.reduce(figures), number(band, readings)
        slack = 1e-9 * max(1.0, *map(abs, readings))
        assert interval.low - slack <= inside <= interval.high + slack


@given(sequence=SEQUENCES, up=st.floats(0, 100))
def test_moving_all_numbers_changes_no_order(sequence, up):
    # Sums of integers and halves are exact, so that equality can be asked for.
    sequence, up = [math.floor(x) for x in sequence], math.floor(up)
    moved = [x + up for x in sequence]
    assert number(ordered("rising", **WHY), sequence) == number(ordered("rising", **WHY), moved)
    band = monotone("rising", **WHY)
    assert number(band, sequence) == number(band, moved)
    mirrored = [-x for x in sequence]
    assert number(band, sequence) == number(monotone("falling", **WHY), mirrored)
