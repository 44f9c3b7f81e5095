import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from decouple.claim.statistics import LEVELS, Levels, power_to_support, summarise

VALUES = st.lists(st.floats(-1e6, 1e6, allow_subnormal=False), min_size=2, max_size=10)


@given(values=VALUES)
def test_the_interval_is_the_one_of_scipy(values):
    summary = summarise(values)
    assert summary.n == len(values)
    assert summary.mean == pytest.approx(math.fsum(values) / len(values), abs=1e-6)
    if summary.sd == 0:
        return
    error = stats.sem(values)
    for tail, low, high in (
        (LEVELS.support_tail, summary.low, summary.high),
        (LEVELS.refute_tail, summary.refute_low, summary.refute_high),
    ):
        reference = stats.t.interval(1 - 2 * tail, len(values) - 1, summary.mean, error)
        assert (low, high) == pytest.approx(reference, rel=1e-9, abs=1e-9)
    assert summary.refute_low < summary.low < summary.mean < summary.high < summary.refute_high


@pytest.mark.parametrize("value", [0.1, 0.7, 1 / 3, 0.9, 1e-12, 0.0, -123.4])
@pytest.mark.parametrize("n", [3, 5, 6, 7, 10])
def test_equal_numbers_have_no_spread_whatever_their_last_bit(value, n):
    assert summarise([value] * n).sd == 0
    if value:  # the same number, computed along another way
        assert summarise([value] * (n - 1) + [math.nextafter(value, 9)]).sd == 0


def test_small_spread_is_spread():
    assert summarise([1.0, 1.0, 1.0 + 1e-12]).sd > 0
    assert summarise([0.0, 0.0, 1e-100]).sd > 0


@given(values=VALUES, power=st.integers(-8, 8))
def test_units_do_not_matter(values, power):
    scaled = summarise([value * 2.0**power for value in values])
    plain = summarise(values)
    for name in ("mean", "sd", "low", "high", "refute_low", "refute_high", "detectable"):
        assert getattr(scaled, name) == getattr(plain, name) * 2.0**power


@pytest.mark.parametrize("values", [[], [1.0], [1.0, math.nan], [1.0, math.inf]])
def test_what_cannot_be_summarised_is_refused(values):
    with pytest.raises(ValueError, match="values must be two or more finite numbers, got"):
        summarise(values)


def test_the_levels_are_ordered():
    assert LEVELS.support_tail < LEVELS.support
    assert LEVELS.refute_tail < LEVELS.refute < LEVELS.support, "refuting takes more"


def test_power_against_simulation():
    generator = np.random.default_rng(0)
    for n, distance in ((3, 3.0), (5, 1.5), (10, 1.0)):
        samples = generator.normal(distance, 1, size=(100_000, n))
        critical = stats.t.ppf(1 - LEVELS.support_tail, n - 1)
        error = samples.std(axis=1, ddof=1) / math.sqrt(n)
        measured = (samples.mean(axis=1) - critical * error >= 0).mean()
        assert power_to_support(distance, 1.0, n) == pytest.approx(measured, abs=0.006)


def test_at_the_edge_the_power_is_the_tail_and_it_grows_with_the_distance():
    assert power_to_support(0.0, 1.0, 5) == pytest.approx(LEVELS.support_tail)
    powers = [power_to_support(distance, 1.0, 5) for distance in (-1, 0, 0.5, 1, 2, 4)]
    assert powers == sorted(powers)
    assert power_to_support(1, 1, 5, Levels(support_tail=0.05)) > power_to_support(1, 1, 5)


@pytest.mark.parametrize("n", [5, 10])
def test_the_detectable_distance_is_told_about_as_often_as_said(n):
    # The sample deviation stands for the true one, so the 80 % is approximate.
    values = stats.norm.ppf((np.arange(n) + 0.5) / n)
    summary = summarise(values)
    assert power_to_support(summary.detectable, summary.sd, n) == pytest.approx(0.8, abs=0.05)


def test_power_refuses_nonsense():
    with pytest.raises(ValueError, match="sd must be > 0, got 0"):
        power_to_support(1, 0, 5)
    with pytest.raises(ValueError, match="n must be 3 or more, got 2"):
        power_to_support(1, 1, 2)
