import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import log_softmax
from scipy.stats import entropy as scipy_entropy

from decouple.metrics.language import (
    entropy,
    head_entropy,
    mean_prediction,
    token_cross_entropy,
    unigram_entropy,
)

logits = arrays(np.float64, (2, 3, 5), elements=st.floats(-40, 40))


@given(values=logits, targets=arrays(np.int64, (2, 3), elements=st.integers(0, 4)))
def test_cross_entropy_agrees_with_scipy(values, targets):
    expected = -np.take_along_axis(log_softmax(values, -1), targets[..., None], -1)[..., 0]
    found = token_cross_entropy(torch.from_numpy(values), torch.from_numpy(targets))
    assert found.shape == (2, 3)
    np.testing.assert_allclose(found, expected, atol=1e-9)


@given(values=logits, shift=st.floats(-5, 5))
def test_head_entropy_agrees_with_scipy_and_ignores_shifts(values, shift):
    mean = np.exp(log_softmax(values, -1)).reshape(-1, 5).mean(0)
    tensor = torch.from_numpy(values)
    np.testing.assert_allclose(mean_prediction(tensor), mean, atol=1e-12)
    np.testing.assert_allclose(head_entropy(tensor), scipy_entropy(mean), atol=1e-9)
    np.testing.assert_allclose(head_entropy(tensor + shift), head_entropy(tensor), atol=1e-9)
    assert -1e-12 <= head_entropy(tensor).item() <= math.log(5) + 1e-12


def test_a_model_sure_of_a_different_token_each_time_has_a_broad_head():
    sure = 100 * torch.eye(5)
    assert head_entropy(sure).item() == pytest.approx(math.log(5))
    assert head_entropy(sure[:1]).item() == pytest.approx(0.0, abs=1e-6)


def test_entropy_of_a_certainty_is_zero():
    assert entropy(torch.tensor([0.0, 1.0, 0.0])).item() == 0.0


@given(tokens=arrays(np.int64, st.integers(1, 50), elements=st.integers(0, 9)))
def test_unigram_entropy_is_that_of_the_counts(tokens):
    expected = scipy_entropy(np.bincount(tokens, minlength=10))
    found = unigram_entropy(torch.from_numpy(tokens), 10)
    assert found.item() == pytest.approx(expected, abs=1e-12)
    assert unigram_entropy(torch.from_numpy(tokens).repeat(3), 10).item() == pytest.approx(
        found.item(), abs=1e-12
    )


def test_unigram_entropy_of_nothing_is_refused():
    with pytest.raises(ValueError, match="tokens must hold at least one token, got none"):
        unigram_entropy(torch.empty(0, dtype=torch.int64), 4)
