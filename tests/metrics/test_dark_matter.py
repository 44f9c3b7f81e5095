import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from decouple.metrics.dark_matter import (
    dark_matter_ratio,
    embedding_alignment,
    embedding_basis,
    isotropic_null,
    principal_basis,
    random_basis,
    retention,
    subspace_overlap,
)

SEEDS = st.integers(0, 10**6)


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def normal(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=seeded(seed))


def assert_orthonormal(basis):
    torch.testing.assert_close(basis.mT @ basis, torch.eye(basis.shape[1], dtype=torch.float64))


@given(seed=SEEDS, k=st.integers(1, 6))
@settings(max_examples=30)
def test_principal_components_agree_with_numpy_and_leave_the_least(seed, k):
    states = normal(40, 6, seed=seed) * torch.arange(1, 7)
    h = states.numpy() - states.numpy().mean(0)
    singular = np.linalg.svd(h, compute_uv=False)
    basis = principal_basis(states, k)
    assert_orthonormal(basis)
    left = dark_matter_ratio(states, basis).item()
    assert left == pytest.approx(1 - (singular[:k] ** 2).sum() / (singular**2).sum(), abs=1e-12)
    assert left <= dark_matter_ratio(states, random_basis(6, k, seeded(seed))).item() + 1e-12


def test_the_first_principal_component_comes_first():
    states = normal(200, 3) * torch.tensor([0.1, 5.0, 1.0])
    assert principal_basis(states, 2).abs().argmax(0).tolist() == [1, 2]


def test_a_shift_of_all_logits_is_no_direction_of_the_embedding():
    embedding = normal(30, 5)
    shifted = embedding + 100 * normal(5, seed=1)
    a, b = embedding_basis(embedding, 2), embedding_basis(shifted, 2)
    torch.testing.assert_close(a @ a.mT, b @ b.mT)


@given(seed=SEEDS, k=st.integers(1, 5))
@settings(max_examples=30)
def test_the_ratio_forgets_constants_and_scale_and_adds_up(seed, k):
    states = normal(2, 25, 5, seed=seed)
    whole = random_basis(5, 5, seeded(seed))
    found = dark_matter_ratio(states, whole[:, :k])
    assert found.shape == (2,)
    assert ((found >= -1e-12) & (found <= 1)).all()
    vector = 10 * normal(5, seed=seed + 1)
    torch.testing.assert_close(dark_matter_ratio(3 * states + vector, whole[:, :k]), found)
    if k < 5:
        torch.testing.assert_close(
            found + dark_matter_ratio(states, whole[:, k:]), torch.ones(2).double()
        )


def test_isotropic_states_have_the_null_ratio():
    ratios = [
        dark_matter_ratio(normal(4000, 32, seed=seed), random_basis(32, 8, seeded(seed))).item()
        for seed in range(5)
    ]
    assert isotropic_null(32, 8) == 0.75
    assert ratios == pytest.approx([0.75] * 5, abs=0.02)


def test_each_of_several_states_may_have_its_own_basis():
    states = normal(2, 30, 4)
    bases = torch.stack([principal_basis(each, 2) for each in states])
    expected = [dark_matter_ratio(states[i], bases[i]) for i in range(2)]
    torch.testing.assert_close(dark_matter_ratio(states, bases), torch.stack(expected))


def test_retention_is_the_published_formula_and_undefined_without_a_rise():
    assert retention(0.8694, 0.8765, 0.8771) == pytest.approx(1.082, abs=0.03)
    assert retention(0.5, 0.6, 0.5) == 0
    assert retention(0.5, 0.6, 0.6) == 1
    assert math.isnan(retention(0.5, 0.5, 0.7))


@given(seed=SEEDS)
@settings(max_examples=30)
def test_only_the_span_of_the_vectors_counts(seed):
    basis = random_basis(6, 3, seeded(seed))
    vectors = normal(2, 6, seed=seed)
    found = subspace_overlap(basis, vectors).item()
    mixed = torch.stack([5 * vectors[0] - vectors[1], 0.01 * vectors[1]])
    assert subspace_overlap(basis, mixed).item() == pytest.approx(found)
    assert 0 <= found <= 1
    assert subspace_overlap(basis, (basis @ normal(3, 2, seed=seed)).mT).item() == pytest.approx(1)


def test_a_random_span_overlaps_by_the_dimensions():
    found = [
        subspace_overlap(random_basis(40, 10, seeded(seed)), normal(3, 40, seed=seed)).item()
        for seed in range(1, 60)
    ]
    assert np.mean(found) == pytest.approx(10 / 40, abs=0.03)


def test_alignment_sees_what_the_weights_have_taken_over():
    base = normal(3, 50, 4)
    vectors = normal(3, 4, seed=1)
    shift = torch.stack([vectors[0], -2 * vectors[1], torch.zeros(4)])[:, None]
    found = embedding_alignment(vectors, base + shift, base)
    torch.testing.assert_close(found, torch.tensor([1.0, -1.0, 0.0]).double())


def test_states_that_are_all_alike_have_no_ratio():
    states = normal(2, 9, 4)
    states[0] = 1.0
    found = dark_matter_ratio(states, normal(4, 2))
    assert found.isnan().tolist() == [True, False]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_states_that_are_not_finite_cost_the_others_not_a_bit(value):
    states = normal(3, 30, 5)
    basis = principal_basis(states, 2)
    ratio = dark_matter_ratio(states, basis)
    broken = states.clone()
    broken[1, 7, 3] = value
    found = principal_basis(broken, 2)
    assert torch.equal(found[[0, 2]], basis[[0, 2]])
    assert found[1].isnan().all()
    shares = dark_matter_ratio(broken, basis)
    assert torch.equal(shares[[0, 2]], ratio[[0, 2]])
    assert shares[1].isnan()
    assert subspace_overlap(found[1], normal(2, 5)).isnan()
    assert torch.equal(
        subspace_overlap(found[0], normal(2, 5)), subspace_overlap(basis[0], normal(2, 5))
    )


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: principal_basis(normal(9, 4), 5), r"k must lie in \[1, 4\].*got 5"),
        (lambda: random_basis(4, 0, seeded(0)), "k must lie in .*got 0"),
        (lambda: isotropic_null(4, 5), "k must lie in .*got 5"),
        (lambda: dark_matter_ratio(normal(9, 4), normal(5, 2)), "each of the 4 dim.*got 5"),
        (lambda: subspace_overlap(normal(5, 2), normal(2, 4)), "each of the 4 dim.*got 5"),
        (lambda: subspace_overlap(normal(4, 2), torch.zeros(2, 4)), "must not be zero"),
        (lambda: subspace_overlap(normal(4, 2), torch.ones(2, 4)), "linearly independent, got 2"),
        (lambda: subspace_overlap(normal(2, 1), normal(3, 2)), "linearly independent, got 3"),
    ],
)
def test_nonsense_is_refused_in_words(call, words):
    with pytest.raises(ValueError, match=words):
        call()
