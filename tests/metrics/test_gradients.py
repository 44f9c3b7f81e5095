import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from decouple.metrics.gradients import cosine, flatten, norm_ratio, self_cosines

VECTORS = st.lists(st.floats(-1e3, 1e3), min_size=3, max_size=3).filter(
    lambda v: max(map(abs, v)) > 1e-3
)


def vector(*values):
    return torch.tensor(values, dtype=torch.float64)


def test_all_parameters_become_one_vector_in_order():
    gradients = {"b": torch.ones(2, 2), "a": torch.tensor([3.0])}
    assert flatten(gradients).tolist() == [1, 1, 1, 1, 3]
    assert flatten(gradients).dtype == torch.float64


@given(VECTORS, VECTORS, st.floats(1e-3, 1e3))
def test_direction_does_not_depend_on_length(a, b, scale):
    a, b = vector(*a), vector(*b)
    assert cosine(a, b) == pytest.approx(cosine(scale * a, b), abs=1e-9)
    assert cosine(a, b) == pytest.approx(cosine(b, a), abs=1e-12)
    assert abs(cosine(a, b)) <= 1 + 1e-12
    assert cosine(a, a) == pytest.approx(1)
    assert cosine(a, -a) == pytest.approx(-1)


def test_right_angles_and_huge_vectors():
    assert cosine(vector(1, 0), vector(0, 5)) == 0
    assert cosine(vector(1e300, 1e300), vector(1, 1)) == pytest.approx(1)


@pytest.mark.parametrize("broken", [vector(0, 0), vector(math.nan, 1), vector(math.inf, 1)])
def test_what_has_no_direction_agrees_with_nothing(broken):
    assert cosine(broken, vector(1, 1)) == 0
    assert cosine(vector(1, 1), broken) == 0


def test_ratio_of_lengths_and_its_cap():
    assert norm_ratio(vector(3, 4), vector(0, 2), largest=1e12) == 2.5
    assert norm_ratio(vector(1e20), vector(1), largest=1e12) == 1e12
    assert norm_ratio(vector(math.nan), vector(1), largest=1e12) == 1e12
    with pytest.raises(ValueError, match="largest must be positive, got 0"):
        norm_ratio(vector(1), vector(1), largest=0)


def test_pairs_are_of_different_batches():
    one, other = vector(1, 0), vector(0, 1)
    assert self_cosines([one, one, other]) == pytest.approx([1, 0, 0])
    with pytest.raises(ValueError, match="at least two to make a pair, got 1"):
        self_cosines([one])
