import math
import operator

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from decouple.claim.figures import Cells, Figure, as_figure

NUMBERS = st.floats(-1e6, 1e6, allow_subnormal=False)
NAN = Figure.exactly(math.nan)


@st.composite
def readings(draw, numbers=NUMBERS):
    """An interval and one number in it."""
    low, high = sorted((draw(numbers) + 0.0, draw(numbers) + 0.0))  # no negative zero
    return Figure(low, high), draw(st.floats(low, high))


def contains(figure, number):
    slack = 1e-12 * max(1.0, abs(number))
    return figure.low - slack <= number <= figure.high + slack


@pytest.mark.parametrize("operate", [operator.add, operator.sub, operator.mul])
@given(first=readings(), second=readings())
def test_the_interval_holds_the_result_for_every_reading(operate, first, second):
    (left, a), (right, b) = first, second
    assert contains(operate(left, right), operate(a, b))
    # With a plain number on either side too.
    assert contains(operate(left, b), operate(a, b))
    assert contains(operate(a, right), operate(a, b))


@given(first=readings(), second=readings())
def test_a_quotient_holds_every_reading_or_is_undefined(first, second):
    (left, a), (right, b) = first, second
    assume(b == 0 or abs(b) > 1e-6)
    quotient = left / right
    if right.low <= 0 <= right.high:
        assert math.isnan(quotient.low)
        assert math.isnan(quotient.high)
    else:
        assume(min(abs(right.low), abs(right.high)) > 1e-6)
        assert contains(quotient, a / b)
        assert contains(a / right, a / b)


@given(reading=readings())
def test_negation_magnitude_and_logarithm_hold_every_reading(reading):
    figure, number = reading
    assert contains(-figure, -number)
    assert contains(abs(figure), abs(number))
    assert abs(figure).low >= 0
    if figure.low > 0:
        assert contains(figure.log(), math.log(number))
    else:
        assert math.isnan(figure.log().low)


@given(a=NUMBERS, b=NUMBERS)
def test_measured_numbers_stay_exact(a, b):
    assume(abs(b) > 1e-6)
    left, right = Figure.exactly(a), Figure.exactly(b)
    for result in (left + right, left - right, left * right, left / right, abs(left), -left):
        assert result.low == result.high == result.middle
    assert (left + right).middle == a + b
    assert (left * right).middle == a * b
    assert (left / right).middle == pytest.approx(a / b, rel=1e-15)


@pytest.mark.parametrize(
    "result",
    [
        NAN + 1,
        1 - NAN,
        NAN * 0,
        Figure(-1, 1) * NAN,
        NAN / 2,
        2 / NAN,
        NAN / NAN,
        -NAN,
        abs(NAN),
        NAN.log(),
        Figure(0, 1).log(),
        Figure.exactly(-1).log(),
        1 / Figure(-1, 1),
        1 / Figure.exactly(0),
        Figure.exactly(math.inf) - math.inf,
        Figure.exactly(math.inf) * 0,
    ],
)
def test_what_is_not_a_number_stays_none(result):
    assert math.isnan(result.low)
    assert math.isnan(result.high)
    assert math.isnan(result.middle)
    assert not result.overlaps(Figure(-math.inf, math.inf))


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("0.250", 0.2495, 0.2505),
        ("0.25", 0.245, 0.255),
        ("12", 11.5, 12.5),
        ("-0.1228", -0.12285, -0.12275),
        ("−0.1228", -0.12285, -0.12275),
        ("79%", 0.785, 0.795),
        ("6.5%", 0.0645, 0.0655),
        ("8.56M", 8_555_000, 8_565_000),
        (" 22.2 ", 22.15, 22.25),
        ("3e-4", 2.5e-4, 3.5e-4),
    ],
)
def test_a_printed_number_is_as_wide_as_its_last_digit(text, low, high):
    figure = Figure.printed(text)
    assert (figure.low, figure.high) == pytest.approx((low, high), rel=1e-12)


@given(number=NUMBERS, digits=st.integers(0, 6))
def test_a_printed_number_holds_all_that_print_so(number, digits):
    text = f"{number:.{digits}f}"
    figure = Figure.printed(text)
    assert contains(figure, number)
    assert figure.high - figure.low == pytest.approx(10.0**-digits, abs=1e-9)
    assert figure.overlaps(Figure.exactly(float(text)))


@pytest.mark.parametrize(
    "text", ["", "%", "about 5", "nan", "inf", "5%M", "1,000", "≈ 94 %", "--5"]
)
def test_what_is_no_number_is_refused(text):
    with pytest.raises(ValueError, match=r"text must be a number such as '0.935'"):
        Figure.printed(text)


def test_overlap_is_symmetric_and_counts_touching():
    assert Figure(0, 1).overlaps(Figure(1, 2))
    assert Figure(1, 2).overlaps(Figure(0, 1))
    assert not Figure(0, 1).overlaps(Figure(1.001, 2))
    assert not Figure(1.001, 2).overlaps(Figure(0, 1))
    assert Figure(0, 3).overlaps(Figure(1, 2))
    # 0.1 + 0.2 differs from 0.3 in the last bit only.
    assert Figure.exactly(0.1 + 0.2).overlaps(Figure(0, 0.3))


def test_as_figure_leaves_a_figure_alone():
    figure = Figure(1, 2)
    assert as_figure(figure) is figure
    assert as_figure(3) == Figure(3.0, 3.0)


def cells(readings, **coordinates):
    figures = [figure for figure, _ in readings]
    arrays = {name: np.array(labels, dtype=object) for name, labels in coordinates.items()}
    low, high = np.array([f.low for f in figures]), np.array([f.high for f in figures])
    return Cells(low, high, arrays)


@given(found=st.lists(readings(), min_size=1, max_size=6))
def test_reductions_of_cells_hold_every_reading(found):
    numbers = [number for _, number in found]
    held = cells(found)
    assert contains(held.max(), max(numbers))
    assert contains(held.min(), min(numbers))
    assert contains(held.mean(), math.fsum(numbers) / len(numbers))
    total = held.sum()
    slack = 1e-9 * sum(map(abs, numbers))
    assert total.low - slack <= math.fsum(numbers) <= total.high + slack
    assert len(held) == len(found)
    assert list(held) == [figure for figure, _ in found]


@given(found=st.lists(readings(st.floats(0, 1)), min_size=1, max_size=6))
def test_entropy_holds_every_reading(found):
    entropy = cells(found).entropy()
    assert contains(entropy, -sum(u * math.log(u) for _, u in found if u > 0))
    exact = cells([(Figure.exactly(u), u) for _, u in found]).entropy()
    assert exact.low == exact.high


def test_entropy_of_uniform_and_of_certain_shares():
    def of(*shares):
        return cells([(Figure.exactly(share), share) for share in shares]).entropy().middle

    assert of(0.25, 0.25, 0.25, 0.25) == pytest.approx(math.log(4))
    assert of(1.0, 0.0, 0.0) == 0
    assert math.isnan(of(0.5, math.nan))


def test_a_missing_number_among_cells_is_not_passed_over():
    held = cells([(Figure.exactly(x), x) for x in (1.0, math.nan, 3.0)])
    for figure in (held.max(), held.min(), held.sum(), held.mean()):
        assert math.isnan(figure.middle)


def test_cells_are_found_left_out_and_grouped():
    held = cells(
        [(Figure.exactly(x), x) for x in (4.0, 1.0, 9.0, 2.0)],
        step=[0, 1, 1, 1],
        layer=[1, 0, 1, None],
    )
    assert held.argmax() == 2
    assert [figure.middle for figure in held.without(2)] == [4, 1, 2]
    assert held.without(2).coordinates["step"].tolist() == [0, 1, 1]
    groups = held.by("layer")
    assert list(groups) == [0, 1, None], "in sorted order, what has no layer last"
    assert [figure.middle for figure in groups[1]] == [4, 9]
    with pytest.raises(KeyError, match="coordinate must be one of layer, step, got 'expert'"):
        held.by("expert")
