import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from decouple.metrics.branches import attention_entropy, logit_std, rms, share
from decouple.models.equilibrium import normalise


def draw(seed, *shape):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape))


def uniform_causal(length):
    return torch.ones(length, length).tril() / torch.arange(1, length + 1)[:, None]


def causal_softmax(scores):
    future = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
    return scores.masked_fill(future, -torch.inf).softmax(-1)


@given(seed=st.integers(0, 10**6), factor=st.floats(0.01, 100))
@settings(max_examples=40)
def test_share_is_the_ratio_of_norms_over_all_tokens(seed, factor):
    inputs, branch = draw(seed, 3, 5, 4), draw(seed + 1, 3, 5, 4)
    found = share(branch, inputs).item()
    assert found == pytest.approx(np.linalg.norm(branch) / np.linalg.norm(inputs))
    assert share(factor * branch, inputs).item() == pytest.approx(factor * found)
    assert share(branch, factor * inputs).item() == pytest.approx(found / factor)


def test_a_token_of_short_input_does_not_decide_the_share():
    inputs, branch = torch.ones(2, 4), torch.ones(2, 4)
    inputs[0] *= 1e-9
    assert share(branch, inputs).item() == pytest.approx(math.sqrt(2))


def test_share_refuses_other_shapes_and_no_input():
    with pytest.raises(ValueError, match=r"shape of inputs=\(2, 3\), got \(3,\)"):
        share(torch.ones(3), torch.ones(2, 3))
    with pytest.raises(ValueError, match="inputs must not be zero"):
        share(torch.ones(2, 3), torch.zeros(2, 3))


@pytest.mark.parametrize("length", [1, 2, 7, 256])
def test_entropy_of_uniform_causal_attention_is_known(length):
    weights = uniform_causal(length).expand(2, 3, length, length)
    expected = math.lgamma(length + 1) / length
    assert attention_entropy(weights).item() == pytest.approx(expected, abs=1e-6)


def test_the_published_start_of_the_attention_entropy_is_that_of_uniform_attention():
    assert round(attention_entropy(uniform_causal(256)).item(), 2) == 4.56


def test_attention_on_one_key_has_no_entropy():
    assert attention_entropy(torch.eye(6).expand(2, 6, 6)).item() == 0.0


@given(seed=st.integers(0, 10**6), sharpness=st.floats(1.1, 20))
@settings(max_examples=20)
def test_sharper_logits_lower_the_entropy_and_raise_the_spread(seed, sharpness):
    scores = draw(seed, 2, 6, 6)
    assert attention_entropy(causal_softmax(sharpness * scores)) < attention_entropy(
        causal_softmax(scores)
    )
    assert logit_std(sharpness * scores).item() == pytest.approx(
        sharpness * logit_std(scores).item()
    )


@given(seed=st.integers(0, 10**6))
@settings(max_examples=30)
def test_logit_spread_is_that_of_the_visible_keys_around_each_querys_mean(seed):
    scores = draw(seed, 3, 5, 5)
    squares = [
        (row[: query + 1] - row[: query + 1].mean()) ** 2
        for head in scores.numpy()
        for query, row in enumerate(head)
    ]
    expected = math.sqrt(np.concatenate(squares).mean())
    assert logit_std(scores).item() == pytest.approx(expected)


def test_logits_of_the_future_and_shifts_of_a_query_do_not_matter():
    scores = draw(3, 2, 5, 5)
    hidden = scores + torch.full((5, 5), 1e3).triu(1) + draw(4, 2, 5, 1)
    assert logit_std(hidden).item() == pytest.approx(logit_std(scores).item())
    masked = torch.full((5, 5), -torch.inf).triu(1)
    assert logit_std(masked).item() == 0.0


def test_vectors_that_an_rms_norm_has_normalised_have_an_rms_of_one():
    normed, _ = normalise(100 * draw(0, 4, 7, 8), centred=False)
    assert rms(normed).item() == pytest.approx(1.0, abs=1e-6)
    assert rms(3 * normed).item() == pytest.approx(3.0, abs=1e-5)


def test_rms_averages_over_vectors_after_the_root():
    assert rms(torch.tensor([[1.0, 1.0], [3.0, 3.0]])).item() == 2.0
