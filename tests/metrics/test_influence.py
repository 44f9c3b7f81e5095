import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from decouple.metrics.influence import binned_loss, change_on_halving, influence


def draw(seed, *shape):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape))


@given(seed=st.integers(0, 10**6), size=st.floats(1e-6, 10))
@settings(max_examples=40)
def test_of_a_linear_map_it_is_the_length_of_the_image_whatever_the_size(seed, size):
    matrix, base, direction = draw(seed, 4, 4), draw(seed + 1, 3, 4), draw(seed + 2, 3, 4)
    direction /= direction.norm(dim=-1, keepdim=True)
    perturbed = base + size * direction @ matrix.T
    found = influence(base, perturbed, torch.full((3,), size, dtype=torch.float64))
    expected = (direction @ matrix.T).norm(dim=-1)
    torch.testing.assert_close(found.raw, expected, atol=1e-8, rtol=1e-6)
    torch.testing.assert_close(found.relative, found.raw / base.norm(dim=-1))


def test_relative_influence_does_not_depend_on_the_scale_of_the_state():
    base, change = draw(0, 2, 5), draw(1, 2, 5)
    small = influence(base, base + change, torch.ones(2))
    large = influence(10 * base, 10 * (base + change), torch.ones(2))
    torch.testing.assert_close(large.raw, 10 * small.raw)
    torch.testing.assert_close(large.relative, small.relative)


def test_a_state_that_does_not_move_is_not_influenced():
    base = draw(0, 2, 5)
    assert influence(base, base.clone(), torch.ones(2)).raw.tolist() == [0.0, 0.0]


def test_influence_refuses_other_shapes_and_changes_without_length():
    with pytest.raises(ValueError, match=r"perturbed must have the shape of base=\(2, 5\)"):
        influence(torch.ones(2, 5), torch.ones(5), torch.ones(2))
    with pytest.raises(ValueError, match="size must be positive, got 0"):
        influence(torch.ones(2, 5), torch.ones(2, 5), torch.zeros(2))


def test_change_on_halving_is_the_worst_relative_difference():
    whole, half = torch.tensor([1.0, 2.2, 0.0]), torch.tensor([1.0, 2.0, 0.0])
    assert change_on_halving(whole, half).item() == pytest.approx(0.1, rel=1e-5)
    assert change_on_halving(half, half).item() == 0.0


def test_change_on_halving_sees_an_influence_that_is_only_rounding():
    assert change_on_halving(torch.tensor([1e-9]), torch.tensor([0.0])).item() == float("inf")


def test_curvature_shows_on_halving():
    def difference(size):
        return torch.tensor([((1 + size) ** 3 - 1) / size])

    assert change_on_halving(difference(0.5), difference(0.25)).item() > 0.1
    assert change_on_halving(difference(1e-3), difference(5e-4)).item() < 1e-3


@given(seed=st.integers(0, 10**6), bins=st.sampled_from([1, 2, 3, 6, 12]))
@settings(max_examples=30)
def test_bins_are_consecutive_and_average_to_the_loss(seed, bins):
    losses = draw(seed, 4, 12)
    found = binned_loss(losses, bins)
    expected = [part.mean() for part in np.split(losses.numpy(), bins, axis=1)]
    np.testing.assert_allclose(found, expected)
    assert found.mean().item() == pytest.approx(losses.mean().item())


def test_bins_must_be_equal():
    with pytest.raises(ValueError, match="bins must divide the 12 positions, got 5"):
        binned_loss(torch.ones(2, 12), 5)
