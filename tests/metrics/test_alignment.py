import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from decouple.metrics.alignment import head_alignment


def draw(seed):
    rng = np.random.default_rng(seed)
    states = torch.from_numpy(rng.normal(size=(3, 7, 4)))  # (experts, N, D)
    embedding = torch.from_numpy(rng.normal(size=(9, 4)))
    targets = torch.from_numpy(rng.integers(9, size=7))
    return states, embedding, targets


@given(seed=st.integers(0, 10**6))
def test_agrees_with_numpy_for_each_leading_index(seed):
    states, embedding, targets = draw(seed)
    h, w = states.numpy(), embedding.numpy()
    directions = w[targets.numpy()] - w.mean(0)
    dots = (h * directions).sum(-1)
    cosines = dots / np.linalg.norm(h, axis=-1) / np.linalg.norm(directions, axis=-1)
    np.testing.assert_allclose(
        head_alignment(states, embedding, targets), cosines.mean(-1), atol=1e-12
    )


@given(seed=st.integers(0, 10**6), scale=st.floats(0.1, 10))
@settings(max_examples=40)
def test_neither_a_shift_of_the_embedding_nor_the_scale_of_a_state_matters(seed, scale):
    states, embedding, targets = draw(seed)
    found = head_alignment(states, embedding, targets)
    shifted = head_alignment(scale * states, embedding + states[0, 0], targets)
    torch.testing.assert_close(shifted, found)
    assert (found.abs() <= 1).all()


def test_a_state_that_points_at_its_target_is_fully_aligned():
    _, embedding, targets = draw(0)
    directions = (embedding - embedding.mean(0))[targets]
    assert head_alignment(3 * directions, embedding, targets).item() == pytest.approx(1.0)
    assert head_alignment(-directions, embedding, targets).item() == pytest.approx(-1.0)


@given(seed=st.integers(0, 10**6))
@settings(max_examples=40)
def test_the_raw_cosine_takes_the_embedding_as_it_is(seed):
    states, embedding, targets = draw(seed)
    h, w = states.numpy(), embedding.numpy()[targets.numpy()]
    cosines = (h * w).sum(-1) / np.linalg.norm(h, axis=-1) / np.linalg.norm(w, axis=-1)
    found = head_alignment(states, embedding, targets, centred=False)
    np.testing.assert_allclose(found, cosines.mean(-1), atol=1e-12)


def test_a_shift_of_the_embedding_moves_the_raw_cosine_to_either_sign():
    states, embedding, targets = draw(1)
    common = states + 5 * states[0, 0]  # states share a direction, as those of a real model do
    for sign in (1, -1):
        shifted = embedding + sign * 100 * states[0, 0]
        assert (sign * head_alignment(common, shifted, targets, centred=False) > 0.8).all()
