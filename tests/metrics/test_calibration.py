import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from decouple.metrics.calibration import confidence_bins, expected_calibration_error
from decouple.metrics.language import entropy, token_cross_entropy


def draw(seed, n=40, vocab=5, scale=2.0):
    """Logits, and targets drawn from them: too sure in some bins, not sure enough in others."""
    generator = torch.Generator().manual_seed(seed)
    logits = scale * torch.randn(n, vocab, generator=generator, dtype=torch.float64)
    return logits, torch.multinomial(logits.softmax(-1), 1, generator=generator).squeeze(-1)


def by_hand(logits, targets, bins):
    """Guo et al. 2017, bin by bin in plain numpy."""
    shares = np.exp(logits.numpy()) / np.exp(logits.numpy()).sum(-1, keepdims=True)
    confidence, right = shares.max(-1), shares.argmax(-1) == targets.numpy()
    error = 0.0
    for b in range(bins):
        inside = (confidence > b / bins) & (confidence <= (b + 1) / bins)
        if inside.any():
            error += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    return error


@given(seed=st.integers(0, 10**6), bins=st.integers(1, 20))
@settings(max_examples=60)
def test_agrees_with_the_definition(seed, bins):
    logits, targets = draw(seed)
    found = expected_calibration_error(confidence_bins(logits, targets, bins))
    assert found.item() == pytest.approx(by_hand(logits, targets, bins), abs=1e-12)


@given(seed=st.integers(0, 10**6))
@settings(max_examples=20)
def test_sums_of_batches_add_up_and_shapes_do_not_matter(seed):
    logits, targets = draw(seed)
    whole = confidence_bins(logits.view(8, 5, 5), targets.view(8, 5), 7)
    parts = confidence_bins(logits[:13], targets[:13], 7) + confidence_bins(
        logits[13:], targets[13:], 7
    )
    torch.testing.assert_close(whole, parts)
    assert whole[:, 0].sum() == 40


def test_a_certain_model_errs_as_often_as_it_is_wrong():
    logits = torch.full((4, 3), -50.0).index_fill(1, torch.tensor([1]), 50.0)
    targets = torch.tensor([1, 1, 1, 0])
    sums = confidence_bins(logits, targets, 10)
    assert sums[-1].tolist() == [4, 4, 3]  # a confidence of exactly 1 is in the last bin
    assert expected_calibration_error(sums).item() == pytest.approx(0.25)


def test_a_model_that_samples_its_own_targets_is_calibrated_by_both_measures():
    logits, targets = draw(3, n=60_000)
    assert expected_calibration_error(confidence_bins(logits, targets, 15)).item() < 0.015
    surplus = token_cross_entropy(logits, targets) - entropy(logits.softmax(-1))
    assert abs(surplus.mean().item()) < 0.02
    sharp = token_cross_entropy(3 * logits, targets) - entropy((3 * logits).softmax(-1))
    assert sharp.mean().item() > 0.5
    assert expected_calibration_error(confidence_bins(3 * logits, targets, 15)).item() > 0.1


def test_stacked_seeds_are_measured_apart():
    pairs = [confidence_bins(*draw(seed), 6) for seed in (0, 1)]
    stacked = expected_calibration_error(torch.stack(pairs))
    each = [expected_calibration_error(sums) for sums in pairs]
    torch.testing.assert_close(stacked, torch.stack(each))
    assert not math.isclose(each[0].item(), each[1].item())


def test_there_must_be_a_bin():
    with pytest.raises(ValueError, match="bins must be at least 1, got 0"):
        confidence_bins(*draw(0), 0)
